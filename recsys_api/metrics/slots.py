"""Worker slots: small numbers that name the workers' metric files, so that a new worker carries on in a dead one's.

With one file set per process id, files pile up with every worker that is recycled or killed, and none may ever be
deleted. A slot has one live worker at a time: the master forks into the lowest free one and frees it when it has
reaped the worker, so there are never more slots than workers alive at once (twice their number during a reload).
"""
from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import multiprocess, values

MASTER = "master"


class _Process:
    slot = MASTER
    slots_in_use = False


def enable() -> bool:
    """Name metric files by slot, if this process counts together with others; to be called before any metric exists."""
    if not values.ValueClass._multiprocess:
        return False
    if not _Process.slots_in_use:
        values.ValueClass = values.MultiProcessValue(process_identifier=lambda: _Process.slot)  # type: ignore[no-untyped-call]  # half typed
        _Process.slots_in_use = True
    return True


def lowest_free(taken: Iterable[int]) -> int:
    """The smallest slot that is not `taken`."""
    in_use = set(taken)
    return next(slot for slot in range(len(in_use) + 1) if slot not in in_use)


def become(slot: int) -> None:
    """From now on this process is the worker of `slot`."""
    _Process.slot = str(slot)


def free(slot: int) -> None:
    """The worker of `slot` is gone: its counts stay, what described it as alive goes."""
    multiprocess.mark_process_dead(slot)  # type: ignore[no-untyped-call]  # half typed
