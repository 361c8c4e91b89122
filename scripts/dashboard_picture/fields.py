"""How the values of a panel are read: names, units, colours and words, from the panel's fieldConfig."""
from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .units import formatted

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#8E8E8E")
"""What series without a colour of their own get one after the other: Grafana's palette-colorblind."""
_CALCULATIONS = {"lastNotNull": "Last", "mean": "Mean", "max": "Max", "min": "Min"}


@dataclass(frozen=True)
class Field:
    """How the values of one name are to be shown."""

    name: str
    unit: str
    decimals: int | None
    steps: Sequence[Mapping[str, Any]]
    words: Mapping[str, Mapping[str, Any]]
    fixed_colour: str
    place: int
    dashed: bool
    coloured_text: bool

    def said(self, value: float) -> str:
        """A value as people read it."""
        mapped = self.words.get(_key(value))
        return mapped["text"] if mapped else formatted(value, self.unit, self.decimals)

    def colour_of(self, value: float) -> str:
        """The colour that a value has by its meaning."""
        mapped = self.words.get(_key(value))
        if mapped and mapped.get("color"):
            return str(mapped["color"])
        return self.fixed_colour or self._step_colour(value)

    @property
    def colour(self) -> str:
        """The colour of the series, whatever its values."""
        return self.fixed_colour or PALETTE[self.place % len(PALETTE)]

    def _step_colour(self, value: float) -> str:
        colour = str(self.steps[0]["color"]) if self.steps else PALETTE[0]
        for step in self.steps:
            if step["value"] is not None and value >= step["value"]:
                colour = str(step["color"])
        return colour


def field(panel: Mapping[str, Any], name: str, place: int = 0) -> Field:
    """The field of a name, with the panel's overrides for it."""
    defaults = panel["fieldConfig"]["defaults"]
    found = {"unit": defaults.get("unit", "none"), "decimals": defaults.get("decimals"),
             "thresholds": defaults.get("thresholds", {"steps": []})}  # fmt: skip
    for override in panel["fieldConfig"].get("overrides", ()):
        if _matches(override["matcher"], name):
            found |= {each["id"]: each["value"] for each in override["properties"]}
    words = {value: result for mapping in defaults.get("mappings", ()) for value, result in mapping["options"].items()}
    cell = found.get("custom.cellOptions", {})
    return Field(
        name, found["unit"], found["decimals"], found["thresholds"]["steps"], words,
        found.get("color", {}).get("fixedColor", ""), place,
        dashed=found.get("custom.lineStyle", {}).get("fill") == "dash",
        coloured_text=cell.get("type") == "color-text",
    )  # fmt: skip


def legend(target: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """The name of a series: the target's legend with the labels filled in."""
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: labels.get(found[1], ""), target.get("legendFormat", ""))


def calculated(name: str, values: Sequence[float]) -> tuple[str, float]:
    """The heading and the result of one of Grafana's calculations, over values none of which is NaN."""
    mean = math.fsum(values) / len(values)
    results = {"lastNotNull": values[-1], "mean": mean, "max": max(values), "min": min(values)}
    return _CALCULATIONS[name], results[name]


def _key(value: float) -> str:
    return f"{value:g}"


def _matches(matcher: Mapping[str, Any], name: str) -> bool:
    if matcher["id"] == "byRegexp":
        return re.search(str(matcher["options"]).strip("/"), name) is not None
    return bool(matcher["options"] == name)
