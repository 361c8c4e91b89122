"""What came of an evaluation, as tables for a terminal and for a document, and as JSON."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scripts.quality.evaluation import Asked
from scripts.quality.metrics import Estimate

_SHORT = {"mean popularity": ".0f"}
_FORM = ".3f"
_INTERVAL = ("ndcg@10", "recall@20", "mrr", "hit rate@10", "coverage@10")
"""The metrics whose interval has room in a table; JSON has all."""


def as_json(asked: Mapping[str, Asked]) -> dict[str, Any]:
    """All figures with their intervals."""
    return {
        protocol: {
            "cases": one.cases,
            "systems": {
                system: {metric: estimate._asdict() for metric, estimate in figures.items()}
                for system, figures in one.figures.items()
            },
        }
        for protocol, one in asked.items()
    }


def table(one: Asked, *, metrics: Sequence[str] = ()) -> list[str]:
    """Markdown: a row for each system, the `metrics` (or all) in columns, intervals of 95 % in brackets."""
    if not one.figures:
        return ["Nobody's ratings are enough to ask this."]
    names = list(metrics) or list(next(iter(one.figures.values())))
    rows = [["system", *names]]
    for system, figures in one.figures.items():
        rows.append([system, *(_cell(name, figures[name]) for name in names)])
    return markdown(rows)


def markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table, the first row its head, columns of one width."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rule = ["-" * width for width in widths]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return [f"| {' | '.join(row)} |" for row in (padded[0], rule, *padded[1:])]


def times(estimate: Estimate) -> str:
    """A ratio with its interval."""
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def with_interval(estimate: Estimate, form: str = _FORM) -> str:
    """A figure with its interval."""
    return f"{estimate.value:{form}} [{estimate.low:{form}}, {estimate.high:{form}}]"


def _cell(name: str, estimate: Estimate) -> str:
    if name in _INTERVAL:
        return with_interval(estimate)
    return f"{estimate.value:{_SHORT.get(name, _FORM)}}"
