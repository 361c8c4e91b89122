"""How far long work has come and about how long it goes on, on stderr."""
from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType

_SECONDS_BETWEEN_LINES = 20
_WIDTH = 79


class Progress:
    """Told how much is done: on a terminal in one line that changes, elsewhere in a line now and then."""

    def __init__(self, what: str, total: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._what, self._total, self._clock = what, total, clock
        self._on_terminal = sys.stderr.isatty()
        self._first: tuple[float, int] | None = None
        self._told = clock()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._on_terminal:
            print("\r" + " " * _WIDTH + "\r", end="", file=sys.stderr, flush=True)

    def __call__(self, done: int) -> None:
        """So much of the total is done; what is left is estimated from the first call on."""
        now = self._clock()
        self._first = self._first or (now, done)
        if self._on_terminal or now - self._told >= _SECONDS_BETWEEN_LINES:
            self._told = now
            line = f"{self._what}: {done:,} of {self._total:,}, {self._left(done, now, *self._first)}"
            if self._on_terminal:
                print(f"\r{line:<{_WIDTH}}", end="", file=sys.stderr, flush=True)
            else:
                print(line, file=sys.stderr, flush=True)

    def _left(self, done: int, now: float, begun: float, done_then: int) -> str:
        if done == done_then:
            return "just begun"
        return f"about {(now - begun) / (done - done_then) * (self._total - done):,.0f} s left"
