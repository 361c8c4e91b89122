"""How much being well known counts: the popularity prior, as a knob that is never hidden.

A list is ordered by similarity times a movie's multiplier in the mood that was asked for. Similarities themselves never
change.
"""
from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

Mood = Literal["balanced", "popular", "deep_cuts"]
MOODS: tuple[Mood, ...] = get_args(Mood)
DEFAULT: Mood = "balanced"
"""The mood that the table of neighbours is in."""

STRENGTHS: dict[Mood, float] = {"balanced": 0.4, "popular": 2.0, "deep_cuts": -0.6}
"""What the best known movie gains (or loses) beside one that nobody voted on, as a share of its similarity."""
_FEW_QUANTILE, _FEW_TIMES = 0.9, 2
_SHRUNK_BY = 5


def multipliers(votes: npt.NDArray[np.int32], ratings: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What similarities are multiplied by: float32 [len(MOODS), N] in the order of MOODS.

    From `votes` int32 [N] and their means `ratings` float32 [N], 0 where unknown:
    1 + strength * ln(1 + v / few) / ln(1 + the greatest v / few). v are votes that count by how good they are: times
    the square of their mean, shrunk by five votes towards the mean of all, over that mean. few is the double of what
    nine in ten of the movies with votes do not reach: below it a vote more or less says little, above it ten times the
    votes are always the same step. Where nobody voted there is nothing to go by, and the shape is [len(MOODS), 0].
    """
    if not votes.any():
        return np.zeros((len(MOODS), 0), dtype=np.float32)
    rated = ratings > 0
    mean = np.average(ratings[rated], weights=votes[rated]) if votes[rated].any() else 1.0
    shrunk = np.where(rated, (votes * ratings + _SHRUNK_BY * mean) / (votes + _SHRUNK_BY), mean)
    good = votes * (shrunk / mean) ** 2
    few = _FEW_TIMES * np.quantile(good[good > 0], _FEW_QUANTILE)
    known = np.log1p(good / few) / np.log1p(good.max() / few)
    return np.stack([1 + STRENGTHS[mood] * known for mood in MOODS]).astype(np.float32)
