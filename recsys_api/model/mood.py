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

STRENGTHS: dict[Mood, float] = {"balanced": 1.0, "popular": 4.0, "deep_cuts": -0.6}
"""What the best known movie gains (or loses) beside one that nobody voted on, as a share of its similarity."""


def multipliers(votes: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """What similarities are multiplied by: float32 [len(MOODS), N] in the order of MOODS, from `votes` int32 [N].

    1 + strength * ln(1 + votes) / ln(1 + the most votes of the catalogue): ten times the votes count for the same step
    up, wherever one begins. Where nobody voted there is nothing to go by, and the shape is [len(MOODS), 0].
    """
    if not votes.any():
        return np.zeros((len(MOODS), 0), dtype=np.float32)
    known = np.log1p(votes) / np.log1p(votes.max())
    return np.stack([1 + STRENGTHS[mood] * known for mood in MOODS]).astype(np.float32)
