"""What this machine lets the tester have: files, and so connections, and the time of its processors."""
from __future__ import annotations

import ctypes
import resource
import sys
from pathlib import Path

OF_ITS_OWN = 64
"""Files that a process needs beside its connections."""
_PR_SET_TIMERSLACK = 29


def connections_allowed() -> int:
    """The most connections that one process may be given."""
    return _most() - OF_ITS_OWN


def allow_files() -> None:
    """Raise this process' limit as far as the machine lets it; many shells begin with 1,024."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (_most(), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def wake_in_time() -> None:
    """Let no timer of this process be late on purpose; Linux takes up to 50 us to save power."""
    if sys.platform == "linux":  # others have no such call
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)  # nanoseconds; threads begin with those of their parent


def _most() -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if hard == resource.RLIM_INFINITY else hard


class Machine:
    """How busy all processors of this machine are, from now on."""

    def __init__(self) -> None:
        self._begun = _ticks()

    def share(self) -> float | None:
        """From 0 to 1; None where the machine does not tell."""
        if self._begun is None or (now := _ticks()) is None:
            return None
        busy, whole = (after - before for before, after in zip(self._begun, now, strict=True))
        return busy / whole if whole else None


def _ticks() -> tuple[int, int] | None:
    """Busy ticks of all processors since the machine started, and all ticks."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0].split()[1:9]
    except OSError:
        return None
    ticks = [int(field) for field in fields]
    idle = ticks[3] + ticks[4]  # idle, and idle while a disk works
    return sum(ticks) - idle, sum(ticks)
