"""The processes of users of one run: started, begun together, listened to, and stopped."""
from __future__ import annotations

import contextlib
import math
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

from scripts.load.worker import BACKLOG_SECONDS, Plan

_ROOT = Path(__file__).resolve().parent.parent.parent
_BEGIN_SECONDS = 0.1
_LOOK_SECONDS = 0.2
_GRACE_SECONDS = 10.0


class FleetError(Exception):
    """A process of users has ended before there was anything to measure; the text says with what."""


class Fleet:
    """Processes that ask as planned; a context manager that leaves none behind."""

    def __init__(self, plans: list[Plan]) -> None:
        self._plans = plans
        self._processes: list[subprocess.Popen[bytes]] = []
        self._end = math.inf
        """When every process must have ended."""
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
            process.kill()
            process.wait()
            _input(process).close()
            _output(process).close()

    def run(self) -> Iterator[tuple[int, dict[str, Any]] | None]:
        """Let them begin; whatever they hand over with the number of the process, and None when there is nothing.

        Of a process that ends before its time that is `ended`, how; the others are then told to stop.
        """
        ready = 0
        with selectors.DefaultSelector() as selector:
            for number, process in enumerate(self._processes):
                selector.register(_output(process), selectors.EVENT_READ, (number, bytearray()))
            while selector.get_map():
                if time.monotonic() > self._end:
                    self.kill()
                for key, _ in selector.select(_LOOK_SECONDS):
                    number, partial = key.data
                    for told in self._read(key.fd, number, partial):
                        if "ready" in told:
                            ready += 1
                            if ready == len(self._processes):
                                self._let_begin()
                            continue
                        yield number, told
                        if "done" in told or "ended" in told:
                            selector.unregister(key.fileobj)
                yield None

    def _read(self, source: int, number: int, partial: bytearray) -> Iterator[dict[str, Any]]:
        """What a process has told; `partial` is the beginning of what it has not told to the end."""
        chunk = os.read(source, 1 << 20)
        if not chunk:
            how = self._ending(number)
            if not self.begin:
                raise FleetError(f"process {number} of users {how} before it began.")
            self.stop()
            yield {"ended": how}
        *lines, rest = (partial + chunk).split(b"\n")
        partial[:] = rest
        yield from map(orjson.loads, lines)

    def _ending(self, number: int) -> str:
        """How a process ended, as part of a sentence."""
        status = self._processes[number].wait()
        if time.monotonic() > self._end:
            return "did not end in time"
        return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"

    def stop(self) -> None:
        """Begin nothing more; what is under way is waited for."""
        self._end = min(self._end, time.monotonic() + self._plans[0].timeout + _GRACE_SECONDS)
        for process in self._processes:
            with contextlib.suppress(FleetError):  # whose end run() finds
                self._tell(process, b"stop\n")

    def kill(self) -> None:
        """End them at once."""
        for process in self._processes:
            process.kill()

    def _let_begin(self) -> None:
        plan = self._plans[0]
        self.begin = time.monotonic() + _BEGIN_SECONDS
        self._end = self.begin + plan.warm_up + plan.duration + BACKLOG_SECONDS + plan.timeout + _GRACE_SECONDS
        for process in self._processes:
            self._tell(process, b"%r\n" % self.begin)

    def _tell(self, process: subprocess.Popen[bytes], line: bytes) -> None:
        try:
            while line:
                line = line[_input(process).write(line) or 0 :]
        except BrokenPipeError as error:
            raise FleetError("a process of users has ended; what it said is above") from error


def _input(process: subprocess.Popen[bytes]) -> IO[bytes]:
    return cast("IO[bytes]", process.stdin)  # it was asked for


def _output(process: subprocess.Popen[bytes]) -> IO[bytes]:
    return cast("IO[bytes]", process.stdout)
