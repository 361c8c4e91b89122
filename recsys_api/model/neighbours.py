"""The table of neighbours: every row's best other rows, exact, 256 rows at a time. Build time only.

One look-up costs about one step for each pair of rows that share a feature. Here rows that share their weightiest
features are put side by side, 256 of them are compared with each row at once, in 16 groups of 16, and two sums of 16
numbers settle most of it: first an upper bound for each group, with the greatest weight that any of its rows has for a
feature, and only in a group whose bound reaches the worst neighbour that one of its rows has so far, the 16
similarities, in the same whole numbers as a look-up's.
"""
from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from recsys_api.model.kernel import (
    EVEN,
    NO_COPIES,
    NOBODY,
    UNIT,
    Int32s,
    Int64s,
    Scores,
    SimilarityIndex,
    TopK,
    Weights,
)

UInt32s = npt.NDArray[np.uint32]

BLOCK_ROWS = 2048
"""Rows whose neighbours are found in one go."""

_GROUPS = _GROUP = 16
_TILE = _GROUPS * _GROUP
_TERMS_AT_ONCE = 4
_ORDERING_FEATURES = 64
_PIECE_ROWS = 100_000
_ROW_MASK = 0x7FFFFFFF


@dataclass(frozen=True, slots=True)
class Arrangement:
    """The rows of an index, put in an order in which neighbours in space tend to be neighbours in the arrays.

    Plain arrays, so that they can be sent to other machines. A row is where it is in the catalogue, a place where it is
    here.
    """

    rows: Int32s
    """int32 [N]: the row at each place."""
    offsets: Int64s
    """int64 [N + 1]: where the features of each place begin."""
    features: Int32s
    """int32 [non-zeros]."""
    weights: Weights
    """uint16 [non-zeros]: weights in units of 1/32768."""
    feature_count: int
    factors: Scores
    """float32 [N] by row: neighbours are in the order of similarity times their factor; positive."""
    copies: Int32s
    """int32 [N] by row: one number for all rows that are copies of each other, -1 for a row that has none."""

    @classmethod
    def of(cls, index: SimilarityIndex, *, factors: Scores = EVEN, copies: Int32s = NO_COPIES) -> Arrangement:
        """The rows of `index` side by side with those that share the features in which most of all weight is."""
        n, feature_count = index.shape
        postings = [slice(*ends) for ends in pairwise(index.offsets.tolist())]
        weight_in = [float(np.square(index.weights[each], dtype=np.float64).sum()) for each in postings]
        shared = np.zeros(n, dtype=np.uint64)
        for i, feature in enumerate(np.argsort(-np.array(weight_in), kind="stable")[:_ORDERING_FEATURES].tolist()):
            shared[index.rows[postings[feature]]] |= np.uint64(1 << (_ORDERING_FEATURES - 1 - i))
        rows = np.argsort(shared, kind="stable")
        sizes = np.diff(index.row_offsets)[rows]
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])
        features = np.empty(offsets[-1], dtype=np.int32)
        weights = np.empty(offsets[-1], dtype=np.uint16)
        for start in range(0, n, _PIECE_ROWS):  # the places of all features at once would need much memory
            stop = min(start + _PIECE_ROWS, n)
            moved = index.row_offsets[rows[start:stop]] - offsets[start:stop]
            source = np.repeat(moved, sizes[start:stop]) + np.arange(offsets[start], offsets[stop])
            features[offsets[start] : offsets[stop]] = index.row_features[source]
            weights[offsets[start] : offsets[stop]] = index.row_weights[source]
        return cls(
            rows=rows.astype(np.int32),
            offsets=offsets,
            features=features,
            weights=weights,
            feature_count=feature_count,
            factors=factors if factors.size else np.ones(n, dtype=np.float32),
            copies=copies if copies.size else np.full(n, -1, dtype=np.int32),
        )

    def __len__(self) -> int:
        return int(self.rows.size)

    def starts(self) -> range:
        """Where each block of places begins."""
        return range(0, len(self), BLOCK_ROWS)

    def block(self, start: int, k: int) -> TopK:
        """The best `k` rows, and their similarities, for the block of places from `start`; NOBODY where they end.

        `rows` int32 and `scores` float32 are of shape [block, k].
        """
        stop = min(start + BLOCK_ROWS, len(self))
        rows, scores = np.empty((stop - start, k), dtype=np.int32), np.empty((stop - start, k), dtype=np.float32)
        _fill_block(
            start, stop, self.rows, self.offsets, self.features, self.weights, self.feature_count,
            self.factors, self.copies, rows, scores,
        )  # fmt: skip
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

    `factors` float32 [N] and `copies` int32 [N] are those of SimilarityIndex.top_k; NOBODY fills up where copies leave
    fewer. `threads` 0 means one a processor. `progress` is told how many rows each finished block had.
    """
    arrangement = Arrangement.of(index, factors=factors, copies=copies)
    n, k = len(arrangement), min(k, len(arrangement) - 1)
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


def _generate_reaching(
    typing: Any, table: types.Type, slots: types.Type, weights: types.Type, count: types.Type,
    factor: types.Type, bars: types.Type, totals: types.Type,
) -> Any:  # fmt: skip
    """Which of 16 weighted sums of numbers in `table`, times `factor`, are at least their bar: int64, a bit for each.

    Term i is weights[i] times the 16 numbers of the flat uint16 `table` from `slots[i]` on; `count` terms,
    rounded up to a multiple of 4. The sums themselves are put into `totals` uint32 [16]. Written in LLVM's words
    because they have to stay in vector registers, which a loop over arrays cannot say.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        table, slots, weights, bars, totals = (
            context.make_array(kind)(context, builder, argument).data
            for kind, argument in zip(signature.args, arguments, strict=True)
            if isinstance(kind, types.Array)
        )
        _, _, _, count, factor, _, _ = arguments
        i32, i64 = ir.IntType(32), ir.IntType(64)
        whole, halves, real = (ir.VectorType(kind, _GROUP) for kind in (i32, ir.IntType(16), ir.FloatType()))
        zero = ir.Constant(whole, [0] * _GROUP)

        def to_all(value: Any, kind: Any) -> Any:
            alone = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(i32, 0))
            return builder.shuffle_vector(alone, ir.Constant(kind, ir.Undefined), zero)

        before = builder.block
        loop, after = builder.append_basic_block("sum"), builder.append_basic_block("compare")
        builder.branch(loop)
        builder.position_at_end(loop)
        i = builder.phi(i64)
        i.add_incoming(ir.Constant(i64, 0), before)
        sums = [builder.phi(whole) for _ in range(_TERMS_AT_ONCE)]  # so that none waits for the one before
        added = []
        for term, part in enumerate(sums):
            part.add_incoming(zero, before)
            at = builder.add(i, ir.Constant(i64, term))
            slot = builder.zext(builder.load(builder.gep(slots, [at])), i64)
            numbers = builder.load(builder.bitcast(builder.gep(table, [slot]), halves.as_pointer()), align=2)
            weight = builder.zext(builder.load(builder.gep(weights, [at])), i32)
            product = builder.mul(to_all(weight, whole), builder.zext(numbers, whole))
            added.append(builder.add(part, product))
            part.add_incoming(added[-1], loop)
        following = builder.add(i, ir.Constant(i64, _TERMS_AT_ONCE))
        i.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, count), loop, after)
        builder.position_at_end(after)
        total = builder.add(builder.add(added[0], added[1]), builder.add(added[2], added[3]))
        builder.store(total, builder.bitcast(totals, whole.as_pointer()), align=4)
        bar = builder.load(builder.bitcast(bars, real.as_pointer()), align=4)
        score = builder.fmul(builder.uitofp(total, real), to_all(factor, real))
        return builder.zext(builder.bitcast(builder.fcmp_ordered(">=", score, bar), ir.IntType(_GROUP)), i64)

    return types.int64(table, slots, weights, count, factor, bars, totals), generate


_reaching: Any = intrinsic(_generate_reaching)


def _generate_lowest_bit(typing: Any, bits: types.Type) -> Any:
    """The number of the lowest bit that is set."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate


_lowest_bit: Any = intrinsic(_generate_lowest_bit)


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
def _best_first(keys: Int64s, totals: UInt32s, count: int, k: int) -> None:
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
    own: np.int32, copies: Int32s, keys: Int64s, totals: UInt32s, count: int, rows: Int32s, similarities: Scores
) -> None:
    """The candidates in their order, then the first rows that are like nothing so far, then NOBODY."""
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
    rows[count:] = NOBODY
    similarities[count:] = 0


def _readonly(dtype: Any) -> Any:
    return types.Array(dtype, 1, "C", readonly=True)


_IDS, _OFFSETS, _WEIGHTS, _FACTORS = map(_readonly, (types.int32, types.int64, types.uint16, types.float32))


@njit(
    types.void(
        types.int64, types.int64, _IDS, _OFFSETS, _IDS, _WEIGHTS, types.int64, _FACTORS, _IDS,
        types.int32[:, ::1], types.float32[:, ::1],
    ),
    nogil=True,
    cache=True,
)  # fmt: skip
def _fill_block(  # noqa: C901, PLR0912, PLR0915 - one loop nest, which calls would slow down
    block_start: int, block_stop: int,
    row_at: Int32s, offsets: Int64s, features: Int32s, weights: Weights, feature_count: int,
    factors: Scores, copies: Int32s, best_rows: Int32s, similarities: Scores,
) -> None:  # fmt: skip
    """The best rows for each of the places block_start..block_stop."""
    n, k = row_at.size, best_rows.shape[1]
    longest, most_slots = 0, 1
    for place in range(n):
        longest = max(longest, offsets[place + 1] - offsets[place])
    for start in range(block_start, block_stop, _TILE):
        most_slots = max(most_slots, offsets[min(start + _TILE, n)] - offsets[start])
    most_slots = min(most_slots, feature_count) + 1
    # A feature that a tile has gets a slot, and with it 16 numbers in `greatest` and 16 in each of `groups`; slot 0 is
    # for those that it has not, and its numbers are 0. `slot_of` is in units of 16 numbers.
    slot_of = np.zeros(feature_count, dtype=np.uint32)
    greatest = np.zeros(most_slots * _GROUPS, dtype=np.uint16)  # of halves, rounded up: 32 bits hold their sums
    groups = np.zeros((_GROUPS, most_slots * _GROUP), dtype=np.uint16)
    bars, lowest_bars = np.empty((_GROUPS, _GROUP), dtype=np.float32), np.empty(_GROUPS, dtype=np.float32)
    slots = np.zeros(longest + _TERMS_AT_ONCE, dtype=np.uint32)
    terms = np.zeros(longest + _TERMS_AT_ONCE, dtype=np.uint16)
    sums = np.empty(_GROUP, dtype=np.uint32)
    # Candidates are taken as they come; whenever 2 k have come together, the best k stay.
    keys, totals = np.empty((_TILE, 2 * k), dtype=np.int64), np.empty((_TILE, 2 * k), dtype=np.uint32)
    counts = np.empty(_TILE, dtype=np.int64)
    for start in range(block_start, block_stop, _TILE):
        stop = min(start + _TILE, block_stop)
        slot_count = 1
        for place in range(start, stop):
            group, lane = (place - start) // _GROUP, (place - start) % _GROUP
            for j in range(offsets[place], offsets[place + 1]):
                slot = np.int64(slot_of[features[j]])
                if slot == 0:
                    slot = np.int64(slot_count * _GROUP)
                    slot_of[features[j]] = slot
                    slot_count += 1
                    greatest[slot : slot + _GROUP] = 0
                    groups[:, slot : slot + _GROUP] = 0
                groups[group, slot + lane] = weights[j]
                greatest[slot + group] = max(greatest[slot + group], (weights[j] + 1) // 2)
        counts[:] = 0
        for i in range(_TILE):  # what is like nothing is not sought: at first anything above 0 is a candidate
            bars[i // _GROUP, i % _GROUP] = np.float32(1e-30) if start + i < stop else np.float32(np.inf)
        for group in range(_GROUPS):
            lowest_bars[group] = bars[group, 0]
        for i in range(n):
            # Beginning with the tile itself, whose rows are near each other, so that the bars rise early.
            there = np.uint64(start + i) if start + i < n else np.uint64(start + i - n)
            row = row_at[there]
            factor = factors[row]
            first = np.uint64(offsets[there])
            size = np.uint64(offsets[there + np.uint64(1)]) - first
            shared = np.uint64(0)
            for j in range(size):
                slot = slot_of[np.uint32(features[first + j])]
                slots[shared], terms[shared] = slot, weights[first + j]
                shared += np.uint64(slot > 0)  # where the tile has not this feature, the next one takes its place
            for j in range(shared, shared + np.uint64(_TERMS_AT_ONCE)):
                slots[j] = 0
            term_count = np.int64(shared)
            open_groups = _reaching(greatest, slots, terms, term_count, factor, lowest_bars, sums)
            while open_groups:
                group = _lowest_bit(open_groups)
                open_groups &= open_groups - 1
                lanes = _reaching(groups[group], slots, terms, term_count, factor, bars[group], sums)
                changed = False
                while lanes:
                    lane = _lowest_bit(lanes)
                    lanes &= lanes - 1
                    at = group * _GROUP + lane
                    own = row_at[start + at]
                    if row == own or (copies[row] >= 0 and copies[row] == copies[own]):
                        continue
                    key = _key(row, np.float32(sums[lane]) * factor)
                    place = _place_of_copy(row, copies, keys[at], counts[at])
                    if place < counts[at] and key < keys[at, place]:
                        continue
                    keys[at, place] = key
                    totals[at, place] = sums[lane]
                    counts[at] = max(counts[at], place + 1)
                    if counts[at] == 2 * k:
                        _best_first(keys[at], totals[at], 2 * k, k)
                        counts[at] = k
                        bars[group, lane] = _score_of(keys[at, :k].min())
                        changed = True
                if changed:
                    lowest_bars[group] = bars[group].min() / 2
        for i in range(stop - start):
            count = min(counts[i], k)
            _best_first(keys[i], totals[i], counts[i], count)
            out = start - block_start + i
            _write(row_at[start + i], copies, keys[i], totals[i], count, best_rows[out], similarities[out])
        for j in range(offsets[start], offsets[stop]):
            slot_of[features[j]] = 0
