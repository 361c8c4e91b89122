"""The expressions of the dashboards as Grafana would send them: read from the JSON, with their variables filled in."""
from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")

EVERYTHING = {"environment": ".*", "instance": ".*", "endpoint": ".*"}
"""What the variables stand for while nobody has chosen."""
ONLY_FOR_FAULTS = frozenset({"Alerts firing now", "Firing alerts", "Model changed"})
"""Panels, by title, and annotations, by name, that have nothing to show while nothing happens."""
SCRAPE_SECONDS = 10
"""What the data source is told about the scrape interval: timeInterval in its provisioning."""


class Expression(NamedTuple):
    """One query of a panel, or of an annotation, whose panel is then its name."""

    dashboard: str
    """uid"""
    panel: str
    ref_id: str
    expression: str


def expressions(
    folder: Path, *, variables: Mapping[str, str] = EVERYTHING, range_seconds: int = 3600, step_seconds: int = 10
) -> Iterator[Expression]:
    """All expressions of the dashboards in `folder`; raises ValueError for a variable that has no value."""
    values = dict(variables) | built_in(range_seconds=range_seconds, step_seconds=step_seconds)
    for path in sorted(folder.glob("*.json")):
        dashboard = json.loads(path.read_text(encoding="utf-8"))
        for panel, ref_id, text in raw_expressions(dashboard):
            yield Expression(dashboard["uid"], panel, ref_id, filled_in(text, values))


def raw_expressions(dashboard: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Panel title, refId and expression of a dashboard, its variables as they are."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["refId"], target["expr"]
    for annotation in dashboard["annotations"]["list"]:
        yield annotation["name"], "annotation", annotation["expr"]


def built_in(*, range_seconds: int, step_seconds: int) -> dict[str, str]:
    """Grafana's own variables for a range and the step of its points.

    A rate looks back over four scrapes at least, and over a step and a scrape so that no sample falls between two
    points: grafana.com/docs/grafana/latest/datasources/prometheus/template-variables.
    """
    rate_interval = max(step_seconds + SCRAPE_SECONDS, 4 * SCRAPE_SECONDS)
    return {
        "__rate_interval": f"{rate_interval}s", "__interval": f"{step_seconds}s", "__range": f"{range_seconds}s"
    }  # fmt: skip


def filled_in(expression: str, values: Mapping[str, str]) -> str:
    """The expression with each `$name` and `${name}` replaced; raises ValueError for a name without a value."""

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name not in values:
            raise ValueError(f"the variable ${name} has no value; known are {', '.join(sorted(values))}")
        return values[name]

    return _VARIABLE.sub(value, expression)
