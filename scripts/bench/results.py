"""What a benchmark found: named figures, each with its target where it has one."""
from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.files import write_whole


@dataclass(frozen=True, slots=True)
class Result:
    """One figure."""

    name: str
    """What was measured, in words that tell it from every other figure of the sub-command."""
    value: float
    unit: str = ""
    """As people write it: ms, MB, x for a ratio."""
    at_most: float | None = None
    at_least: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None for a figure that has none."""
        if self.at_most is None and self.at_least is None:
            return None
        return (self.at_most is None or self.value <= self.at_most) and (
            self.at_least is None or self.value >= self.at_least
        )

    @property
    def target(self) -> str:
        """The target in words; empty where there is none."""
        bounds = (("at most", self.at_most), ("at least", self.at_least))
        return " and ".join(f"{word} {figure(bound)}" for word, bound in bounds if bound is not None)

    def as_json(self) -> dict[str, Any]:
        """What `--json` writes of it."""
        return {
            "name": self.name, "value": self.value, "unit": self.unit,
            "at_most": self.at_most, "at_least": self.at_least, "met": self.met,
        }  # fmt: skip


GROWTH = "growth: {} ~ films to the power of"
"""What a figure that tells how another one grows is called."""
_AT_SIZE = re.compile(r"(?P<what>.*) at (?P<films>[\d,]+) films$")


def by_size(results: Iterable[Result]) -> dict[str, dict[int, Result]]:
    """What was measured at several sizes: by what it is, then by the number of films."""
    found: dict[str, dict[int, Result]] = {}
    for result in results:
        if match := _AT_SIZE.match(result.name):
            found.setdefault(match["what"], {})[int(match["films"].replace(",", ""))] = result
    return found


def figure(value: float) -> str:
    """A number with three digits that count, or more where they stand before the point."""
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def table(results: Iterable[Result]) -> Iterator[str]:
    """The lines of a table for a screen."""
    verdicts = {True: "met", False: "MISSED", None: ""}
    rows = [
        (result.name, figure(result.value), result.unit, result.target, verdicts[result.met]) for result in results
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for name, value, unit, target, met in rows:
        line = f"{name:<{widths[0]}}  {value:>{widths[1]}} {unit:<{widths[2]}}  {target:<{widths[3]}}  {met}"
        yield line.rstrip()


def write(path: Path, benchmark: str, results: Iterable[Result]) -> None:
    """Write the results of `benchmark` as JSON."""
    found = {"benchmark": benchmark, "results": [result.as_json() for result in results]}
    write_whole(path, json.dumps(found, indent=1, ensure_ascii=False) + "\n")
