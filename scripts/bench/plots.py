"""The pictures of the report."""
from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from scripts.bench.results import GROWTH, Result, by_size, figure

_GOOD, _BAD, _LINE = "#2a7f62", "#c44536", "#555555"


def targets(results: Sequence[tuple[str, Result]], folder: Path) -> None:
    """targets.png: each figure that has a target, as a share of its limit; below 1 it is met.

    Left out are figures that have no share to draw: at most 0, or nothing at all.
    """
    bars = [
        (f"{name}: {result.name}", share, bool(result.met))
        for name, result in results
        if result.met is not None and (share := _share(result)) > 0
    ]
    if not bars:
        return
    labels, shares, met = zip(*reversed(bars), strict=True)
    drawing, axes = plt.subplots(figsize=(11, 0.9 + 0.3 * len(bars)), layout="constrained")
    axes.barh(range(len(bars)), shares, color=[_GOOD if each else _BAD for each in met], height=0.6)
    axes.set_yticks(range(len(bars)), labels, fontsize=8)
    axes.set_xscale("log")
    ticks = [0.01, 0.1, 0.25, 0.5, 1, 2, 4]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xlim(min(0.1, *shares) * 0.9, max(2, *shares) * 1.1)
    axes.minorticks_off()
    axes.axvline(1, color=_LINE, linewidth=1)
    axes.set_xlabel("share of the limit (left of 1: met)")
    axes.spines[["top", "right"]].set_visible(False)
    drawing.savefig(folder / "targets.png", dpi=110)
    plt.close(drawing)


def scale(results: Sequence[Result], folder: Path) -> None:
    """scale.png: each figure by the number of films, both logarithmic, its growth, and the limit where it has one."""
    sizes = by_size(results)
    series = {what: [(films, result.value) for films, result in found.items()] for what, found in sizes.items()}
    units = {what: next(iter(found.values())).unit for what, found in sizes.items()}
    limits = {
        what: result.at_most for what, found in sizes.items() for result in found.values() if result.at_most is not None
    }
    for result in results:
        if " films : at " in result.name and result.at_most is not None:
            what = next(name for name in series if name.startswith(result.name.partition(" at ")[0]))
            limits[what] = result.at_most * series[what][0][1]
    growth = {result.name: result.value for result in results}
    columns = 3
    drawing, panels = plt.subplots(
        -(-len(series) // columns), columns, figsize=(12, 3.2 * -(-len(series) // columns)), layout="constrained",
        squeeze=False,
    )  # fmt: skip
    for axes, (what, points) in zip(panels.flat, series.items(), strict=False):
        axes.loglog(*zip(*points, strict=True), marker="o", color=_GOOD)
        for films, value in points:
            axes.annotate(
                figure(value), (films, value), textcoords="offset points", xytext=(0, 7), ha="center", fontsize=8
            )
        if what in limits:
            axes.axhline(limits[what], color=_BAD, linestyle="--", linewidth=1)
            axes.annotate(f"limit {figure(limits[what])}", (points[0][0], limits[what]), color=_BAD, fontsize=8,
                          textcoords="offset points", xytext=(0, 3))  # fmt: skip
        exponent = growth.get(GROWTH.format(what))
        grows = "" if exponent is None else f" (~ films^{exponent:.2f})"
        axes.set_title(f"{what}, {units[what]}{grows}", fontsize=9)
        axes.set_xticks([films for films, _ in points], [_short(films) for films, _ in points])
        axes.minorticks_off()
        axes.margins(0.15)
        axes.set_ylim(*_as_wide(axes.get_xlim(), [*(value for _, value in points), limits.get(what, points[0][1])]))
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels.flat[len(series) :]:
        axes.set_axis_off()
    drawing.savefig(folder / "scale.png", dpi=100)
    plt.close(drawing)


def _short(films: int) -> str:
    return f"{films / 1e6:g}M" if films >= 1e6 else f"{films / 1e3:g}k"


def _as_wide(across: tuple[float, float], values: Sequence[float]) -> tuple[float, float]:
    """Bounds that hold `values` and span as much as those `across`, so that what grows as films do is a diagonal."""
    middle = math.sqrt(min(values) * max(values))
    room = max(math.sqrt(across[1] / across[0]), 1.5 * max(values) / middle)
    return middle / room, middle * room


def _share(result: Result) -> float:
    if result.at_most is not None:
        return result.value / result.at_most if result.at_most else 0.0
    return (result.at_least or 0) / result.value if result.value else 0.0
