"""The processes of users of one run: started, begun together, listened to, and stopped."""
from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import orjson

from scripts.load.worker import Plan

_ROOT = Path(__file__).resolve().parent.parent.parent
_BEGIN_SECONDS = 0.1
_LOOK_SECONDS = 0.2


class FleetError(Exception):
    """A process of users has ended before there was anything to measure; the text says with what."""


class Fleet:
    """Processes that ask as planned; a context manager that leaves none behind."""

    def __init__(self, plans: list[Plan]) -> None:
        self._plans = plans
        self._processes: list[subprocess.Popen[bytes]] = []
        self.begin = 0.0

    def __enter__(self) -> Fleet:
        for plan in self._plans:
            process = subprocess.Popen(
                [sys.executable, "-m", "scripts.load.worker"],
                cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
                process_group=0,  # Ctrl-C is for the tester, which tells them
            )  # fmt: skip
            self._processes.append(process)
            self._tell(process, orjson.dumps(plan) + b"\n")
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            _input(process).close()
            _output(process).close()

    def run(self) -> Iterator[tuple[int, dict[str, Any]] | None]:
        """Let them begin; whatever they hand over with the number of the process, and None when there is nothing.

        Of a process that ends before its time that is `ended`, the status; the others are then told to stop.
        """
        with selectors.DefaultSelector() as selector:
            for number, process in enumerate(self._processes):
                selector.register(_output(process), selectors.EVENT_READ, (number, bytearray()))
            waiting, ready = set(range(len(self._processes))), 0
            while waiting:
                for key, _ in selector.select(_LOOK_SECONDS):
                    number, partial = key.data
                    chunk = os.read(key.fd, 1 << 20)
                    if not chunk:
                        status = self._processes[number].wait()
                        if not self.begin:
                            raise FleetError(f"process {number} of users {ending(status)} before it began.")
                        selector.unregister(key.fileobj)
                        waiting.discard(number)
                        self.stop()
                        yield number, {"ended": status}
                        continue
                    partial += chunk
                    *lines, rest = partial.split(b"\n")
                    partial[:] = rest
                    for line in lines:
                        told = orjson.loads(line)
                        if "ready" in told:
                            ready += 1
                            if ready == len(self._processes):
                                self._let_begin()
                            continue
                        yield number, told
                        if told.get("done"):
                            selector.unregister(key.fileobj)
                            waiting.discard(number)
                yield None

    def stop(self) -> None:
        """Begin nothing more; what is under way is waited for."""
        for process in self._processes:
            with contextlib.suppress(FleetError):  # whose end run() finds
                self._tell(process, b"stop\n")

    def _let_begin(self) -> None:
        self.begin = time.monotonic() + _BEGIN_SECONDS
        for process in self._processes:
            self._tell(process, b"%r\n" % self.begin)

    def _tell(self, process: subprocess.Popen[bytes], line: bytes) -> None:
        try:
            while line:
                line = line[_input(process).write(line) or 0 :]
        except BrokenPipeError as error:
            raise FleetError("a process of users has ended; what it said is above") from error


def ending(status: int) -> str:
    """How a process ended, as part of a sentence."""
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


def _input(process: subprocess.Popen[bytes]) -> IO[bytes]:
    return cast("IO[bytes]", process.stdin)  # it was asked for


def _output(process: subprocess.Popen[bytes]) -> IO[bytes]:
    return cast("IO[bytes]", process.stdout)
