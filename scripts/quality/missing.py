"""Whether a field that a movie lacks raises or lowers its similarities: what happens when it is taken away."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from recsys_api.catalog import Movie
from recsys_api.model import features
from recsys_api.model.weights import SHIPPED, Weights

FIELDS = ("overview", "keywords", "genres", "cast", "year")
"""What can be taken away."""
_SHARE = 0.3
_NEAREST = 10


class Lacking(NamedTuple):
    """What became of the movies whose field was taken away."""

    exposure: float
    """How often they are among the ten nearest of others, over how often they were before."""
    similarity: float
    """Their mean similarity to their own ten nearest, over what it was before."""


def taken_away(movies: Sequence[Movie], name: str, *, weights: Weights = SHIPPED, seed: int = 0) -> Lacking:
    """Three in ten of `movies`, drawn by `seed`, lose the field `name`."""
    chosen = np.random.default_rng(seed).random(len(movies)) < _SHARE
    without = [_without(name, movie) if lost else movie for movie, lost in zip(movies, chosen, strict=True)]
    before, after = (_nearest(features.fit(given, weights=weights).matrix.toarray()) for given in (movies, without))
    shown, told = ([one[i] for one in (before, after)] for i in (0, 1))
    return Lacking(
        float(shown[1][chosen].sum() / shown[0][chosen].sum()), float(told[1][chosen].mean() / told[0][chosen].mean())
    )


def _without(name: str, movie: Movie) -> Movie:
    if name == "year":
        return replace(movie, release_date="")
    if name == "overview":
        return replace(movie, overview="")
    if name == "keywords":
        return replace(movie, keywords=())
    if name == "genres":
        return replace(movie, genres=())
    return replace(movie, cast=())


def _nearest(rows: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """In how many movies' nearest each movie is, and each movie's mean similarity to its own nearest."""
    near = rows @ rows.T
    np.fill_diagonal(near, -1)
    best = np.argpartition(-near, _NEAREST, axis=1)[:, :_NEAREST]
    return np.bincount(best.ravel(), minlength=len(rows)), np.take_along_axis(near, best, 1).mean(axis=1)
