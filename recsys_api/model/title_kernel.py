"""The compiled part of the title index: bounds among sorted texts, entries by shared trigrams, edits."""
from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit, types

from recsys_api.model.kernel import Int32s, Int64s

Bytes = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.uint8]
Codes = npt.NDArray[np.uint32]
Edits = npt.NDArray[np.int32]


def _readonly(dtype: Any) -> Any:
    return types.Array(dtype, 1, "C", readonly=True)


_TEXT, _CODES, _IDS, _OFFSETS = map(_readonly, (types.uint8, types.uint32, types.int32, types.int64))


@njit(types.boolean(_TEXT, types.int64, types.int64, _TEXT, types.int64), nogil=True, cache=True)
def _is_before(texts: Bytes, start: int, stop: int, key: Bytes, end: int) -> bool | np.bool:
    """Whether the text in `texts[start:stop]` is before `key` with the byte `end` after it; -1 for no such byte."""
    for i in range(key.size):
        if start + i == stop or texts[start + i] != key[i]:
            return start + i == stop or bool(texts[start + i] < key[i])
    size = stop - start
    return end >= 0 and (size == key.size or np.int64(texts[start + key.size]) < end)


@njit(types.Tuple((types.int64,) * 4)(_TEXT, _OFFSETS, _TEXT), nogil=True, cache=True)  # type: ignore[no-untyped-call]  # numba has no type for it
def tiers(texts: Bytes, offsets: Int64s, key: Bytes) -> tuple[int, int, int, int]:
    """Where in the sorted texts begin `key` itself, what has more words, what goes on within its last word, the rest.

    A blank is the lowest byte of a text, and 0xff is in none.
    """
    low = 0
    bounds = (0, 0, 0, 0)
    for end in (-1, 0x00, 0x21, 0xFF):
        high = offsets.size - 1
        while low < high:
            middle = (low + high) // 2
            if _is_before(texts, offsets[middle], offsets[middle + 1], key, end):
                low = middle + 1
            else:
                high = middle
        bounds = (bounds[1], bounds[2], bounds[3], low)
    return bounds


@njit(types.int64(types.int64[:, ::1], _IDS, types.int32[::1], types.int32[::1]), nogil=True, cache=True)
def in_all(ranges: Int64s, postings: Int32s, marks: Int32s, found: Int32s) -> int:
    """Put the entries that every one of the `ranges` of `postings` has into `found`; returns how many there are.

    `marks` int32 of all entries is 0 everywhere, before and after.
    """
    for i in range(ranges.shape[0]):
        for j in range(ranges[i, 0], ranges[i, 1]):
            if marks[postings[j]] == i:
                marks[postings[j]] = i + 1
    count = 0
    for j in range(ranges[0, 0], ranges[0, 1]):
        entry = postings[j]
        if marks[entry] == ranges.shape[0]:
            found[count] = entry
            count += 1
        marks[entry] = 0
    return count


@njit(types.int64(_TEXT, types.int64, types.int64, types.uint32[::1]), nogil=True, cache=True)
def _decode(texts: Bytes, start: int, stop: int, codes: Codes) -> int:
    """Put the characters of UTF-8 text into `codes`, as many as fit; returns how many the text has."""
    count, at = 0, start
    while at < stop:
        lead = np.uint32(texts[at])
        size = 1 if lead < 0x80 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
        if count < codes.size:
            code = lead if size == 1 else lead & np.uint32(0x7F >> size)
            for i in range(1, size):
                code = code << np.uint32(6) | np.uint32(texts[at + i]) & np.uint32(0x3F)
            codes[count] = code
        count += 1
        at += size
    return count


@njit(types.float64(_CODES, _CODES, types.int64, types.int32[:, ::1]), nogil=True, cache=True)
def _likeness(query: Codes, title: Codes, title_size: int, edits: Edits) -> float:
    """Share of letters that agree, counting swapped neighbours as one edit, of the title or of its beginning.

    0 where more letters differ than a slip of the hand explains: one in four, at most four. The edits are those of the
    optimal string alignment, computed only near the diagonal, where so few can be; `title` may be cut off.
    """
    m, n = query.size, title.size
    allowed = min(max(1, m // 4), 4)
    far = allowed + 1
    for j in range(n + 1):
        edits[0, j] = min(j, far)
    fewest = 0
    for i in range(1, m + 1):
        row, before, before_that = edits[i % 3], edits[(i - 1) % 3], edits[(i - 2) % 3]
        low, high = max(1, i - allowed), min(n, i + allowed)
        row[low - 1] = i if low == 1 and i <= allowed else far
        fewest_before, fewest = fewest, row[low - 1]
        for j in range(low, high + 1):
            here = min(before[j - 1] + (query[i - 1] != title[j - 1]), before[j] + 1, row[j - 1] + 1)
            if i > 1 and j > 1 and query[i - 1] == title[j - 2] and query[i - 2] == title[j - 1]:
                here = min(here, before_that[j - 2] + 1)
            row[j] = here
            fewest = min(fewest, here)
        if fewest > allowed and fewest_before >= allowed:
            return 0.0
        if high < n:
            row[high + 1] = far
    last = edits[m % 3]
    if title_size == n and abs(n - m) <= allowed and last[n] <= allowed:
        return float(1 - last[n] / max(m, n))
    begun = far
    for size in range(max(1, m - 1), min(n, m + 1) + 1):
        begun = min(begun, last[size])
    return 0.9 * (1 - begun / m) if begun <= allowed else 0.0


@njit(types.int64(_CODES, types.int64[::1]), nogil=True, cache=True)
def _trigrams(query: Codes, codes: Int64s) -> int:
    """Put the different trigrams of the query, a blank before and after it, into `codes`; returns how many."""
    count = 0
    for i in range(query.size):
        before = np.int64(query[i - 1]) if i > 0 else np.int64(32)
        after = np.int64(query[i + 1]) if i + 1 < query.size else np.int64(32)
        code = before << 42 | np.int64(query[i]) << 21 | after
        known = False
        for j in range(count):
            known |= codes[j] == code
        if not known:
            codes[count] = code
            count += 1
    return count


@njit(
    types.int64(types.int64[::1], _OFFSETS, _OFFSETS, _IDS, types.uint8[::1], types.int32[::1]), nogil=True, cache=True
)
def _count(
    codes: Int64s, trigrams: Int64s, postings: Int64s, posting_entries: Int32s, counts: Counts, touched: Int32s
) -> int:
    """Count how many of the query's trigrams each entry has, and list the entries that have any; returns how many."""
    size = 0
    for i in range(codes.size):
        place = int(np.searchsorted(trigrams, codes[i]))
        if place < trigrams.size and trigrams[place] == codes[i]:
            for j in range(postings[place], postings[place + 1]):
                entry = np.uint32(posting_entries[j])
                common = counts[entry]
                touched[size] = entry  # overwritten by the next one if this entry is listed already
                size += common == 0
                counts[entry] = common + np.uint8(1)
    return size


@njit(
    types.int64(types.int64, _IDS, types.uint8[::1], types.int32[::1], types.int32[::1]), nogil=True, cache=True
)
def _choose(query_size: int, sizes: Int32s, counts: Counts, touched: Int32s, best: Int32s) -> int:
    """Put the entries that share most with the query into `best`; returns how many there are.

    Tversky's index with weight 1 on what the query has alone and 1/4 on what the entry has alone, so that the
    beginning of a long title is found as well as the whole of a short one; ties in the order of entries.
    """
    sharing = np.zeros(query_size + 1, dtype=np.int64)
    for entry in touched:
        sharing[counts[entry]] += 1
    # First those that share much, which settles how much the others have to share to be looked at.
    much, as_much = query_size, sharing[query_size]
    while much > 1 and as_much < best.size:
        much -= 1
        as_much += sharing[much]
    scores = np.zeros(best.size, dtype=np.float32)
    found, least = 0, 1
    for low, high in ((much, query_size), (1, much - 1)):
        for entry in touched:
            common = np.int64(counts[entry])
            if common < low or common > high or common < least:
                continue
            score = np.float32(common / (query_size + 0.25 * (sizes[entry] - common)))
            full = found == best.size
            if full and (score < scores[found - 1] or (score == scores[found - 1] and entry > best[found - 1])):
                continue
            found = min(found + 1, best.size)
            place = found - 1
            while place > 0 and (
                scores[place - 1] < score or (scores[place - 1] == score and best[place - 1] > entry)
            ):
                scores[place] = scores[place - 1]
                best[place] = best[place - 1]
                place -= 1
            scores[place] = score
            best[place] = entry
            if found == best.size:  # an entry has at least as many trigrams as it shares
                least = max(1, int(np.float32(query_size) * scores[found - 1] * np.float32(0.999)))
    return found


@njit(
    types.int64(
        _CODES, _TEXT, _OFFSETS, _IDS, _OFFSETS, _OFFSETS, _IDS,
        types.uint8[::1], types.int32[::1], types.int32[::1], types.float64[::1],
    ),
    nogil=True,
    cache=True,
)  # fmt: skip
def nearest(
    query: Codes, texts: Bytes, offsets: Int64s, sizes: Int32s,
    trigrams: Int64s, postings: Int64s, posting_entries: Int32s,
    counts: Counts, touched: Int32s, best: Int32s, likenesses: npt.NDArray[np.float64],
) -> int:  # fmt: skip
    """Put the entries that share most trigrams with the query into `best`, with their likeness; returns how many.

    `query` uint32 are its characters, at most 250; the arrays up to `posting_entries` are those of a TitleIndex.
    `counts` uint8 [entries] are 0 before and after; `touched` int32 [entries + 1] is room to work in. `likenesses`
    float64 is of the size of `best`.
    """
    codes = np.empty(query.size, dtype=np.int64)
    query_size = _trigrams(query, codes)
    size = _count(codes[:query_size], trigrams, postings, posting_entries, counts, touched)
    found = _choose(query_size, sizes, counts, touched[:size], best)
    for entry in touched[:size]:
        counts[entry] = 0
    title = np.empty(query.size + 5, dtype=np.uint32)
    edits = np.empty((3, title.size + 1), dtype=np.int32)
    for i in range(found):
        entry = best[i]
        title_size = _decode(texts, offsets[entry], offsets[entry + 1], title)
        likenesses[i] = _likeness(query, title[: min(title_size, title.size)], title_size, edits)
    return found
