"""The search for the highest rate at which an objective is held: up by steps until it breaks, then between."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

_GROWTH = 1.5
_FINE = 1.05
_MOST_STEPS = 20
_TRIES = 2


def find_capacity(
    first: float, run: Callable[[float], tuple[dict[str, Any], bool]]
) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Call `run(rate)`, which returns a report and whether the objective was held, until the limit is known to 5 %.

    Returns the steps in the order in which they were tried, and the report of the highest rate held, None if there is
    none. A rate counts as broken when it breaks twice: one slow second of a shared machine is no limit.
    """
    steps: list[dict[str, Any]] = []
    best: dict[str, Any] | None = None
    held, broken, rate = 0.0, 0.0, first
    while len(steps) < _MOST_STEPS:
        for _ in range(_TRIES):
            report, well = run(rate)
            steps.append(_step(rate, report, well))
            cut_short = report["interrupted"] or not report["complete"]
            if well or cut_short:
                break
        if well and not cut_short:
            held, best = rate, report
        elif not cut_short:
            broken = rate
        if cut_short or (broken and held and broken <= held * _FINE) or rate < 1:
            break
        if not broken:
            rate = held * _GROWTH
        elif held:
            rate = (held * broken) ** 0.5
        else:
            rate = broken / _GROWTH**2
        rate = round(rate, 1)
    return steps, best


def _step(rate: float, report: dict[str, Any], held: bool) -> dict[str, Any]:
    overall = report["overall"]
    return {
        "rate": rate, "held": held, "throughput": overall["throughput"], "requests": overall["requests"],
        "errors": overall["errors"], "p50_ms": overall["latency_ms"]["p50"], "p95_ms": overall["latency_ms"]["p95"],
        "p99_ms": overall["latency_ms"]["p99"], "warnings": report["warnings"],
    }  # fmt: skip
