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
from typing import NamedTuple

from scripts.running_service import DEADLINE_SECONDS, HOST, ROOT


class Server(NamedTuple):
    """A server at work: its port, and its first process."""

    port: int
    pid: int

    def processor_seconds(self) -> float:
        """Processor time of its processes so far, those left out that have ended."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii").split()
        return sum(_processor_seconds(pid) for pid in (str(self.pid), *children))


def _processor_seconds(pid: str) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return float(ticks / os.sysconf("SC_CLK_TCK"))


@contextmanager
def running(command: Sequence[str], port: int, *, log: Path, environment: dict[str, str]) -> Iterator[Server]:
    """A server that listens at `port` and writes its output to `log`; SystemExit if it does not come up."""
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
        yield Server(port, process.pid)
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
