"""Time of the processor that calls take, in turns: what else the machine does lengthens none of them."""
from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import numpy as np

_Input = TypeVar("_Input")

_WARM_UP = 5
_TURN = 10
"""Calls of one kind in a row: each finds in the processor's caches what the one before left there, not the others'."""


def milliseconds(
    calls: Mapping[str, Callable[[_Input], object]], inputs: Iterable[_Input]
) -> dict[str, list[float]]:
    """What each of `calls` took of this thread for each of `inputs`; the first few come once more before, uncounted.

    Calls that wait or that use other threads have to be timed otherwise. On an idle machine it is what a clock shows.
    """
    inputs = list(inputs)
    for each in inputs[:_WARM_UP]:
        for call in calls.values():
            call(each)
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for start in range(0, len(inputs), _TURN):
        for name, call in calls.items():
            for each in inputs[start : start + _TURN]:
                begun = time.thread_time()
                call(each)
                taken[name].append((time.thread_time() - begun) * 1000)
    return taken


def p50(taken: list[float]) -> float:
    """The median."""
    return float(np.median(taken))
