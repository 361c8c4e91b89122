"""Conditions on what was measured: `p95>100ms`, `errors>0.1%`, `search.p99>300ms`, `p95>+20%`."""
from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_FORM = re.compile(
    r"(?:(?P<part>[a-z]+)\.)?(?P<figure>p\d{1,2}(?:\.\d+)?|min|mean|max|errors|throughput)\s*(?P<sign><=?|>=?)\s*"
    r"(?P<change>[+-])?(?P<number>\d+(?:\.\d+)?)(?P<unit>us|ms|s|%|/s)?"
)
_SIGNS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
FIGURES = ("min", "mean", "p50", "p90", "p95", "p99", "p99.9", "max")


@dataclass(frozen=True)
class Condition:
    """A figure of all requests, or of a part of the mix, compared with a number or with an earlier run."""

    text: str
    part: str
    """Empty for all requests."""
    figure: str
    sign: str
    value: float
    """Milliseconds, requests a second, errors, errors as a share in percent, or a change in percent."""
    unit: str
    relative: bool

    def figure_of(self, summary: Mapping[str, Any]) -> float | None:
        """The figure in the condition's unit; None where nothing was measured."""
        if self.figure == "errors":
            if self.unit == "%":
                return 100.0 * summary["errors"] / summary["requests"] if summary["requests"] else None
            return float(summary["errors"])
        if self.figure == "throughput":
            return float(summary["throughput"])
        found = summary["latency_ms"][self.figure]
        return None if found is None else float(found)

    def holds(self, figure: float) -> bool:
        """Whether it is so for this figure, or, where the condition is about a change, for this change in percent."""
        return bool(_SIGNS[self.sign](figure, self.value))

    def shown(self, figure: float) -> str:
        """The figure with its unit."""
        if self.relative:
            return f"{figure:+.1f} %"
        if self.figure == "errors":
            return f"{figure:.3f} %" if self.unit == "%" else f"{figure:.0f}"
        return f"{figure:.1f}/s" if self.figure == "throughput" else f"{figure:.2f} ms"


def parse_condition(text: str, parts: Mapping[str, object]) -> Condition:
    """Read a condition on one of the `parts` of a mix or on all; raises ValueError that says what is wrong."""
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ValueError(
            f"'{text}' is no condition; write for example p95>100ms, errors>0.1%, search.p99>300ms, throughput<200, "
            f"or p95>+20% with --compare; the figures are {', '.join(FIGURES)}, errors and throughput"
        )
    part, figure, sign, unit = found["part"] or "", found["figure"], found["sign"], found["unit"] or ""
    relative = found["change"] is not None
    if part and part not in parts:
        raise ValueError(f"'{text}' names {part}, which is not in the mix; that has {', '.join(parts)}")
    value = float(found["number"])
    if relative:
        wanted = {"%"}
        value = -value if found["change"] == "-" else value
    elif figure == "errors":
        wanted = {"", "%"}
    elif figure == "throughput":
        wanted = {"", "/s"}
    else:
        wanted = set(_MILLISECONDS)
        if figure.startswith("p") and figure not in FIGURES:
            raise ValueError(f"'{text}' names {figure}, which is not reported; take one of {', '.join(FIGURES)}")
        value *= _MILLISECONDS.get(unit, 1.0)
    if unit not in wanted:
        raise ValueError(f"'{text}' has no fitting unit; {figure} takes {' or '.join(sorted(wanted - {''})) or 'none'}")
    return Condition(text.strip(), part, figure, sign, value, unit, relative)
