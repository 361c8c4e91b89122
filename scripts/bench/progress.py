"""How far long work has come and about how long it goes on, on stderr."""
from __future__ import annotations

import sys
import time
from types import TracebackType

_SECONDS_BETWEEN_LINES = 20
_WIDTH = 79


class Progress:
    """Told how much is done: on a terminal in one line that changes, elsewhere in a line now and then."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total = what, total
        self._on_terminal = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        self._begun = self._told = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._on_terminal:
            print("\r" + " " * _WIDTH + "\r", end="", file=sys.stderr, flush=True)

    def __call__(self, done: int) -> None:
        """So much of the total is done."""
        now = time.monotonic()
        if self._on_terminal or now - self._told >= _SECONDS_BETWEEN_LINES:
            self._told = now
            line = f"{self._what}: {done:,} of {self._total:,}, {self._left(done, now - self._begun)}"
            begins, ends = ("\r", "") if self._on_terminal else ("", "\n")
            print(f"{begins}{line:<{_WIDTH}}", end=ends, file=sys.stderr, flush=True)

    def _left(self, done: int, seconds: float) -> str:
        return f"about {seconds / done * (self._total - done):,.0f} s left" if done else "just begun"
