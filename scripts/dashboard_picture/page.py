"""The whole picture: bar and variables on top, rows of panels below, on Grafana's grid of 24 columns."""
from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from monitoring.dashboards.expressions import built_in, filled_in

from . import graphs, tiles
from .canvas import Box, Canvas, Theme
from .graphs import View
from .prometheus import Prometheus

COLUMNS, CELL, GAP, MARGIN, TOP = 24, 30, 8, 16, 92
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_MOST_POINTS = 400

_GRAPHS = {"timeseries": graphs.draw_course, "heatmap": graphs.draw_heatmap, "state-timeline": graphs.draw_states}
_TILES = {"stat": tiles.draw_stat, "gauge": tiles.draw_gauge}
_MOMENTS = {"bargauge": tiles.draw_bars, "table": tiles.draw_table}
TYPES = (*_GRAPHS, *_TILES, *_MOMENTS, "text", "row")
"""Types of panels that can be drawn."""


@dataclass(frozen=True)
class Look:
    """What the picture is to look like."""

    width: int
    theme: Theme
    scale: float


def seconds(duration: str) -> int:
    """The seconds of a duration such as 15m or 7d; raises ValueError."""
    number, unit = duration[:-1], duration[-1:]
    if not number.isdecimal() or not int(number) or unit not in _SECONDS:
        raise ValueError(f"{duration!r} is no duration; write a number and one of {', '.join(_SECONDS)}, such as 15m.")
    return int(number) * _SECONDS[unit]


def chosen_panels(dashboard: Mapping[str, Any], rows: Sequence[str]) -> list[dict[str, Any]]:
    """The panels of the rows with these titles, moved up to follow each other; all without any title.

    Raises ValueError for a row that is not there.
    """
    titles = [panel["title"] for panel in dashboard["panels"] if panel["type"] == "row"]
    if missing := [row for row in rows if row not in titles]:
        raise ValueError(f"the dashboard has no row {missing[0]!r}; it has {', '.join(titles)}.")
    groups: list[list[dict[str, Any]]] = []
    for panel in dashboard["panels"]:
        if panel["type"] == "row" or not groups:
            groups.append([])
        groups[-1].append(panel)
    placed, y = [], 0
    for group in groups:
        if rows and group[0].get("title") not in rows:
            continue
        first = min(panel["gridPos"]["y"] for panel in group)
        placed += [panel | {"gridPos": panel["gridPos"] | {"y": panel["gridPos"]["y"] - first + y}} for panel in group]
        y = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in placed)
    return placed


def box_of(position: Mapping[str, int], width: int) -> Box:
    """The pixels of a place on the grid of a page so many pixels wide."""
    column = (width - 2 * MARGIN + GAP) / COLUMNS
    return Box(
        MARGIN + position["x"] * column, TOP + position["y"] * (CELL + GAP), position["w"] * column - GAP,
        position["h"] * (CELL + GAP) - GAP,
    )  # fmt: skip


def draw(
    dashboard: Mapping[str, Any], source: Prometheus, *, variables: Mapping[str, str], rows: Sequence[str], look: Look,
    progress: Callable[[str], None],
) -> Canvas:  # fmt: skip
    """The picture of a dashboard; raises ValueError for unknown rows, types or variables, and what `source` raises."""
    panels = chosen_panels(dashboard, rows)
    if unknown := {panel["type"] for panel in panels} - set(TYPES):
        raise ValueError(f"panels of type {', '.join(sorted(unknown))} cannot be drawn, only {', '.join(TYPES)}.")
    bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    canvas = Canvas(look.width, TOP + bottom * (CELL + GAP) + MARGIN - GAP, theme=look.theme, scale=look.scale)
    events = _events(dashboard, source, variables)
    _top(canvas, dashboard, source, variables)
    for number, panel in enumerate(panels, 1):
        progress(f"{number}/{len(panels)} {panel['title']}")
        box = box_of(panel["gridPos"], look.width)
        if panel["type"] == "row":
            _row(canvas, box, panel["title"])
            continue
        own = panel.get("timeFrom")
        during = replace(source, start=source.end - seconds(own)) if own else source
        _panel(canvas, box, panel, during, variables, () if own else events)
    return canvas


def _panel(
    canvas: Canvas, box: Box, panel: Mapping[str, Any], source: Prometheus, variables: Mapping[str, str],
    events: Sequence[tuple[float, float, str]],
) -> None:  # fmt: skip
    canvas.rectangle(box, canvas.theme.panel, round_by=3, edge=canvas.theme.border)
    title = canvas.text(box.x + 10, box.y + 17, panel["title"], size=13.5, bold=True, room=box.width - 34)
    if panel.get("description"):
        mark = Box(box.x + title + 17, box.y + 10.5, 13, 13)
        canvas.rectangle(mark, "none", round_by=6.5, edge=canvas.theme.faint)
        canvas.text(mark.x + 6.5, mark.y + 6.5, "i", size=9.5, colour=canvas.theme.faint, align="center")
    if panel.get("timeFrom"):
        canvas.text(box.x + box.width - 10, box.y + 17, f"Last {panel['timeFrom']}", size=11.5, align="right",
                    colour=canvas.theme.link)  # fmt: skip
    inner, kind = box.inner(10, 34, 10, 10), panel["type"]
    if kind == "text":
        drawn = tiles.draw_text(canvas, inner, panel)
    else:
        step = source.step(panel.get("maxDataPoints") or min(int(box.width), _MOST_POINTS))
        values = dict(variables) | built_in(range_seconds=round(source.end - source.start), step_seconds=step)
        queries = [(target, filled_in(target["expr"], values)) for target in panel["targets"]]
        if kind in _MOMENTS:
            drawn = _MOMENTS[kind](canvas, inner, panel, [(target, source.now(query)) for target, query in queries])
        else:
            found = [(target, *source.over_time(query, step=step)) for target, query in queries]
            if kind in _GRAPHS:
                drawn = _GRAPHS[kind](canvas, inner, panel, found, View(source.start, source.end, events))
            else:
                drawn = _TILES[kind](canvas, inner, panel, found)
    if not drawn:
        words = panel["fieldConfig"]["defaults"].get("noValue") or "No data"
        canvas.text(box.x + box.width / 2, box.y + box.height / 2 + 8, words, size=14, align="center",
                    colour=canvas.theme.faint)  # fmt: skip


def _row(canvas: Canvas, box: Box, title: str) -> None:
    x, y = box.x + 6, box.y + box.height / 2
    canvas.line(x, y - 2, x + 4, y + 2, canvas.theme.faint, width=1.6)
    canvas.line(x + 4, y + 2, x + 8, y - 2, canvas.theme.faint, width=1.6)
    canvas.text(box.x + 22, y, title, size=15, bold=True)


def _top(canvas: Canvas, dashboard: Mapping[str, Any], source: Prometheus, variables: Mapping[str, str]) -> None:
    theme, right = canvas.theme, canvas.width - MARGIN
    canvas.rectangle(Box(0, 0, canvas.width, 44), theme.panel)
    canvas.line(0, 44, canvas.width, 44, theme.border)
    x = MARGIN + canvas.text(MARGIN, 22, "Dashboards", size=13.5, colour=theme.faint) + 10
    x += canvas.text(x, 22, "›", size=15, colour=theme.faint) + 10
    canvas.text(x, 22, dashboard["title"], size=13.5, bold=True)
    length = round(source.end - source.start)
    unit, size = next((unit, size) for unit, size in reversed(_SECONDS.items()) if length % size == 0)
    name = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week"}[unit]
    end = datetime.fromtimestamp(source.end).strftime("%Y-%m-%d %H:%M")
    period = f"{length // size} {name}{'s' if length > size else ''} to {end}"
    right = _pill(canvas, right, 22, f"⟳ {dashboard['refresh']}") - 8
    right = _pill(canvas, right, 22, period) - 8
    x = float(MARGIN)
    for variable in dashboard["templating"]["list"]:
        value = variables.get(variable["name"], "")
        text = "All" if value == variable.get("allValue") else value or variable["current"]["text"]
        width = canvas.measure(variable["label"], canvas.font(12)) + 18
        canvas.rectangle(Box(x, 54, width, 28), theme.panel, edge=theme.border, round_by=2)
        canvas.text(x + 9, 68, variable["label"], size=12, bold=False, colour=theme.text)
        value_width = canvas.measure(text, canvas.font(12)) + 34
        canvas.rectangle(Box(x + width, 54, value_width, 28), theme.page, edge=theme.border, round_by=2)
        canvas.text(x + width + 9, 68, text, size=12, colour=theme.text)
        down = x + width + value_width - 14
        canvas.line(down - 4, 66, down, 70, theme.faint, width=1.3)
        canvas.line(down, 70, down + 4, 66, theme.faint, width=1.3)
        x += width + value_width + 10
    right = canvas.width - MARGIN
    for link in reversed(dashboard["links"]):
        right = _pill(canvas, right, 68, link["title"]) - 8
    for annotation in reversed(dashboard["annotations"]["list"]):
        canvas.rectangle(Box(right - 26, 60, 26, 15), annotation["iconColor"], round_by=7.5)
        canvas.rectangle(Box(right - 13, 62, 11, 11), "#ffffff", round_by=5.5)
        canvas.text(right - 34, 68, annotation["name"], size=12, align="right")
        right -= 34 + canvas.measure(annotation["name"], canvas.font(12)) + 18


def _pill(canvas: Canvas, right: float, middle: float, words: str) -> float:
    width = canvas.measure(words, canvas.font(12)) + 22
    box = Box(right - width, middle - 14, width, 28)
    canvas.rectangle(box, canvas.theme.page, edge=canvas.theme.border, round_by=2)
    canvas.text(box.x + width / 2, middle, words, size=12, align="center")
    return box.x


def _events(
    dashboard: Mapping[str, Any], source: Prometheus, variables: Mapping[str, str]
) -> list[tuple[float, float, str]]:
    """Start, end and colour of what the annotations find."""
    step = 10
    values = dict(variables) | built_in(range_seconds=round(source.end - source.start), step_seconds=step)
    events = []
    for annotation in dashboard["annotations"]["list"]:
        times, courses = source.over_time(filled_in(annotation["expr"], values), step=step)
        for course in courses:
            start = None
            for moment, value in zip([*times, math.inf], [*course.values, math.nan], strict=True):
                if value > 0:
                    start = moment if start is None else start
                    end = moment
                elif start is not None:
                    events.append((float(start), float(end), annotation["iconColor"]))
                    start = None
    return events
