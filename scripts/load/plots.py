"""Plots as SVG text: lines over a numbered ground, bars, points; small, without a script, fit to stand in a page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 1040, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 74, 14, 44
_LOG_RATIO = 40
_LABEL_GAP = 15
Tick = tuple[float, str]


@dataclass(frozen=True)
class Series:
    """One line, or one row of bars or points; a gap where a value is None."""

    name: str
    color: str
    points: Sequence[tuple[float, float | None]]
    hints: Sequence[str] = ()
    """What is shown when the pointer rests on a point."""
    shape: str = "line"
    """line, area, bars or points."""
    bar_width: float = 1.0
    labelled: bool = True


@dataclass(frozen=True)
class Mark:
    """A vertical line with a word."""

    at: float
    text: str


def plot(
    series: Sequence[Series], *, title: str, x_label: str, y_label: str, x_ticks: Sequence[Tick],
    x_range: tuple[float, float], y_form: Callable[[float], str], may_be_log: bool = False, marks: Sequence[Mark] = (),
) -> str:  # fmt: skip
    """An SVG element. The values' axis is logarithmic where that is allowed and the values differ widely."""
    values = [value for one in series for _, value in one.points if value is not None]
    positive = [value for value in values if value > 0]
    log = may_be_log and bool(positive) and max(positive) / min(positive) > _LOG_RATIO
    y_ticks = _log_ticks(min(positive), max(positive)) if log else round_ticks(max(values, default=0.0))
    low, high = (math.log(y_ticks[0]), math.log(y_ticks[-1])) if log else (0.0, y_ticks[-1])
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    span = (x_range[1] - x_range[0]) or 1.0

    def across(x: float) -> float:
        return _LEFT + (x - x_range[0]) / span * (right - _LEFT)

    def down(y: float) -> float:
        placed = math.log(max(y, y_ticks[0])) if log else y
        return bottom - (placed - low) / (high - low) * (bottom - _TOP)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">']
    parts += [
        f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{down(value):.1f}" y2="{down(value):.1f}"/>'
        f'<text class="tick" text-anchor="end" x="{_LEFT - 8}" y="{down(value) + 4:.1f}">{y_form(value)}</text>'
        for value in y_ticks
    ]
    for x, text in x_ticks:
        parts.append(
            f'<line class="grid" x1="{across(x):.1f}" x2="{across(x):.1f}" y1="{bottom}" y2="{bottom + 5}"/>'
            f'<text class="tick" text-anchor="middle" x="{across(x):.1f}" y="{bottom + 19}">{escape(text)}</text>'
        )
    unit = f"{y_label}, logarithmic" if log else y_label
    parts.append(
        f'<text class="axis" text-anchor="middle" x="{(_LEFT + right) / 2}" y="{HEIGHT - 6}">{escape(x_label)}</text>'
        f'<text class="axis" text-anchor="middle" transform="translate(14 {(_TOP + bottom) / 2}) rotate(-90)">'
        f"{escape(unit)}</text>"
    )
    parts += [
        f'<line class="mark" x1="{across(mark.at):.1f}" x2="{across(mark.at):.1f}" y1="{_TOP}" y2="{bottom}"/>'
        f'<text class="marked" text-anchor="end" x="{across(mark.at) - 6:.1f}" y="{_TOP + 12}">{escape(mark.text)}'
        "</text>"
        for mark in marks
    ]
    parts += [_drawn(one, across, down, bottom) for one in series]
    parts += _names(series, down, right)
    parts.append("</svg>")
    return "\n".join(parts)


def _drawn(series: Series, across: Callable[[float], float], down: Callable[[float], float], bottom: float) -> str:
    hints = series.hints or ["" for _ in series.points]
    shapes: list[str] = []
    path: list[str] = []
    area: list[str] = []
    pen_down = False
    for (x, y), hint in zip(series.points, hints, strict=True):
        if y is None:
            pen_down = False
            continue
        told = f"<title>{escape(hint)}</title>" if hint else ""
        if series.shape == "bars":
            width = max(across(x + series.bar_width) - across(x) - 1, 1.0)
            if y:
                shapes.append(
                    f'<rect x="{across(x):.1f}" y="{down(y):.1f}" width="{width:.1f}" '
                    f'height="{max(bottom - down(y), 1):.1f}" fill="{series.color}">{told}</rect>'
                )
            continue
        if not pen_down and series.shape == "area":
            area.append(f"{'L' if area else 'M'}{across(x):.1f} {bottom:.1f}")
        path.append(f"{'L' if pen_down else 'M'}{across(x):.1f} {down(y):.1f}")
        area.append(f"L{across(x):.1f} {down(y):.1f}")
        pen_down = True
        radius = 5 if series.shape == "points" else 7
        seen = f'fill="{series.color}"' if series.shape == "points" else 'fill="transparent"'
        if told or series.shape == "points":
            shapes.append(f'<circle cx="{across(x):.1f}" cy="{down(y):.1f}" r="{radius}" {seen}>{told}</circle>')
    if series.shape == "area" and path:
        last = next(x for x, y in reversed(series.points) if y is not None)
        outline = f"{' '.join(area)} L{across(last):.1f} {bottom:.1f}Z"
        shapes.insert(0, f'<path d="{outline}" fill="{series.color}" opacity=".15"/>')
    if series.shape in {"line", "area"} and path:
        shapes.insert(0, f'<path class="line" d="{" ".join(path)}" stroke="{series.color}"/>')
    return "\n".join(shapes)


def _names(series: Sequence[Series], down: Callable[[float], float], right: float) -> list[str]:
    """The name of each line at its end, apart from each other."""
    ends = []
    for one in reversed(series):
        last = next((y for _, y in reversed(one.points) if y is not None), None)
        if one.labelled and last is not None:
            ends.append((down(last), one))
    placed, names = -math.inf, []
    for y, one in sorted(ends, key=lambda end: end[0]):
        placed = max(y, placed + _LABEL_GAP)
        place = f'x="{right + 8}" y="{placed + 4:.1f}"'
        names.append(f'<text class="name" {place} style="fill:{one.color}">{escape(one.name)}</text>')
    return names


def round_ticks(most: float, count: int = 5) -> list[float]:
    """Round values from 0 to a little above `most`, about so many."""
    if most <= 0:
        return [0.0, 1.0]
    step = 10 ** math.floor(math.log10(most / count))
    step *= next(factor for factor in (1, 2, 2.5, 5, 10) if most / (step * factor) <= count)
    return [step * number for number in range(math.ceil(most / step - 1e-9) + 1)]


def _log_ticks(least: float, most: float) -> list[float]:
    """1, 2, 5 times powers of ten around the values."""
    exponents = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    every = [factor * 10.0**exponent for exponent in exponents for factor in (1, 2, 5)]
    first = max((index for index, value in enumerate(every) if value <= least), default=0)
    last = next((index for index, value in enumerate(every) if value >= most), len(every) - 1)
    ticks = every[first : last + 1]
    return ticks if len(ticks) <= 8 else [ticks[0], *(t for t in ticks[1:-1] if math.log10(t) % 1 < 1e-9), ticks[-1]]
