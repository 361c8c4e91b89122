"""Exact top-k similarity over an inverted index, without a dense matrix and without approximation.

Weights are whole numbers of 1/32768. Sums of their products are exact in 32 bits, so that a similarity does not depend
on the order of summation, on threads or on the machine, and every tie is a true tie.

Term-at-a-time with one dense accumulator: for a movie's some forty features this beats skipping strategies, which
assume short queries (see arXiv 2110.11540 for the comparison on learned sparse vectors).
"""
from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit, types

from recsys_api.catalog.widths import Ids, narrow

if TYPE_CHECKING:
    from scipy.sparse import csr_array

WEIGHT_ONE = 1 << 15
"""The integer that stands for the weight 1.0."""
UNIT = 1 / float(WEIGHT_ONE) ** 2
"""What one product of two such integers is worth."""

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Weights = npt.NDArray[np.uint16]
Scores = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class TopK(NamedTuple):
    """Rows, best first, ties by row, and their similarity: `rows` int32 and `scores` float32 of one length."""

    rows: Int32s
    scores: Scores


class Table(NamedTuple):
    """The table of neighbours: each row's best other rows, best first, and their similarity.

    `rows` and `scores` float32 are of one shape [N, K]. N, which is no row, fills up where there are not so many.
    """

    rows: Ids
    scores: Scores


def quantise(weights: npt.ArrayLike) -> Weights:
    """Weights in [0, 1] as whole numbers of 1/32768, rounded down so that no norm grows past 1."""
    return np.floor(np.asarray(weights, dtype=np.float64) * WEIGHT_ONE).astype(np.uint16)


def _readonly(dtype: Any, dimensions: int = 1) -> Any:
    return types.Array(dtype, dimensions, "C", readonly=True)


OFFSETS, INT32S, WEIGHTS, MASK = (_readonly(t) for t in (types.int64, types.int32, types.uint16, types.boolean))
IDS = (_readonly(types.uint16), INT32S)
"""Both types of Ids: what takes them is compiled for each."""
_COUNTER = types.int32[::1]
_FACTORS = _readonly(types.float32)


@njit(
    [
        types.void(INT32S, weights, OFFSETS, ids, WEIGHTS, _COUNTER)
        for ids in IDS for weights in (WEIGHTS, INT32S)
    ],
    nogil=True,
    cache=True,
)  # fmt: skip
def _accumulate(
    features: Int32s, weights: Weights | Int32s, offsets: Int64s, rows: Ids, row_weights: Weights, totals: Int32s
) -> None:
    """Fill `totals` with the similarity of every row to the query, in units of 2**-30."""
    totals[:] = 0
    for i in range(features.size):
        weight = np.int32(weights[i])
        for j in range(offsets[features[i]], offsets[features[i] + 1]):
            totals[rows[j]] += weight * np.int32(row_weights[j])


@njit(types.float32(types.int32, types.float32), nogil=True, cache=True)
def _similarity(total: np.int32, unit: np.float32) -> np.float32:
    return min(np.float32(total) * unit, np.float32(1))


@njit(types.int64(types.int32, types.int64, INT32S, types.int32[::1]), nogil=True, cache=True)
def _place_of_copy(row: int, count: int, copies: Int32s, best_rows: Int32s) -> int:
    """Where a copy of `row` stands among the first `count` of the best; `count` where there is none."""
    place = count
    if copies.size > 0 and copies[row] >= 0:
        place = 0
        while place < count and copies[best_rows[place]] != copies[row]:
            place += 1
    return place


@njit(
    types.int64(
        _COUNTER, types.float32, types.float32, MASK, types.int64, _FACTORS, types.float32, INT32S,
        types.int32[::1], types.float32[::1],
    ),
    nogil=True,
    cache=True,
)  # fmt: skip
def _select(
    totals: Int32s, unit: np.float32, lowest: np.float32, allowed: Mask, excluded: int,
    factors: Scores, greatest: np.float32, copies: Int32s, best_rows: Int32s, best_scores: Scores,
) -> int:  # fmt: skip
    """Put the best rows into `best_rows`, and what they are ordered by into `best_scores`; returns how many there are.

    Rows are visited in ascending order and enter only when strictly better, so ties fall to the lower row. They are
    compared as the float32 that is reported, so that what a client sees as equal is ordered as equal. Of rows that are
    copies of each other the best one enters; a copy of the excluded row does not.
    """
    k = best_rows.size
    count = 0
    bar = np.int32(-(1 << 31))
    own = copies[excluded] if copies.size > 0 and excluded >= 0 else np.int32(-1)
    for row in range(totals.size):
        total = totals[row]
        if (count == k and total <= bar) or row == excluded or (allowed.size > 0 and not allowed[row]):
            continue
        score = _similarity(total, unit)
        if score < lowest or (own >= 0 and copies[row] == own):
            continue
        if factors.size > 0:
            score *= factors[row]
        if count == k and score <= best_scores[k - 1]:
            continue
        place = _place_of_copy(row, count, copies, best_rows)
        if place < count and score <= best_scores[place]:
            continue
        if place == count:
            count = min(count + 1, k)
            place = count - 1
        while place > 0 and best_scores[place - 1] < score:
            best_scores[place] = best_scores[place - 1]
            best_rows[place] = best_rows[place - 1]
            place -= 1
        best_scores[place] = score
        best_rows[place] = row
        if count == k:
            # a total of at most this cannot pass the last score, whatever its factor; rounded down to be sure
            bar = np.int32(max(best_scores[k - 1] / (unit * greatest) * np.float32(1 - 1e-6) - 1, np.float32(0)))
    return count


_TABLE_SCORES = _readonly(types.float32, 2)
_YEARS = _readonly(types.int16)


@njit(
    [
        types.int64(
            _readonly(ids.dtype, 2), _TABLE_SCORES, types.int64, types.float32, _YEARS, types.boolean,
            types.int32[::1], types.float32[::1],
        )
        for ids in IDS
    ],
    nogil=True,
    cache=True,
)  # fmt: skip
def first_neighbours(
    rows: Ids, scores: Scores, row: int, lowest: float, years: npt.NDArray[np.int16], of_other_years: bool,
    first_rows: Int32s, first_scores: Scores,
) -> int:  # fmt: skip
    """Fill `first_rows` and `first_scores` from a row of the table of neighbours, in its order; returns how many came.

    Those that are less similar than `lowest` are left out and, `of_other_years`, those of the year of `row`; 0 is none.
    """
    year = years[row] if of_other_years else np.int16(0)
    count = 0
    for place in range(rows.shape[1]):
        neighbour, score = rows[row, place], scores[row, place]
        if count == first_rows.size or neighbour == rows.shape[0]:
            break
        if score >= lowest and (year == 0 or years[neighbour] != year):
            first_rows[count] = neighbour
            first_scores[count] = score
            count += 1
    return count


@njit(
    [
        types.int64(
            INT32S, weights, OFFSETS, ids, WEIGHTS, types.float32, MASK,
            _COUNTER, types.int32[::1], types.int32[::1], types.float32[::1],
        )
        for ids in IDS for weights in (WEIGHTS, INT32S)
    ],
    nogil=True,
    cache=True,
)  # fmt: skip
def _match(
    features: Int32s, weights: Weights | Int32s, offsets: Int64s, rows: Ids, row_weights: Weights, unit: np.float32,
    allowed: Mask, totals: Int32s, touched: Int32s, best_rows: Int32s, best_scores: Scores,
) -> int:  # fmt: skip
    """Put the best of the rows that have any of the features into `best_rows` with their similarity; returns how many.

    For the few features of a text, which most rows have nothing of: only what was touched is looked at and cleared.
    `totals` are 0 before and after.
    """
    size = 0
    for i in range(features.size):
        weight = np.int32(weights[i])
        if weight > 0:
            for j in range(offsets[features[i]], offsets[features[i] + 1]):
                row = rows[j]
                touched[size] = row  # overwritten by the next one if this row is listed already
                size += totals[row] == 0
                totals[row] += weight * np.int32(row_weights[j])
    last = best_rows.size - 1
    count = 0
    for row in touched[:size]:
        score = _similarity(totals[row], unit)
        totals[row] = 0
        if allowed.size > 0 and not allowed[row]:
            continue
        if count > last and (score < best_scores[last] or (score == best_scores[last] and row > best_rows[last])):
            continue
        place = min(count, last)
        count = place + 1
        while place > 0 and (
            best_scores[place - 1] < score or (best_scores[place - 1] == score and best_rows[place - 1] > row)
        ):
            best_scores[place], best_rows[place] = best_scores[place - 1], best_rows[place - 1]
            place -= 1
        best_scores[place], best_rows[place] = score, row
    return count


ALL: Mask = np.zeros(0, dtype=np.bool_)
"""Allows every row."""
EVEN: Scores = np.zeros(0, dtype=np.float32)
"""No factors: similarity alone orders."""
NO_COPIES: Int32s = np.zeros(0, dtype=np.int32)
"""No row is a copy of another."""
ALONE = -1
"""Stands for a row that has no copy, or is of no series."""


@dataclass(frozen=True, slots=True)
class SimilarityIndex:
    """The movies' weighted features, by row and inverted; immutable; threads share it."""

    row_offsets: Int64s
    """int64 [N + 1]: where each row's features begin."""
    row_features: Ids
    """[non-zeros], ascending within a row."""
    row_weights: Weights
    """uint16 [non-zeros]: weights in units of 1/32768."""
    offsets: Int64s
    """int64 [F + 1]: where each feature's postings begin."""
    rows: Ids
    """[non-zeros]: the postings, ascending within a feature."""
    weights: Weights
    """uint16 [non-zeros]: the weights of the postings."""
    _scratch: threading.local

    @classmethod
    def from_arrays(cls, **arrays: npt.NDArray[Any]) -> SimilarityIndex:
        """An index over these arrays, named and typed as the attributes are."""
        return cls(**arrays, _scratch=threading.local())

    @classmethod
    def from_matrix(cls, matrix: csr_array) -> SimilarityIndex:
        """The index of a float matrix [N, F] with values in [0, 1] and row norms of at most 1."""
        by_row = matrix.tocsr(copy=True)
        by_row.data = quantise(by_row.data)
        by_row.eliminate_zeros()
        by_row.sort_indices()
        by_feature = by_row.tocsc()
        by_feature.sort_indices()
        rows, features = matrix.shape
        return cls.from_arrays(
            row_offsets=by_row.indptr.astype(np.int64),
            row_features=narrow(by_row.indices, features),
            row_weights=by_row.data,
            offsets=by_feature.indptr.astype(np.int64),
            rows=narrow(by_feature.indices, rows),
            weights=by_feature.data,
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and features."""
        return self.row_offsets.size - 1, self.offsets.size - 1

    def top_k(
        self,
        features: Int32s,
        weights: Weights | Int32s,
        k: int,
        *,
        scale: float = 1.0,
        lowest: float = 0.0,
        allowed: Mask = ALL,
        excluded: int = -1,
        factors: Scores = EVEN,
        copies: Int32s = NO_COPIES,
    ) -> TopK:
        """The best `k` rows for a query, or all where there are fewer; rows of similarity 0 count too.

        The query is `features` int32, without repeats, and their `weights`, uint16 or int32 in units of 1/32768 with a
        norm of at most 1; its products, times `scale` and at most 1, are the similarities. Rows are ordered by
        similarity times `factors` float32 [N], which are positive; none given are all 1. Left out are rows of less
        similarity than `lowest`, those that `allowed` bool [N] does not have true (an empty one allows all), and the
        row `excluded`. `copies` int32 [N] has one number for all rows that are copies of each other, -1 for a row that
        has none: the best one of them stands for all.
        """
        totals = self._room("totals")[:-1]
        _accumulate(features, weights, self.offsets, self.rows, self.weights, totals)
        rows = np.empty(min(k, self.shape[0]), dtype=np.int32)
        ordered_by = np.empty(rows.size, dtype=np.float32)
        unit = np.float32(scale * UNIT)
        greatest = factors.max() if factors.size else np.float32(1)
        count = _select(
            totals, unit, np.float32(lowest), allowed, excluded, factors, greatest, copies, rows, ordered_by
        )
        rows = rows[:count]
        return TopK(rows, np.minimum(totals[rows].astype(np.float32) * unit, np.float32(1)))

    def matching(
        self, features: Int32s, weights: Weights | Int32s, k: int, *, scale: float = 1.0, allowed: Mask = ALL
    ) -> TopK:
        """What top_k would give of the rows that have any of the features; quicker where few rows have."""
        rows = np.empty(min(k, self.shape[0]), dtype=np.int32)
        scores = np.empty(rows.size, dtype=np.float32)
        count = _match(
            features, weights, self.offsets, self.rows, self.weights, np.float32(scale * UNIT), allowed,
            self._room("sums"), self._room("touched"), rows, scores,
        )  # fmt: skip
        return TopK(rows[:count], scores[:count])

    def features_of(self, row: int) -> tuple[Int32s, Weights]:
        """The features of `row` and their weights, as a query for what is like it."""
        first, last = self.row_offsets[row], self.row_offsets[row + 1]
        return self.row_features[first:last].astype(np.int32), self.row_weights[first:last]

    def reaching(
        self, features: Int32s, weights: Weights | Int32s, *, lowest: float, allowed: Mask, scale: float = 1.0
    ) -> Mask:
        """The rows of `allowed` bool [N] whose similarity to a query is at least `lowest`; see top_k."""
        totals = self._room("totals")[:-1]
        _accumulate(features, weights, self.offsets, self.rows, self.weights, totals)
        similarity = np.minimum(totals.astype(np.float32) * np.float32(scale * UNIT), np.float32(1))
        reached: Mask = allowed & (similarity >= np.float32(lowest))
        return reached

    def _room(self, use: str) -> Int32s:
        """This thread's room for one use, int32 [N + 1], 0 at first."""
        held: Int32s | None = getattr(self._scratch, use, None)
        if held is None:
            held = np.zeros(self.shape[0] + 1, dtype=np.int32)
            setattr(self._scratch, use, held)
        return held
