"""Panels of values of one moment: big numbers, dials, bars, tables; and words."""
from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.patches import Wedge

from .canvas import Box, Canvas
from .fields import Field, field, legend
from .graphs import Found, apart
from .prometheus import Course

Moment = Sequence[tuple[Mapping[str, Any], Sequence[tuple[Mapping[str, str], float]]]]
"""For each target its definition, and labels with values."""
_LINE = 30


def draw_stat(canvas: Canvas, box: Box, panel: Mapping[str, Any], found: Found) -> bool:
    """Big numbers side by side, each over its sparkline; False if there are none."""
    shown = list(_last(panel, found))
    if not shown:
        return False
    named = panel["options"]["textMode"] == "value_and_name"
    width, sparkline = box.width / len(shown), panel["options"]["graphMode"] == "area"
    gap = 6 if len(shown) > 1 else 0
    for place, (shape, values, value) in enumerate(shown):
        part = Box(box.x + place * width, box.y, width, box.height)
        colour = shape.colour_of(value)
        if sparkline and np.count_nonzero(~np.isnan(values)) > 1:
            _sparkline(canvas, part.inner(gap, part.height * 0.62, gap, 0), values, colour)
        words = shape.said(value)
        size = min(part.height * (0.32 if named else 0.46), 44.0)
        while size > 12 and canvas.measure(words, canvas.font(size, bold=True)) > width - 20:
            size -= 1
        middle = part.y + part.height * (0.42 if named else 0.28 if sparkline else 0.45)
        canvas.text(part.x + width / 2, middle, words, size=size, colour=colour, bold=True, align="center")
        if named:
            canvas.text(part.x + width / 2, part.y + part.height * 0.1, shape.name, size=13, align="center",
                        room=width - 12)  # fmt: skip
    return True


def draw_gauge(canvas: Canvas, box: Box, panel: Mapping[str, Any], found: Found) -> bool:
    """A dial from the least to the most, with its thresholds around; False without a value."""
    shown = list(_last(panel, found))
    if not shown:
        return False
    shape, _, value = shown[0]
    defaults = panel["fieldConfig"]["defaults"]
    low, high = defaults["min"], defaults["max"]
    side = min(box.width - 16, (box.height - 8) * 1.25)
    axes = canvas.axes(Box(box.x + (box.width - side) / 2, box.y + (box.height - side * 0.8) / 2, side, side * 0.8))
    axes.set(xlim=(-1.05, 1.05), ylim=(-0.63, 1.05))
    axes.axis("off")
    begin, sweep = 215.0, 250.0

    def arc(start: float, end: float, radius: float, thickness: float, colour: str) -> None:
        axes.add_patch(Wedge((0, 0), radius, begin - sweep * end, begin - sweep * start, width=thickness,
                             facecolor=colour, linewidth=0))  # fmt: skip

    reached = min(max((value - low) / (high - low), 0), 1)
    arc(0, 1, 0.92, 0.28, canvas.theme.track)
    arc(0, reached, 0.92, 0.28, shape.colour_of(value))
    starts = [0 if step["value"] is None else (step["value"] - low) / (high - low) for step in shape.steps]
    for step, start, end in zip(shape.steps, starts, [*starts[1:], 1], strict=True):
        arc(start, end, 1, 0.05, step["color"])
    axes.text(0, -0.02, shape.said(value), ha="center", va="center", color=shape.colour_of(value),
              fontproperties=canvas.font(side * 0.17, bold=True))  # fmt: skip
    return True


def draw_bars(canvas: Canvas, box: Box, panel: Mapping[str, Any], found: Moment) -> bool:
    """A bar for each value, as long as it is large; False if there are none."""
    named = list(_buckets(found) if found[0][0].get("format") == "heatmap" else _named(found))
    shown = [(field(panel, name, place), value) for place, (name, value) in enumerate(named) if not math.isnan(value)]
    if not shown:
        return False
    shown = shown[: max(1, int(box.height // 15))]
    size = min(13.0, box.height / len(shown) * 0.6)
    font = canvas.font(size)
    names = min(max(canvas.measure(shape.name, font) for shape, _ in shown) + 10, box.width * 0.6)
    numbers = max(canvas.measure(shape.said(value), font) for shape, value in shown) + 8
    top = max(value for _, value in shown) or 1
    line = box.height / len(shown)
    for place, (shape, value) in enumerate(shown):
        middle = box.y + (place + 0.5) * line
        thick = min(line * 0.7, 44)
        track = Box(box.x + names, middle - thick / 2, box.width - names - numbers, thick)
        canvas.text(box.x + names - 8, middle, shape.name, size=size, align="right", room=names - 8)
        canvas.rectangle(track, canvas.theme.track, round_by=2)
        colour = shape.colour_of(value)
        if value > 0:
            filled = Box(track.x, track.y, max(track.width * value / top, 2), thick)
            canvas.rectangle(filled, colour, round_by=2, opacity=0.85)
        canvas.text(box.x + box.width, middle, shape.said(value), size=size, colour=colour, align="right")
    return True


def draw_table(canvas: Canvas, box: Box, panel: Mapping[str, Any], found: Moment) -> bool:
    """Lines of labels and values under their headings; False if there are none."""
    headings, lines = table(panel, found)
    if not lines:
        return False
    shapes = [field(panel, heading) for heading in headings]
    cells = [["" if cell is None else cell if isinstance(cell, str) else shape.said(cell)
              for shape, cell in zip(shapes, line, strict=True)] for line in lines]  # fmt: skip
    font = canvas.font(12.5)
    wanted = [max(canvas.measure(text, font) for text in (heading, *column)) + 22
              for heading, column in zip(headings, zip(*cells, strict=True), strict=True)]  # fmt: skip
    widths = [box.width * width / sum(wanted) for width in wanted]
    line_height = min(_LINE, box.height / (min(len(lines), 6) + 1))
    x = box.x
    for column, (heading, shape, width) in enumerate(zip(headings, shapes, widths, strict=True)):
        number = any(isinstance(line[column], float) for line in lines)
        align, at = ("right", x + width - 8) if number else ("left", x + 8)
        canvas.text(at, box.y + line_height / 2, heading, size=12, bold=True, colour=canvas.theme.link, align=align,
                    room=width - 10)  # fmt: skip
        for place, line in enumerate(lines[: int(box.height // line_height) - 1]):
            cell, y = line[column], box.y + line_height * (place + 1.5)
            colour = shape.colour_of(cell) if isinstance(cell, float) and shape.coloured_text else ""
            canvas.text(at, y, cells[place][column], size=12.5, align=align, room=width - 10, colour=colour)
            canvas.line(x, y - line_height / 2, x + width, y - line_height / 2, canvas.theme.border)
        x += width
    return True


def table(panel: Mapping[str, Any], found: Moment) -> tuple[list[str], list[list[float | str | None]]]:
    """Headings and lines, after the panel's `merge` and `organize`."""
    organize = next(each["options"] for each in panel["transformations"] if each["id"] == "organize")
    merged: dict[frozenset[tuple[str, str]], dict[str, float | str]] = {}
    for target, values in found:
        name = "Value" if len(found) == 1 else f"Value #{target['refId']}"
        for labels, value in values:
            merged.setdefault(frozenset(labels.items()), dict(labels))[name] = value
    present = {name for line in merged.values() for name in line}
    hidden = organize["excludeByName"]
    names = [name for name in sorted(organize["indexByName"], key=organize["indexByName"].__getitem__)
             if name in present and not hidden.get(name)]  # fmt: skip
    lines: list[list[float | str | None]] = [[line.get(name) for name in names] for line in merged.values()]
    headings = [organize["renameByName"].get(name, name) for name in names]
    for sort in panel["options"].get("sortBy") or []:
        if sort["displayName"] in headings:
            by = headings.index(sort["displayName"])
            lines.sort(key=lambda line: float(line[by] or 0), reverse=bool(sort.get("desc")))
    return headings, lines


def draw_text(canvas: Canvas, box: Box, panel: Mapping[str, Any]) -> bool:
    """Markdown of paragraphs, lists, bold and italic words."""
    y, size = box.y + 8.0, 12.5
    for block in panel["options"]["content"].strip().splitlines():
        if not block.strip():
            y += 6
            continue
        indent = 14 if block.startswith("* ") else 0
        if indent:
            canvas.text(box.x + 2, y, "•", size=size, colour=canvas.theme.faint)
        x = box.x + indent
        for word, bold, italic in _words(block.removeprefix("* ")):
            width = canvas.measure(word, canvas.font(size, bold=bold, italic=italic))
            if x + width > box.x + box.width:
                x, y = box.x + indent, y + 17
            canvas.text(x, y, word, size=size, bold=bold, italic=italic)
            x += width + (canvas.measure("a a", canvas.font(size)) - canvas.measure("aa", canvas.font(size)))
        y += 18.5
    return True


def _words(text: str) -> Iterator[tuple[str, bool, bool]]:
    for run in re.findall(r"\*\*.+?\*\*\S*|\*.+?\*\S*|[^*]+", text):
        bold, italic = run.startswith("**"), run.startswith("*") and not run.startswith("**")
        for word in run.replace("*", "").split():
            yield word, bold, italic


def _last(panel: Mapping[str, Any], found: Found) -> Iterator[tuple[Field, np.ndarray[Any, Any], float]]:
    for target, _, courses in found:
        for course in sorted(courses, key=lambda course: legend(target, course.labels)):
            known = course.values[~np.isnan(course.values)]
            if len(known):
                yield field(panel, legend(target, course.labels)), course.values, float(known[-1])


def _named(found: Moment) -> Iterator[tuple[str, float]]:
    for target, values in found:
        for labels, value in values:
            yield legend(target, labels), value


def _buckets(found: Moment) -> Iterator[tuple[str, float]]:
    courses = [Course(labels, np.array([value])) for labels, value in found[0][1]]
    for bound, values in apart(courses):
        yield "more" if math.isinf(bound) else f"up to {bound:g}", float(values[0])


def _sparkline(canvas: Canvas, box: Box, values: np.ndarray[Any, Any], colour: str) -> None:
    axes = canvas.axes(box)
    axes.axis("off")
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    places = np.arange(len(values))
    floor = low - 0.15 * ((high - low) or 1)
    axes.fill_between(places, floor, values, color=colour, alpha=0.18, linewidth=0)
    axes.plot(places, values, color=colour, linewidth=canvas.points(1.3))
    axes.set(xlim=(0, len(values) - 1), ylim=(floor, high + 0.1 * ((high - low) or 1)))
