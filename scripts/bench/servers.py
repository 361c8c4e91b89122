"""Servers to compare: each started alone, asked until it answers, and stopped at the end."""
from __future__ import annotations

import http.client
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scripts.running_service import DEADLINE_SECONDS, HOST, ROOT


@contextmanager
def running(command: Sequence[str], port: int, *, log: Path, environment: dict[str, str]) -> Iterator[int]:
    """The port of a server that listens there and writes its output to `log`; SystemExit if it does not come up."""
    with log.open("w") as out:
        process = subprocess.Popen(  # noqa: S603 - a server of ours
            list(command), cwd=ROOT, env={**os.environ, **environment}, stdout=out, stderr=out
        )
    try:
        end, pause = time.monotonic() + DEADLINE_SECONDS, threading.Event()
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"error: {' '.join(command)} does not answer:\n{log.read_text()[-2000:]}")
            pause.wait(0.05)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(DEADLINE_SECONDS)


def _answers(port: int) -> bool:
    """Whether anything is answered, be it that there is nothing."""
    connection = http.client.HTTPConnection(HOST, port, timeout=DEADLINE_SECONDS)
    try:
        connection.request("GET", "/")
        connection.getresponse().read()
    except OSError:
        return False
    finally:
        connection.close()
    return True
