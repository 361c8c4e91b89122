"""Exact top-k similarity over an inverted index, without a dense matrix and without approximation.

Weights are whole numbers of 1/32768. Sums of their products are exact in 32 bits, so that a similarity does not depend
on the order of summation, on threads or on the machine, and every tie is a true tie.

Term-at-a-time with one dense accumulator: for a movie's some forty features this beats skipping strategies, which
assume short queries (see arXiv 2110.11540 for the comparison on learned sparse vectors).
"""
from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit, types

if TYPE_CHECKING:
    from scipy.sparse import csr_array

WEIGHT_ONE = 1 << 15
"""The integer that stands for the weight 1.0."""
_SCORE_ONE = float(WEIGHT_ONE) ** 2
_BLOCK_ROWS = 512

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Weights = npt.NDArray[np.uint16]
Scores = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class TopK(NamedTuple):
    """Rows and their similarity, best first, ties by row: `rows` int32 and `scores` float32 of one length."""

    rows: Int32s
    scores: Scores


def quantise(weights: npt.ArrayLike) -> Weights:
    """Weights in [0, 1] as whole numbers of 1/32768, rounded down so that no norm grows past 1."""
    return np.floor(np.asarray(weights, dtype=np.float64) * WEIGHT_ONE).astype(np.uint16)


def _readonly(dtype: Any) -> Any:
    return types.Array(dtype, 1, "C", readonly=True)


_OFFSETS, _IDS, _WEIGHTS, _MASK = (_readonly(t) for t in (types.int64, types.int32, types.uint16, types.boolean))
_COUNTER = types.int32[::1]


@njit(types.void(_IDS, _WEIGHTS, _OFFSETS, _IDS, _WEIGHTS, _COUNTER), nogil=True, cache=True)
def _accumulate(
    features: Int32s, weights: Weights, offsets: Int64s, rows: Int32s, row_weights: Weights, totals: Int32s
) -> None:
    """Fill `totals` with the similarity of every row to the query, in units of 2**-30."""
    totals[:] = 0
    for i in range(features.size):
        weight = np.int32(weights[i])
        for j in range(offsets[features[i]], offsets[features[i] + 1]):
            totals[rows[j]] += weight * np.int32(row_weights[j])


@njit(types.int64(_COUNTER, _MASK, types.int64, types.int32[::1], types.float32[::1]), nogil=True, cache=True)
def _select(totals: Int32s, allowed: Mask, excluded: int, best_rows: Int32s, best_scores: Scores) -> int:
    """Put the best allowed rows into `best_rows` and `best_scores`; returns how many there are.

    Rows are visited in ascending order and enter only when strictly better, so ties fall to the lower row. Totals are
    compared as the float32 that is reported, so that what a client sees as equal is ordered as equal.
    """
    k = best_rows.size
    count = 0
    bar = np.int32(-1)
    for row in range(totals.size):
        total = totals[row]
        if (count == k and total <= bar) or row == excluded or (allowed.size > 0 and not allowed[row]):
            continue
        score = np.float32(total)
        if count == k:
            if score <= best_scores[k - 1]:
                continue
        else:
            count += 1
        place = count - 1
        while place > 0 and best_scores[place - 1] < score:
            best_scores[place] = best_scores[place - 1]
            best_rows[place] = best_rows[place - 1]
            place -= 1
        best_scores[place] = score
        best_rows[place] = row
        if count == k:
            bar = np.int32(best_scores[k - 1])
    return count


@njit(
    types.void(
        types.int64, types.int64, _OFFSETS, _IDS, _WEIGHTS, _OFFSETS, _IDS, _WEIGHTS,
        _COUNTER, types.int32[:, ::1], types.float32[:, ::1],
    ),
    nogil=True,
    cache=True,
)  # fmt: skip
def _neighbours_block(
    start: int, stop: int,
    row_offsets: Int64s, features: Int32s, weights: Weights,
    offsets: Int64s, rows: Int32s, row_weights: Weights,
    totals: Int32s, best_rows: Int32s, best_scores: Scores,
) -> None:  # fmt: skip
    """The nearest rows to each of the rows start..stop, into `best_rows` and `best_scores`."""
    everything = np.zeros(0, dtype=np.bool_)
    for row in range(start, stop):
        first, last = row_offsets[row], row_offsets[row + 1]
        _accumulate(features[first:last], weights[first:last], offsets, rows, row_weights, totals)
        _select(totals, everything, row, best_rows[row - start], best_scores[row - start])


_ALL: Mask = np.zeros(0, dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class SimilarityIndex:
    """The movies' weighted features, by row and inverted; immutable; threads share it."""

    row_offsets: Int64s
    """int64 [N + 1]: where each row's features begin."""
    row_features: Int32s
    """int32 [non-zeros], ascending within a row."""
    row_weights: Weights
    """uint16 [non-zeros]: weights in units of 1/32768."""
    offsets: Int64s
    """int64 [F + 1]: where each feature's postings begin."""
    rows: Int32s
    """int32 [non-zeros]: the postings, ascending within a feature."""
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
        return cls.from_arrays(
            row_offsets=by_row.indptr.astype(np.int64),
            row_features=by_row.indices.astype(np.int32),
            row_weights=by_row.data,
            offsets=by_feature.indptr.astype(np.int64),
            rows=by_feature.indices.astype(np.int32),
            weights=by_feature.data,
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and features."""
        return self.row_offsets.size - 1, self.offsets.size - 1

    def top_k(
        self, features: Int32s, weights: Weights, k: int, *, allowed: Mask = _ALL, excluded: int = -1
    ) -> TopK:
        """The `k` rows most similar to a query, or all where there are fewer; rows of similarity 0 count too.

        The query is `features` int32, without repeats, and `weights` uint16 in units of 1/32768 with a norm of at most
        1. `allowed` bool [N] keeps only rows that are true; an empty one allows all. `excluded` is one more row to
        leave out.
        """
        totals = self._totals()
        _accumulate(features, weights, self.offsets, self.rows, self.weights, totals)
        rows = np.empty(min(k, self.shape[0]), dtype=np.int32)
        scores = np.empty(rows.size, dtype=np.float32)
        count = _select(totals, allowed, excluded, rows, scores)
        return TopK(rows[:count], scores[:count] * np.float32(1 / _SCORE_ONE))

    def top_k_of_row(self, row: int, k: int, *, allowed: Mask = _ALL) -> TopK:
        """The `k` rows most similar to `row`, itself left out."""
        first, last = self.row_offsets[row], self.row_offsets[row + 1]
        return self.top_k(self.row_features[first:last], self.row_weights[first:last], k, allowed=allowed, excluded=row)

    def neighbours(self, k: int, *, threads: int = 0, progress: Callable[[int], None] | None = None) -> TopK:
        """Every row's `k` most similar other rows: int32 and float32 arrays of shape [N, min(k, N - 1)].

        `threads` 0 means one a processor. `progress` is told how many rows each finished block had.
        """
        n = self.shape[0]
        shape = (n, min(k, n - 1))
        rows, scores = np.empty(shape, dtype=np.int32), np.empty(shape, dtype=np.float32)

        def fill(start: int) -> int:
            stop = min(start + _BLOCK_ROWS, n)
            _neighbours_block(
                start, stop, self.row_offsets, self.row_features, self.row_weights,
                self.offsets, self.rows, self.weights, self._totals(), rows[start:stop], scores[start:stop],
            )  # fmt: skip
            return stop - start

        with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
            futures = [pool.submit(fill, start) for start in range(0, n, _BLOCK_ROWS)]
            try:
                for future in futures:
                    done = future.result()
                    if progress is not None:
                        progress(done)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        scores *= np.float32(1 / _SCORE_ONE)
        return TopK(rows, scores)

    def _totals(self) -> Int32s:
        """This thread's accumulator, int32 [N]."""
        totals: Int32s | None = getattr(self._scratch, "totals", None)
        if totals is None:
            totals = self._scratch.totals = np.empty(self.shape[0], dtype=np.int32)
        return totals
