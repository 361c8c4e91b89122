"""The table of neighbours: every row's best other rows, exact, for a block of rows at a time. Build time only.

A similarity is a sum over common features, which many rows have, and rare ones. The rare part is added up along the
rare features' postings, which are few. For the common part an upper bound is enough most of the time: rows that share
their weightiest features stand side by side in cells of 32, and the greatest weight that a feature has in a cell bounds
all of its rows. Only where rare part and bound together reach the row's bar, the similarity is worked out, in the same
whole numbers as a look-up's. (Turtle and Flood, "Query evaluation: strategies and optimizations", 1995; Ding and Suel,
"Faster top-k document retrieval using block-max indexes", 2011.)

A row's bar is the worst of its best k so far. At first it is guessed by the bars of the rows around it. Where fewer
than k reach it the guess was too high, and the row is taken again with a lower one, so that no guess changes a result.

All of it is in one module: numba keeps compiled code until its own file changes, whatever it was put together from.
"""
from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from recsys_api.model.kernel import (
    EVEN,
    NO_COPIES,
    UNIT,
    Int32s,
    Int64s,
    Scores,
    SimilarityIndex,
    TopK,
    Weights,
)

BLOCK_ROWS = 2048
"""Rows whose neighbours are found in one go."""

_CELL = 32
_SEGMENT = 1 << 15
"""Places that are gone through at once: few enough for their sums to stay near the processor, a multiple of a block."""
_CELLS = _SEGMENT // _CELL
_COMMON_STEP = 64
"""So many features more are common when there are twice as many rows: then bars are higher, and bounds may be, too."""
_ORDERING_FEATURES = 256
_ROW_MASK = 0x7FFFFFFF
_WEIGHT_BITS, _WEIGHT_MASK = np.uint32(16), np.uint32(0xFFFF)
_NOTHING = np.float32(1e-30)
"""The lowest bar: what is like nothing is not sought."""
_MARGIN = np.float32(1 - 1e-5)
"""For what float32 may lose in a bound: a bar is lowered by this before it is compared with one."""
_GAPS = (256, 32, 8, 1)
"""Of a block every so many rows are taken at a time, so that each but the first ones has others around it."""
_GUESS, _LOWER = np.float32(0.9), np.float32(0.75)
"""The share of the bars around that a row's bar is guessed to be, and what of a guess remains that was too high."""
_LEAST_GUESS = np.float32(UNIT**-1 * 1e-3)
"""Below this similarity, in units of 2**-30, there is no guessing."""


class Arrangement(NamedTuple):
    """The rows of an index, put in an order in which neighbours in space tend to be neighbours in the arrays.

    Plain arrays that nothing writes to, so that they can be sent to other machines. A row is where it is in the
    catalogue, a place where it is here; a segment is 32,768 places, a cell 32. Weights are in units of 1/32768.
    """

    rows: Int32s
    """int32 [N]: the row at each place."""
    common_offsets: Int64s
    """int64 [N + 1]: where the common features of each place begin."""
    common: npt.NDArray[np.uint32]
    """uint32: the common features of each place, 16 bits for the number and 16 for the weight."""
    rare_offsets: Int64s
    """int64 [N + 1]: where the rare features of each place begin."""
    rare: Int32s
    """int32: the rare features of each place, numbered by themselves."""
    rare_weights: Weights
    """uint16, like `rare`."""
    posting_offsets: Int64s
    """int64 [segments, rare features + 1]: where the postings of each rare feature begin."""
    postings: npt.NDArray[np.uint16]
    """uint16: places, counted from the first one of their segment."""
    posting_weights: Weights
    """uint16, like `postings`."""
    bounds: Scores
    """float32 [segments, common features, cells]: the greatest weight times factor in each cell."""
    greatest_factors: Scores
    """float32 [segments, cells]."""
    factors: Scores
    """float32 [N] by place: neighbours are in the order of similarity times their factor; positive."""
    copies: Int32s
    """int32 [N] by row: one number for all rows that are copies of each other, -1 for a row that has none."""

    @classmethod
    def of(cls, index: SimilarityIndex, *, factors: Scores = EVEN, copies: Int32s = NO_COPIES) -> Arrangement:
        """The rows of `index` side by side with those that share the features in which most of all weight is."""
        n, feature_count = index.shape
        rows = _side_by_side(index)
        number_of = np.empty(feature_count, dtype=np.int32)
        number_of[np.argsort(-np.diff(index.offsets), kind="stable")] = np.arange(feature_count, dtype=np.int32)
        segments = -(-n // _SEGMENT)
        common_count = min(_COMMON_STEP * (1 + segments.bit_length()), feature_count)
        row_features = index.row_features.astype(np.int32, copy=False)
        common_offsets, common, rare_offsets, rare, rare_weights = _split(
            rows, index.row_offsets, row_features, index.row_weights, number_of, common_count
        )
        posting_offsets = np.zeros((segments, feature_count - common_count + 1), dtype=np.int64)
        postings, posting_weights = np.empty(rare.size, dtype=np.uint16), np.empty(rare.size, dtype=np.uint16)
        _invert(rare_offsets, rare, rare_weights, posting_offsets, postings, posting_weights)
        factors = factors[rows] if factors.size else np.ones(n, dtype=np.float32)
        bounds = np.zeros((segments, common_count, _CELLS), dtype=np.float32)
        greatest_factors = np.zeros((segments, _CELLS), dtype=np.float32)
        _bound(common_offsets, common, factors, bounds, greatest_factors)
        arrangement = cls(
            rows=rows,
            common_offsets=common_offsets,
            common=common,
            rare_offsets=rare_offsets,
            rare=rare,
            rare_weights=rare_weights,
            posting_offsets=posting_offsets,
            postings=postings,
            posting_weights=posting_weights,
            bounds=bounds,
            greatest_factors=greatest_factors,
            factors=factors,
            copies=copies.view() if copies.size else np.full(n, -1, dtype=np.int32),
        )
        for array in arrangement:
            array.setflags(write=False)  # as it is when it comes from another machine: one type to compile for
        return arrangement

    def starts(self) -> range:
        """Where each block of places begins."""
        return range(0, self.rows.size, BLOCK_ROWS)

    def block(self, start: int, k: int) -> TopK:
        """The best `k` rows, and their similarities, for the block of places from `start`; N where they end.

        `rows` int32 and `scores` float32 are of shape [block, k].
        """
        size = min(BLOCK_ROWS, self.rows.size - start)
        rows, scores = np.empty((size, k), dtype=np.int32), np.empty((size, k), dtype=np.float32)
        _fill_block(start, self, rows, scores)
        return TopK(rows, scores)


def neighbours(
    index: SimilarityIndex,
    k: int,
    *,
    factors: Scores = EVEN,
    copies: Int32s = NO_COPIES,
    threads: int = 0,
    progress: Callable[[int], None] | None = None,
) -> TopK:
    """Every row's best `k` other rows: int32 and float32 arrays of shape [N, min(k, N - 1)].

    `factors` float32 [N] and `copies` int32 [N] are those of SimilarityIndex.top_k; N fills up where copies leave
    fewer. `threads` 0 means one a processor. `progress` is told how many rows each finished block had.
    """
    arrangement = Arrangement.of(index, factors=factors, copies=copies)
    n = arrangement.rows.size
    k = min(k, n - 1)
    table = TopK(np.empty((n, k), dtype=np.int32), np.empty((n, k), dtype=np.float32))

    def fill(start: int) -> int:
        block = arrangement.block(start, k)
        rows = arrangement.rows[start : start + len(block.rows)]
        table.rows[rows], table.scores[rows] = block
        return len(rows)

    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        futures = [pool.submit(fill, start) for start in arrangement.starts()]
        try:
            for future in futures:
                done = future.result()
                if progress is not None:
                    progress(done)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return table


def block_of(arrays: Mapping[str, Any], start: int, k: int) -> tuple[Int32s, Scores]:
    """`Arrangement(**arrays).block(start, k)` in plain arrays: the step that other processes are asked for."""
    rows, scores = Arrangement(**arrays).block(start, k)
    return rows, scores


def code_version() -> str:
    """What tells apart the versions of the code that finds neighbours."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def _side_by_side(index: SimilarityIndex) -> Int32s:
    """The rows in an order in which those stand together that share the features in which most of all weight is."""
    postings = [slice(*ends) for ends in pairwise(index.offsets.tolist())]
    weight_in = [float(np.square(index.weights[each], dtype=np.float64).sum()) for each in postings]
    shared = np.zeros((_ORDERING_FEATURES // 64, index.shape[0]), dtype=np.uint64)
    for i, feature in enumerate(np.argsort(-np.array(weight_in), kind="stable")[:_ORDERING_FEATURES].tolist()):
        shared[i // 64, index.rows[postings[feature]]] |= np.uint64(1 << (63 - i % 64))
    return np.lexsort(shared[::-1]).astype(np.int32)


@njit(nogil=True, cache=True)
def _split(
    row_at: Int32s, row_offsets: Int64s, row_features: Int32s, row_weights: Weights, number_of: Int32s,
    common_count: int,
) -> tuple[Int64s, npt.NDArray[np.uint32], Int64s, Int32s, Weights]:  # fmt: skip
    """The common and the rare features of each place; a feature's new number is that of `number_of`."""
    n = row_at.size
    common_offsets, rare_offsets = np.zeros(n + 1, dtype=np.int64), np.zeros(n + 1, dtype=np.int64)
    for place in range(n):
        row = row_at[place]
        first, last = row_offsets[row], row_offsets[row + 1]
        common = (number_of[row_features[first:last]] < common_count).sum()
        common_offsets[place + 1] = common_offsets[place] + common
        rare_offsets[place + 1] = rare_offsets[place] + last - first - common
    common_pairs = np.empty(common_offsets[n], dtype=np.uint32)
    rare, rare_weights = np.empty(rare_offsets[n], dtype=np.int32), np.empty(rare_offsets[n], dtype=np.uint16)
    for place in range(n):
        row, common_at, rare_at = row_at[place], common_offsets[place], rare_offsets[place]
        for i in range(row_offsets[row], row_offsets[row + 1]):
            number = number_of[row_features[i]]
            if number < common_count:
                common_pairs[common_at] = np.uint32(number) << _WEIGHT_BITS | np.uint32(row_weights[i])
                common_at += 1
            else:
                rare[rare_at], rare_weights[rare_at] = number - common_count, row_weights[i]
                rare_at += 1
    return common_offsets, common_pairs, rare_offsets, rare, rare_weights


@njit(nogil=True, cache=True)
def _invert(
    rare_offsets: Int64s, rare: Int32s, rare_weights: Weights, posting_offsets: Int64s,
    postings: npt.NDArray[np.uint16], posting_weights: Weights,
) -> None:  # fmt: skip
    """Fill the postings, segment by segment."""
    n, written = rare_offsets.size - 1, 0
    for segment in range(len(posting_offsets)):
        first, last = segment * _SEGMENT, min((segment + 1) * _SEGMENT, n)
        starts = posting_offsets[segment]
        for i in range(rare_offsets[first], rare_offsets[last]):
            starts[rare[i] + 1] += 1
        starts[0] = written
        for feature in range(1, starts.size):
            starts[feature] += starts[feature - 1]
        free = starts.copy()
        for place in range(first, last):
            for i in range(rare_offsets[place], rare_offsets[place + 1]):
                at = free[rare[i]]
                free[rare[i]] += 1
                postings[at], posting_weights[at] = place - first, rare_weights[i]
        written = starts[-1]


@njit(nogil=True, cache=True)
def _bound(
    common_offsets: Int64s, common: npt.NDArray[np.uint32], factors: Scores, bounds: Scores, greatest_factors: Scores
) -> None:
    """Fill what bounds the common parts of the rows of each cell."""
    for place in range(factors.size):
        segment, cell = place // _SEGMENT, place % _SEGMENT // _CELL
        greatest_factors[segment, cell] = max(greatest_factors[segment, cell], factors[place])
        for pair in common[common_offsets[place] : common_offsets[place + 1]]:
            of_feature = bounds[segment, pair >> _WEIGHT_BITS]
            of_feature[cell] = max(of_feature[cell], np.float32(pair & _WEIGHT_MASK) * factors[place])


@njit(nogil=True, cache=True)
def _key(row: np.int32, score: np.float32) -> np.int64:
    """One number for a candidate: the greater, the better it is; the lower row where scores are equal."""
    return np.int64(np.float32(score).view(np.int32)) << 32 | np.int64(_ROW_MASK - row)


@njit(nogil=True, cache=True)
def _row_of(key: np.int64) -> np.int32:
    return np.int32(_ROW_MASK - (key & np.int64(0xFFFFFFFF)))


@njit(nogil=True, cache=True)
def _score_of(key: np.int64) -> np.float32:
    return np.int32(key >> 32).view(np.float32)


@njit(nogil=True, cache=True)
def _place_of_copy(row: np.int32, copies: Int32s, keys: Int64s, count: int) -> int:
    """Where a copy of `row` stands among the candidates; `count` where there is none."""
    if copies[row] >= 0:
        for i in range(count):
            if copies[_row_of(keys[i])] == copies[row]:
                return i
    return count


@njit(nogil=True, cache=True)
def _best_first(keys: Int64s, totals: Int32s, count: int, k: int) -> None:
    """Put the best `k` of `count` candidates first, in any order (Hoare's selection)."""
    low, high = 0, count - 1
    while low < high:
        middle = keys[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while keys[i] > middle:
                i += 1
            while keys[j] < middle:
                j -= 1
            if i <= j:
                keys[i], keys[j] = keys[j], keys[i]
                totals[i], totals[j] = totals[j], totals[i]
                i += 1
                j -= 1
        if k - 1 <= j:
            high = j
        elif k - 1 >= i:
            low = i
        else:
            return


@njit(nogil=True, cache=True)
def _write(
    own: np.int32, copies: Int32s, keys: Int64s, totals: Int32s, count: int, rows: Int32s, similarities: Scores
) -> None:
    """The candidates in their order, then the first rows that are like nothing so far, then N."""
    order = np.argsort(-keys[:count])
    for i in range(count):
        rows[i] = _row_of(keys[order[i]])
        similarities[i] = np.float32(totals[order[i]]) * np.float32(UNIT)
    row = 0
    while count < rows.size and row < copies.size:
        known = row == own or (copies[row] >= 0 and copies[row] == copies[own])
        for i in range(count):
            known |= rows[i] == row or (copies[row] >= 0 and copies[row] == copies[rows[i]])
        if not known:
            rows[count] = row
            similarities[count] = 0
            count += 1
        row += 1
    rows[count:] = copies.size
    similarities[count:] = 0


@njit(nogil=True, cache=True)
def _enter(
    row: np.int32, own: np.int32, total: np.int32, score: np.float32, copies: Int32s, keys: Int64s, totals: Int32s,
    count: int,
) -> int:  # fmt: skip
    """Take a candidate in, unless it is `own`, a copy of it or of a better one; returns how many there are now.

    Candidates are taken as they come; whenever there is room for no more, the better half stays.
    """
    if row == own or (copies[row] >= 0 and copies[row] == copies[own]):
        return count
    key = _key(row, score)
    place = _place_of_copy(row, copies, keys, count)
    if place < count and key < keys[place]:
        return count
    keys[place], totals[place] = key, total
    count = max(count, place + 1)
    if count == keys.size:
        count //= 2
        _best_first(keys, totals, keys.size, count)
    return count


@njit(nogil=True, cache=True)
def _guess(bars: Scores, i: np.int64) -> np.float32:
    """A bar for row i of a block, by those that are known before and after it."""
    known, around = 0, np.float32(0)
    for direction in (-1, 1):
        other = i + direction
        while 0 <= other < bars.size and bars[other] <= 0:
            other += direction
        if 0 <= other < bars.size:
            known, around = known + 1, around + bars[other]
    return max(around / max(known, 1) * _GUESS, _NOTHING)


@njit(nogil=True, cache=True)
def _reach(
    common: npt.NDArray[np.uint32], bar: np.float32, bounds: Scores, greatest_factors: Scores, reach: Scores,
    needed: Int32s,
) -> np.int32:  # fmt: skip
    """What the rare part of a similarity has to be in each cell of a segment for it to reach `bar`, 0 where nothing.

    Returns the least of all.
    """
    reach[:] = 0
    for pair in common:
        weight, of_feature = np.float32(pair & _WEIGHT_MASK), bounds[pair >> _WEIGHT_BITS]
        for cell in range(_CELLS):
            reach[cell] += weight * of_feature[cell]
    for cell in range(_CELLS):
        lacking = (bar * _MARGIN - reach[cell]) / max(greatest_factors[cell], _NOTHING) * _MARGIN
        needed[cell] = np.int32(min(max(lacking, np.float32(0)), np.float32(2e9)))
    least: np.int32 = needed[0]
    for cell in range(_CELLS):
        least = min(least, needed[cell])
    return least


@njit(nogil=True, cache=True)
def _add_up(
    rare: Int32s, rare_weights: Weights, posting_offsets: Int64s, postings: npt.NDArray[np.uint16],
    posting_weights: Weights, needed: Int32s, sums: Int32s, reaching: npt.NDArray[np.uint16],
) -> int:  # fmt: skip
    """Add the rare parts to `sums` and put the places that come to reach what is needed into `reaching`: how many."""
    count = 0
    for i in range(rare.size):
        weight = np.int32(rare_weights[i])
        for at in range(np.uint64(posting_offsets[rare[i]]), np.uint64(posting_offsets[rare[i] + 1])):
            place = postings[at]
            more = np.int32(weight * np.int32(posting_weights[at]))
            total = np.int32(sums[place] + more)
            sums[place] = total
            enough = needed[place // _CELL]
            if total >= enough and np.int32(total - more) < enough:
                reaching[count] = place
                count += 1
    return count


@njit(nogil=True, cache=True)
def _add_open(needed: Int32s, places: int, reaching: npt.NDArray[np.uint16], count: int) -> int:
    """Put the places of cells that need no rare part behind the `count` in `reaching`; returns how many there are."""
    for cell in range(_CELLS):
        if needed[cell] == 0:
            for place in range(cell * _CELL, min((cell + 1) * _CELL, places)):
                reaching[count] = place
                count += 1
    return count


@njit(nogil=True, cache=True)
def _search(
    all_rows: Arrangement, block_start: int, waiting: Int64s, bars: Scores, counts: Int64s, keys: Int64s, totals: Int32s
) -> None:
    """Find the candidates that reach their bar for those rows of a block that are `waiting`, segment by segment."""
    n, k = all_rows.rows.size, keys.shape[1] // 2
    segments, common_count, _ = all_rows.bounds.shape
    common_offsets, common, rare_offsets = all_rows.common_offsets, all_rows.common, all_rows.rare_offsets
    asked = np.zeros(common_count, dtype=np.int32)  # a row's weights
    reach, needed = np.empty(_CELLS, dtype=np.float32), np.empty(_CELLS, dtype=np.int32)
    sums = np.zeros(_SEGMENT, dtype=np.int32)
    reaching = np.empty(_SEGMENT, dtype=np.uint16)
    for step in range(segments):
        # Beginning with the rows' own segment, whose rows are near them, so that the bars rise early.
        segment = (block_start // _SEGMENT + step) % segments
        first = segment * _SEGMENT
        for i in waiting:
            place = block_start + i
            its_common = common[common_offsets[place] : common_offsets[place + 1]]
            least = _reach(
                its_common, bars[i], all_rows.bounds[segment], all_rows.greatest_factors[segment], reach, needed
            )
            count = _add_up(
                all_rows.rare[rare_offsets[place] : rare_offsets[place + 1]],
                all_rows.rare_weights[rare_offsets[place] : rare_offsets[place + 1]],
                all_rows.posting_offsets[segment], all_rows.postings, all_rows.posting_weights, needed, sums, reaching,
            )  # fmt: skip
            if least == 0:
                count = _add_open(needed, n - first, reaching, count)
            for pair in its_common:
                asked[pair >> _WEIGHT_BITS] = pair & _WEIGHT_MASK
            for at in reaching[:count]:
                there = first + np.int64(at)
                total = sums[at]
                for j in range(np.uint64(common_offsets[there]), np.uint64(common_offsets[there + 1])):
                    weight = np.int32(common[j] & _WEIGHT_MASK)
                    total = np.int32(total + asked[common[j] >> _WEIGHT_BITS] * weight)
                score = np.float32(total) * all_rows.factors[there]
                if score >= bars[i]:
                    before = counts[i]
                    counts[i] = _enter(
                        all_rows.rows[there], all_rows.rows[place], total, score, all_rows.copies, keys[i], totals[i],
                        before,
                    )  # fmt: skip
                    if counts[i] < before:
                        bars[i] = _score_of(keys[i, :k].min())
            for pair in its_common:
                asked[pair >> _WEIGHT_BITS] = 0
            sums[:] = 0


@njit(nogil=True, cache=True)
def _fill_block(block_start: int, all_rows: Arrangement, best_rows: Int32s, similarities: Scores) -> None:
    """The best rows for each of the places from `block_start`, as many as `best_rows` has rows."""
    size, k = best_rows.shape
    keys, totals = np.empty((size, 2 * k), dtype=np.int64), np.empty((size, 2 * k), dtype=np.int32)
    counts, bars = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.float32)  # 0 for a bar that is not known
    guesses = np.zeros(size, dtype=np.float32)
    for gap in _GAPS:
        waiting = np.flatnonzero(bars[::gap] == 0) * gap
        for i in waiting:
            guesses[i] = _guess(bars, i)
        while waiting.size > 0:
            bars[waiting] = guesses[waiting]
            counts[waiting] = 0
            _search(all_rows, block_start, waiting, bars, counts, keys, totals)
            for i in waiting:
                found = min(counts[i], k)
                _best_first(keys[i], totals[i], counts[i], found)
                counts[i] = found
                if found == k:
                    bars[i] = _score_of(keys[i, :k].min())
                elif guesses[i] > _NOTHING:
                    bars[i] = 0
                    guesses[i] = guesses[i] * _LOWER if guesses[i] > _LEAST_GUESS else _NOTHING
            waiting = waiting[bars[waiting] == 0]
    for each in range(size):
        row, found = all_rows.rows[block_start + each], counts[each]
        _write(row, all_rows.copies, keys[each], totals[each], found, best_rows[each], similarities[each])
