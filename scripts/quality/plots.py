"""Pictures of an evaluation."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from scripts.quality.evaluation import NEXT_LIKES, STRATA, Asked

_INCHES, _DPI = (9, 5), 120


def draw(asked: Mapping[str, Asked], folder: Path) -> list[Path]:
    """nDCG@10 by protocol with intervals, what it costs in coverage, and whom it serves; returns the files."""
    drawn = [_bars(name, one, folder / f"{name.replace(' ', '-')}.png") for name, one in asked.items() if one.figures]
    one = asked[NEXT_LIKES]
    return [*drawn, _coverage(one, folder / "coverage.png"), _strata(one, folder / "popularity.png")]


def _bars(name: str, one: Asked, path: Path) -> Path:
    figure, axes = plt.subplots(figsize=_INCHES, layout="constrained")
    systems = list(one.figures)
    estimates = [one.figures[system]["ndcg@10"] for system in systems]
    values = [estimate.value for estimate in estimates]
    around = [
        [estimate.value - estimate.low for estimate in estimates],
        [estimate.high - estimate.value for estimate in estimates],
    ]
    axes.barh(systems, values, xerr=around, color="#4c78a8", ecolor="#333333", capsize=3)
    axes.invert_yaxis()
    axes.set_xlabel("nDCG@10, with intervals of 95 %")
    axes.set_title(f"{name}: {one.cases:,} lists")
    return _save(figure, path)


def _coverage(one: Asked, path: Path) -> Path:
    figure, axes = plt.subplots(figsize=_INCHES, layout="constrained")
    for system, figures in one.figures.items():
        x, y = figures["coverage@10"].value, figures["ndcg@10"].value
        axes.plot(x, y, "o", color="#4c78a8")
        axes.annotate(system, (x, y), xytext=(6, 4), textcoords="offset points")
    axes.set_xlabel("coverage@10: the share of movies that anybody is shown")
    axes.set_ylabel("nDCG@10")
    axes.set_title(f"{NEXT_LIKES}: better lists, and more of the catalogue")
    axes.margins(0.15)
    return _save(figure, path)


def _strata(one: Asked, path: Path) -> Path:
    figure, axes = plt.subplots(figsize=_INCHES, layout="constrained")
    for system, figures in one.figures.items():
        axes.plot(STRATA, [figures[f"ndcg@10 {stratum}"].value for stratum in STRATA], "o-", label=system)
    axes.set_ylabel("nDCG@10 where only these movies are wanted")
    axes.set_xlabel("movies by popularity, a third of all ratings each")
    axes.set_title(NEXT_LIKES)
    axes.legend(fontsize="small")
    return _save(figure, path)


def _save(figure: Figure, path: Path) -> Path:
    figure.savefig(path, dpi=_DPI)
    plt.close(figure)
    return path
