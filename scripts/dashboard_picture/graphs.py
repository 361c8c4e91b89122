"""Panels with a time axis: courses, heatmaps and states."""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from .canvas import Box, Canvas
from .fields import Field, calculated, field, legend
from .prometheus import Course
from .units import formatted

LINE = 19
"""Pixels from one line of a legend to the next."""
Found = Sequence[tuple[Mapping[str, Any], np.ndarray[Any, Any], Sequence[Course]]]
"""For each target its definition, times and courses."""


@dataclass(frozen=True)
class View:
    """The part of time on show, and what happened in it: start, end and colour of each event."""

    start: float
    end: float
    events: Sequence[tuple[float, float, str]] = ()


def draw_course(canvas: Canvas, box: Box, panel: Mapping[str, Any], found: Found, view: View) -> bool:
    """Values over time with a legend; False if there are none."""
    lines = _lines(panel, found)
    if not lines:
        return False
    custom = panel["fieldConfig"]["defaults"]["custom"]
    graph = _with_legend(canvas, box, panel, lines)
    axes = canvas.axes(graph.inner(52, 4, 8, 20))
    stacked = custom.get("stacking", {}).get("mode") == "normal"
    base = np.zeros(len(lines[0][1]))
    for shape, times, values in lines:
        top = base + np.nan_to_num(values) if stacked else values
        if custom.get("drawStyle") == "bars":
            step = times[1] - times[0] if len(times) > 1 else 10
            axes.bar(times, top - base, step * 0.9, base, color=shape.colour, alpha=0.8, linewidth=0)
        else:
            opacity = 0 if shape.dashed else custom.get("fillOpacity", 0) / 100
            floor = base if stacked else np.zeros_like(top)
            axes.fill_between(times, floor, top, color=shape.colour, alpha=opacity, linewidth=0)
            width = canvas.points(custom.get("lineWidth", 1))
            style = (0, (5, 4)) if shape.dashed else "-"
            axes.plot(times, top, color=shape.colour, linewidth=width, linestyle=style, solid_joinstyle="round")
        base = top if stacked else base
    _value_axis(axes, panel, lines, base if stacked else None)
    if custom.get("thresholdsStyle", {}).get("mode", "off") != "off":
        low, high = axes.get_ylim()
        for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]:
            if step["value"] is not None and low <= step["value"] <= high:
                axes.axhline(step["value"], color=step["color"], linewidth=canvas.points(1.5), linestyle=(0, (6, 5)))
    _time_axis(canvas, axes, view)
    return True


def draw_heatmap(canvas: Canvas, box: Box, panel: Mapping[str, Any], found: Found, view: View) -> bool:
    """Observations by bucket and time with a scale of the colours; False if there are none."""
    _, times, courses = found[0]
    buckets = apart(courses)
    if not buckets or not any(np.nansum(values) > 0 for _, values in buckets):
        return False
    cells = np.vstack([values for _, values in buckets])
    used = np.flatnonzero(np.nansum(cells, axis=1) > 0)
    low, high = max(used[0] - 1, 0), min(used[-1] + 2, len(buckets))
    cells, bounds = cells[low:high], [bound for bound, _ in buckets[low:high]]
    axes = canvas.axes(box.inner(52, 4, 8, 52))
    half = (times[1] - times[0]) / 2 if len(times) > 1 else 5
    edges = np.append(times - half, times[-1] + half)
    shown = np.ma.masked_less_equal(np.nan_to_num(cells), 1e-9)
    top = float(shown.max())
    axes.pcolormesh(
        edges, np.arange(len(bounds) + 1), shown, cmap="viridis", norm=PowerNorm(0.5, 0, top),
        edgecolor=canvas.theme.panel, linewidth=canvas.points(0.6),
    )  # fmt: skip
    unit = panel["options"]["yAxis"].get("unit", "none")
    every = math.ceil(len(bounds) / max(1, (box.height - 56) // 18))
    axes.yaxis.set_major_locator(FixedLocator([float(place + 1) for place in range(0, len(bounds), every)]))
    names = {place + 1: _bound(bound, unit) for place, bound in enumerate(bounds)}
    axes.yaxis.set_major_formatter(FuncFormatter(lambda place, _: names.get(round(place), "")))
    _time_axis(canvas, axes, view)
    _colour_scale(canvas, Box(box.x + 52, box.y + box.height - 22, min(260, box.width * 0.5), 10), top)
    return True


def draw_states(canvas: Canvas, box: Box, panel: Mapping[str, Any], found: Found, view: View) -> bool:
    """One bar for each series, in the colours of its states; False if there are none."""
    lines = _lines(panel, found)
    if not lines:
        return False
    axes = canvas.axes(box.inner(104, 6, 8, 46))
    axes.set_ylim(len(lines), 0)
    for place, (shape, times, values) in enumerate(lines):
        step = times[1] - times[0] if len(times) > 1 else 10
        start = 0
        for end in range(1, len(values) + 1):
            if end < len(values) and values[end] == values[start]:
                continue
            if not np.isnan(values[start]):
                left, width = times[start], (end - start) * step
                axes.barh(place + 0.5, width, 0.8, left, color=shape.colour_of(values[start]), alpha=0.75)
                if width > 0.12 * (view.end - view.start):
                    axes.text(left + width / 2, place + 0.5, shape.said(values[start]), ha="center", va="center",
                              color="#ffffff", fontproperties=canvas.font(11))  # fmt: skip
            start = end
    axes.yaxis.set_major_locator(FixedLocator([place + 0.5 for place in range(len(lines))]))
    axes.set_yticklabels([shape.name for shape, _, _ in lines])
    _time_axis(canvas, axes, view, grid=False)
    left = box.x + 8
    for words in lines[0][0].words.values():
        canvas.rectangle(Box(left, box.y + box.height - 15, 12, 4), words["color"], round_by=2)
        left += 18 + canvas.text(left + 17, box.y + box.height - 13, words["text"], size=11.5) + 14
    return True


def apart(courses: Sequence[Course]) -> list[tuple[float, np.ndarray[Any, Any]]]:
    """Upper bounds and what is in each bucket alone, lowest first, of the cumulative buckets of a histogram."""
    ordered = sorted(((float(course.labels["le"]), course.values) for course in courses), key=lambda each: each[0])
    below: np.ndarray[Any, Any] | float = 0.0
    buckets = []
    for bound, values in ordered:
        buckets.append((bound, np.maximum(values - below, 0)))
        below = values
    return buckets


def _lines(panel: Mapping[str, Any], found: Found) -> list[tuple[Field, np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    named = [
        (legend(target, course.labels) or "Value", times, course.values)
        for target, times, courses in found
        for course in sorted(courses, key=lambda course: legend(target, course.labels))
        if not np.isnan(course.values).all()
    ]
    return [(field(panel, name, place), times, values) for place, (name, times, values) in enumerate(named)]


def _with_legend(
    canvas: Canvas, box: Box, panel: Mapping[str, Any],
    lines: Sequence[tuple[Field, np.ndarray[Any, Any], np.ndarray[Any, Any]]],
) -> Box:  # fmt: skip
    """Draw the legend, and return the box that is left for the graph."""
    options = panel["options"]["legend"]
    calculations = options["calcs"]
    if options["placement"] == "right":
        room = max(1, int(box.height - 8) // LINE - 1)
        width = min(box.width * 0.5, 200 + 62 * len(calculations))
        place, graph = Box(box.x + box.width - width, box.y, width, box.height), box.inner(0, 0, width, 0)
    else:
        room = max(1, min(len(lines), 4, int(box.height * 0.4) // LINE))
        height = (room + 1) * LINE + 4
        place = Box(box.x + 8, box.y + box.height - height, box.width - 16, height)
        graph = box.inner(0, 0, 0, height)
    columns = [place.x + place.width - 8 - 66 * (len(calculations) - 1 - number) for number in range(len(calculations))]
    y = place.y + 10
    canvas.text(place.x + 18, y, "Name", size=11, colour=canvas.theme.link, bold=True)
    ordered = sorted(lines, key=lambda line: -np.nanmean(line[2])) if len(lines) > room else lines
    for number, (shape, _, values) in enumerate(ordered[:room]):
        y += LINE
        canvas.line(place.x, y - LINE / 2, place.x + place.width, y - LINE / 2, canvas.theme.grid)
        canvas.rectangle(Box(place.x + 2, y - 2, 11, 4), shape.colour, round_by=2)
        known = values[~np.isnan(values)].tolist()
        canvas.text(place.x + 18, y, shape.name, size=11.5, room=place.width - 28 - 66 * len(calculations))
        for x, calculation in zip(columns, calculations, strict=True):
            heading, value = calculated(calculation, known)
            canvas.text(x, y, shape.said(value), size=11.5, align="right")
            if number == 0:
                canvas.text(x, place.y + 10, heading, size=11, colour=canvas.theme.link, bold=True, align="right")
    return graph


def _value_axis(
    axes: Axes, panel: Mapping[str, Any], lines: Sequence[tuple[Field, Any, Any]], total: np.ndarray[Any, Any] | None
) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    everything = total if total is not None else np.concatenate([values for _, _, values in lines])
    low, high = float(np.nanmin(everything)), float(np.nanmax(everything))
    if defaults["custom"].get("thresholdsStyle", {}).get("mode", "off") != "off" and defaults.get("max") is None:
        steps = [step["value"] for step in defaults["thresholds"]["steps"] if step["value"] is not None]
        high = max([high, *(step * 1.05 for step in steps if step <= high * 1.6 or step == min(steps))])
    low = defaults["min"] if defaults.get("min") is not None else low - 0.1 * (high - low)
    high = defaults["max"] if defaults.get("max") is not None else high + 0.06 * (high - low)
    axes.set_ylim(low, high if high > low else low + 1)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10], integer=defaults.get("decimals") == 0))
    unit = defaults["unit"]
    if unit == "bytes":
        scale = 1024.0 ** math.floor(math.log(max(high, 1), 1024))
        ticks = np.asarray(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(low / scale, high / scale)) * scale
        axes.yaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(float(value), unit)))
    axes.margins(x=0)


def _tick(value: float, unit: str) -> str:
    """A mark of an axis, with no more decimals than it has."""
    if value == 0 or unit == "bytes":
        return formatted(value, unit, 0)
    exact = _number(formatted(value, unit, 6))
    return next(
        (text for text in (formatted(value, unit, decimals) for decimals in range(4)) if _number(text) == exact),
        formatted(value, unit),
    )


def _number(text: str) -> float:
    return float(text.partition(" ")[0].rstrip("%"))


def _time_axis(canvas: Canvas, axes: Axes, view: View, *, grid: bool = True) -> None:
    axes.set_xlim(view.start, view.end)
    length = view.end - view.start
    width = axes.get_position().width * canvas.width
    gaps = (60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800)
    gap = next((gap for gap in gaps if length / gap <= width / 70), 604_800)
    shift = datetime.fromtimestamp(view.start).astimezone().utcoffset()
    zone = shift.total_seconds() if shift else 0
    first = math.ceil((view.start + zone) / gap) * gap - zone
    axes.xaxis.set_major_locator(FixedLocator(np.arange(first, view.end, gap).tolist()))
    form = "%H:%M" if length <= 86_400 else "%m/%d"
    axes.xaxis.set_major_formatter(FuncFormatter(lambda moment, _: datetime.fromtimestamp(moment).strftime(form)))
    if grid:
        axes.grid(color=canvas.theme.grid, linewidth=canvas.points(1), zorder=0)
    axes.set_axisbelow(True)
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_fontproperties(canvas.font(11))
    for start, end, colour in view.events:
        axes.axvline(start, color=colour, linewidth=canvas.points(1.4), linestyle=(0, (3, 3)), zorder=5)
        axes.axvspan(start, end, color=colour, alpha=0.09, linewidth=0, zorder=0)
        axes.plot([start], [0], marker="^", color=colour, markersize=canvas.points(7), clip_on=False,
                  transform=axes.get_xaxis_transform(), zorder=6)  # fmt: skip


def _bound(bound: float, unit: str) -> str:
    return "more" if math.isinf(bound) else _tick(bound, unit)


def _colour_scale(canvas: Canvas, box: Box, top: float) -> None:
    axes = canvas.axes(box)
    axes.imshow(np.linspace(0, 1, 128).reshape(1, -1) ** 0.5, aspect="auto", cmap="viridis", extent=(0, 1, 0, 1))
    axes.axis("off")
    canvas.text(box.x - 6, box.y + box.height / 2, "0", size=11, colour=canvas.theme.faint, align="right")
    canvas.text(box.x + box.width + 6, box.y + box.height / 2, f"{formatted(top, 'none', 1)} in a second", size=11,
                colour=canvas.theme.faint)  # fmt: skip
