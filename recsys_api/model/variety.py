"""A list in which not everything is alike: maximal marginal relevance, and few movies of one series."""
from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit, types

from recsys_api.catalog.widths import Ids
from recsys_api.model.kernel import (
    ALONE,
    IDS,
    INT32S,
    OFFSETS,
    UNIT,
    WEIGHTS,
    Int32s,
    Int64s,
    Scores,
    SimilarityIndex,
    Weights,
)

MOST_OF_A_SERIES = 2
"""How many movies of one series a varied list may have."""

Floats = npt.NDArray[np.float64]


class Varied(NamedTuple):
    """A choice from a list of candidates."""

    places: Int32s
    """int32: the candidates that were chosen, as places in their list, in the order of the choice."""
    spread: float
    """Intra-list diversity: 1 less the mean similarity of all pairs of the choice; 1 where there is no pair."""


class Variety:
    """Makes varied lists of one model's movies; threads share it."""

    def __init__(self, index: SimilarityIndex, franchises: Int32s) -> None:
        self._index = index
        self._franchises = franchises
        self._scratch = threading.local()

    def choose(self, rows: Int32s, worth: Scores, k: int, *, diversity: float) -> Varied:
        """At most `k` of the candidates `rows`, best first by `worth` float32, so that they differ from each other.

        One after the other, always the candidate with the greatest
        (1 - diversity) * worth / the greatest worth - diversity * the similarity to the nearest that is chosen already
        (Carbonell and Goldstein, The use of MMR, 1998), ties by place; never more than MOST_OF_A_SERIES of one series.
        """
        chosen = np.empty(min(k, rows.size), dtype=np.int32)
        greatest = float(worth.max(initial=0)) or 1.0
        count, alike = _choose(
            rows, worth.astype(np.float64) / greatest, diversity, self._franchises[rows], MOST_OF_A_SERIES,
            self._index.row_offsets, self._index.row_features, self._index.row_weights, self._weights(), chosen,
        )  # fmt: skip
        pairs = count * (count - 1) / 2
        return Varied(chosen[:count], 1 - alike / pairs if pairs else 1.0)

    def _weights(self) -> Int32s:
        """This thread's scratch: int32 [F], all zero between calls."""
        weights: Int32s | None = getattr(self._scratch, "weights", None)
        if weights is None:
            weights = self._scratch.weights = np.zeros(self._index.shape[1], dtype=np.int32)
        return weights


@njit(
    [types.void(INT32S, types.int64, OFFSETS, ids, WEIGHTS, types.int32[::1], types.float64[::1]) for ids in IDS],
    nogil=True,
    cache=True,
)
def _compare(
    rows: Int32s, row: int, offsets: Int64s, features: Ids, weights: Weights, scratch: Int32s, similarities: Floats
) -> None:
    """Fill `similarities` with those of `rows` to `row`."""
    for j in range(offsets[row], offsets[row + 1]):
        scratch[features[j]] = weights[j]
    for i in range(rows.size):
        total = np.int64(0)
        for j in range(offsets[rows[i]], offsets[rows[i] + 1]):
            total += np.int64(scratch[features[j]]) * np.int64(weights[j])
        similarities[i] = total * UNIT
    for j in range(offsets[row], offsets[row + 1]):
        scratch[features[j]] = 0


_COUNT_AND_SUM = types.Tuple((types.int64, types.float64))  # type: ignore[no-untyped-call]  # numba has no types


@njit(
    [
        _COUNT_AND_SUM(
            INT32S, types.float64[::1], types.float64, INT32S, types.int64, OFFSETS, ids, WEIGHTS,
            types.int32[::1], types.int32[::1],
        )
        for ids in IDS
    ],
    nogil=True,
    cache=True,
)  # fmt: skip
def _choose(
    rows: Int32s, worth: Floats, diversity: float, franchises: Int32s, most: int,
    offsets: Int64s, features: Ids, weights: Weights, scratch: Int32s, chosen: Int32s,
) -> tuple[int, float]:  # fmt: skip
    """Fill `chosen` with places in `rows`; returns how many, and the sum of the similarities of all pairs."""
    nearest, summed, similarities = np.zeros(rows.size), np.zeros(rows.size), np.empty(rows.size)
    open_ = np.ones(rows.size, dtype=np.bool_)
    alike = 0.0
    for count in range(chosen.size):
        best, best_value = -1, 0.0
        for i in range(rows.size):
            value = (1 - diversity) * worth[i] - diversity * nearest[i]
            if open_[i] and (best < 0 or value > best_value):
                best, best_value = i, value
        if best < 0:
            return count, alike
        chosen[count] = best
        open_[best] = False
        alike += summed[best]
        series = franchises[best]
        if series != ALONE and np.sum(franchises[chosen[: count + 1]] == series) == most:
            open_ &= franchises != series
        _compare(rows, rows[best], offsets, features, weights, scratch, similarities)
        nearest = np.maximum(nearest, similarities)
        summed += similarities
    return chosen.size, alike
