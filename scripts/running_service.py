"""A service of one's own, for the scripts that need one at work: started, asked, watched, and stopped at the end."""
from __future__ import annotations

import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
DEADLINE_SECONDS = 60.0
_FIRST_PORT, _PORTS = 10_000, 20_000


@dataclass(frozen=True)
class RunningService:
    """gunicorn at work on a port of this machine."""

    port: int
    master: subprocess.Popen[bytes]
    workers: int
    """How many there should be."""

    def get(self, path: str) -> bytes:
        """The body of an answer; raises OSError or HTTPException where there is none, ValueError for no 200."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=DEADLINE_SECONDS)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise ValueError(f"status {answer.status}")
        return body

    def pids(self) -> list[int]:
        """The processes of the workers, those included that have ended and are not reaped yet."""
        pid = self.master.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def come_to_rest(self) -> None:
        """Return once just the wanted workers live; SystemExit after the deadline."""
        end, pause = time.monotonic() + DEADLINE_SECONDS, threading.Event()
        while time.monotonic() < end and self.master.poll() is None:
            try:
                if json.loads(self.get("/health"))["workers"] == len(self.pids()) == self.workers:
                    return
            except (OSError, http.client.HTTPException, ValueError):
                pass
            pause.wait(0.05)
        raise SystemExit("error: the service did not come to rest; does scripts/start_api.sh start it?")


def free_port() -> int:
    """A port of this machine that nobody listens at.

    It is none of those that systems give to outgoing connections and to whoever names no port, so that no such one
    takes it before it is bound.
    """
    while True:
        port = _FIRST_PORT + secrets.randbelow(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        return port


@contextmanager
def running_service(
    model: Path, folder: Path, *, workers: int, port: int = 0, application: str = "wsgi:app", **settings: str
) -> Iterator[RunningService]:
    """A service of `model` with its metrics and its log in `folder`, at `port` or any free one, stopped at the end."""
    with starting_service(model, folder, workers=workers, port=port, application=application, **settings) as service:
        service.come_to_rest()
        yield service


@contextmanager
def starting_service(
    model: Path, folder: Path, *, workers: int, port: int = 0, application: str = "wsgi:app", **settings: str
) -> Iterator[RunningService]:
    """The same at the moment of its start, when it does not answer yet."""
    folder.mkdir(exist_ok=True)
    port = port or free_port()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RECSYS_", "PROMETHEUS_"))}
    environment = {
        **inherited, "RECSYS_MODEL_DIR": str(model.resolve()), "RECSYS_METRICS_DIR": str(folder), "RECSYS_HOST": HOST,
        "RECSYS_PORT": str(port), "RECSYS_LOG_LEVEL": "error", "RECSYS_LOG_FORMAT": "json",
        "WEB_CONCURRENCY": str(workers), **settings,
    }  # fmt: skip
    with (folder / "log").open("w") as log:
        master = subprocess.Popen(  # noqa: S603 - gunicorn, with an application of ours
            [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.conf.py", application],
            cwd=ROOT, env=environment, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield RunningService(port, master, workers)
    finally:
        master.send_signal(signal.SIGTERM)
        master.wait(DEADLINE_SECONDS)
