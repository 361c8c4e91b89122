"""The compiled part of the title index: bounds among sorted texts, words, entries by shared trigrams, edits."""
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit, types

from recsys_api.catalog.widths import Ids
from recsys_api.model.kernel import IDS, INT32S, MASK, OFFSETS, Int32s, Int64s, Mask

Bytes = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.uint8]
Codes = npt.NDArray[np.uint32]
Years = npt.NDArray[np.int16]
MatchScores = npt.NDArray[np.float64]

_BLANK = 0x20
_CANDIDATES, _ENTRIES_FOR_EACH = 64, 2000
"""How many entries a typo is compared with letter by letter: so many, and one in so many where that is more."""
_LETTERS_AT_ONCE = 64
_FIRST_SHARE = 4
"""One in so many postings of a typo's trigrams is counted before it is known which need not be."""


def _readonly(dtype: Any) -> Any:
    return types.Array(dtype, 1, "C", readonly=True)


_TEXT, _CODES, _SCORES = map(_readonly, (types.uint8, types.uint32, types.float64))


class TitleArrays(NamedTuple):
    """What a TitleIndex holds. An entry is one folded title of one movie; in the order of their UTF-8 bytes."""

    entries: Bytes
    """uint8: the entries' text, one after the other."""
    entry_offsets: Int64s
    entry_rows: Int32s
    """int32 [entries]: each entry's movie."""
    entry_trigrams: Int32s
    """int32 [entries]: how many different trigrams each has."""
    words: Bytes
    """uint8: the different words of all entries, sorted, one after the other."""
    word_offsets: Int64s
    word_postings: Int64s
    word_entries: Ids
    trigrams: Int64s
    """int64: the different trigrams of all entries, ascending, 21 bits a character."""
    trigram_postings: Int64s
    trigram_entries: Ids
    years: Years
    """int16 [N]: each movie's year."""
    popularity: Int32s
    """int32 [N]: each movie's place in the order of popularity."""


_TITLES = tuple(
    types.NamedTuple(  # type: ignore[no-untyped-call]  # numba has no type for it
        (
            _TEXT, OFFSETS, INT32S, INT32S, _TEXT, OFFSETS, OFFSETS, ids, OFFSETS, OFFSETS, ids,
            _readonly(types.int16), INT32S,
        ),
        TitleArrays,
    )
    for ids in IDS
)  # fmt: skip
_BEST_ROWS, _BEST_SCORES = types.int32[::1], types.float64[::1]


@njit(types.boolean(_TEXT, types.int64, types.int64, _TEXT, types.int64), nogil=True, cache=True)
def _is_before(texts: Bytes, start: int, stop: int, key: Bytes, end: int) -> bool | np.bool:
    """Whether the text in `texts[start:stop]` is before `key` with the byte `end` after it; -1 for no such byte."""
    for i in range(key.size):
        if start + i == stop or texts[start + i] != key[i]:
            return start + i == stop or bool(texts[start + i] < key[i])
    size = stop - start
    return end >= 0 and (size == key.size or np.int64(texts[start + key.size]) < end)


@njit(types.int64(_TEXT, OFFSETS, types.int64, types.int64, _TEXT, types.int64), nogil=True, cache=True)
def _bound(texts: Bytes, offsets: Int64s, low: int, step: int, key: Bytes, end: int) -> int:
    """The first sorted text from `low` on that is not before `key` with `end`, sought in doubling steps from `step`."""
    high, size = low, offsets.size - 1
    while high < size and _is_before(texts, offsets[high], offsets[high + 1], key, end):
        low = high + 1
        high = low + step
        step *= 2
    high = min(high, size)
    while low < high:
        middle = (low + high) // 2
        if _is_before(texts, offsets[middle], offsets[middle + 1], key, end):
            low = middle + 1
        else:
            high = middle
    return low


@njit(types.UniTuple(types.int64, 4)(_TEXT, OFFSETS, _TEXT), nogil=True, cache=True)  # type: ignore[no-untyped-call]  # numba has no type for it
def _tiers(texts: Bytes, offsets: Int64s, key: Bytes) -> tuple[int, int, int, int]:
    """Where in the sorted texts begin `key` itself, what has more words, what goes on within its last word, the rest.

    A blank is the lowest byte of a text, and 0xff is in none.
    """
    first = _bound(texts, offsets, 0, offsets.size, key, -1)
    after_exact = _bound(texts, offsets, first, 1, key, 0x00)
    after_word = _bound(texts, offsets, after_exact, 1, key, 0x21)
    return first, after_exact, after_word, _bound(texts, offsets, after_word, 1, key, 0xFF)


@njit(types.int64(_TEXT, OFFSETS, _TEXT, OFFSETS, MASK, types.int64[:, ::1]), nogil=True, cache=True)
def titles_within(
    texts: Bytes, offsets: Int64s, forms: Bytes, form_offsets: Int64s, articles: Mask, found: Int64s
) -> int:
    """Which runs of words, short of the whole, are sorted texts: `found` int64 [2 * runs, 4] gets where each begins
    and ends, and where the texts do, the longest runs first; returns how many there are.

    `forms` are four of each word, one after the other: as it is at the beginning of a text, within it and at its end,
    and in figures, which is empty where it is no number. `articles` bool [words] are those that a longer text leaves
    out at its beginning.
    """
    words, count = articles.size, 0
    key = np.empty(forms.size + words, dtype=np.uint8)
    for length in range(words - 1, 0, -1):
        for start in range(words - length + 1):
            stop = start + length
            first = start + 1 if length > 1 and articles[start] else start
            for in_figures in (False, True):
                size, differs = 0, not in_figures
                for i in range(first, stop):
                    form = 4 * i + (0 if i == first else 2 if i == stop - 1 else 1)
                    if in_figures and form_offsets[4 * i + 3] < form_offsets[4 * i + 4]:
                        form = 4 * i + 3
                        differs = True
                    if i > first:
                        key[size] = _BLANK
                        size += 1
                    for at in range(form_offsets[form], form_offsets[form + 1]):
                        key[size] = forms[at]
                        size += 1
                if differs:
                    low = _bound(texts, offsets, 0, offsets.size, key[:size], -1)
                    high = _bound(texts, offsets, low, 1, key[:size], 0x00)
                    if low < high:
                        found[count, 0], found[count, 1], found[count, 2], found[count, 3] = start, stop, low, high
                        count += 1
    return count


@njit(
    types.int64(types.int64, types.float64, INT32S, types.int32[::1], types.float64[::1], types.int64),
    nogil=True,
    cache=True,
)
def _offer(row: int, score: float, popularity: Int32s, best_rows: Int32s, best_scores: MatchScores, found: int) -> int:
    """Put a row among the best `found` so far where it belongs there; returns how many there are then.

    Highest score first, ties by popularity; a row that is offered again keeps its best score.
    """
    last = best_rows.size - 1
    if found > last and (
        score < best_scores[last] or (score == best_scores[last] and popularity[row] >= popularity[best_rows[last]])
    ):
        return found
    place = 0
    while place < found and best_rows[place] != row:
        place += 1
    if place < found and score <= best_scores[place]:
        return found
    if place == found:
        place = min(found, last)
        found = place + 1
    while place > 0 and (
        best_scores[place - 1] < score
        or (best_scores[place - 1] == score and popularity[best_rows[place - 1]] > popularity[row])
    ):
        best_rows[place], best_scores[place] = best_rows[place - 1], best_scores[place - 1]
        place -= 1
    best_rows[place], best_scores[place] = row, score
    return found


@njit(types.boolean(_TEXT, types.int64, types.int64, _TEXT, types.int64, types.int64), nogil=True, cache=True)
def _has_word(texts: Bytes, start: int, stop: int, key: Bytes, first: int, last: int) -> bool:
    """Whether the text in `texts[start:stop]` has the word `key[first:last]`; at the end of the key, one begun so."""
    size = last - first
    for at in range(start, stop - size + 1):
        if at == start or texts[at - 1] == _BLANK:
            i = 0
            while i < size and texts[at + i] == key[first + i]:
                i += 1
            if i == size and (last == key.size or at + size == stop or texts[at + size] == _BLANK):
                return True
    return False


@njit(types.boolean(_TEXT, types.int64, types.int64, _TEXT), nogil=True, cache=True)
def _has_words(texts: Bytes, start: int, stop: int, key: Bytes) -> bool:
    """Whether the text in `texts[start:stop]` has every word of `key`, the last perhaps only begun."""
    first = 0
    for last in range(key.size + 1):
        if last == key.size or key[last] == _BLANK:
            if not _has_word(texts, start, stop, key, first, last):
                return False
            first = last + 1
    return True


@njit([types.UniTuple(types.int64, 2)(_TEXT, titles) for titles in _TITLES], nogil=True, cache=True)  # type: ignore[no-untyped-call]  # numba has no type for it
def _rarest(key: Bytes, titles: TitleArrays) -> tuple[int, int]:
    """Where the postings of the rarest word of `key` begin and end; of the last, those of all that begin with it."""
    low, high = 0, 1 << 62
    start = 0
    for stop in range(key.size + 1):
        if stop == key.size or key[stop] == _BLANK:
            first, after_exact, _, last = _tiers(titles.words, titles.word_offsets, key[start:stop])
            begins, ends = titles.word_postings[first], titles.word_postings[last if stop == key.size else after_exact]
            if ends - begins < high - low:
                low, high = begins, ends
            start = stop + 1
    return low, high


@njit(
    [
        types.Tuple((types.int64, types.boolean))(  # type: ignore[no-untyped-call]  # numba has no type for it
            _TEXT, types.boolean, types.int64, types.float64, _SCORES, titles, MASK,
            _BEST_ROWS, _BEST_SCORES, types.int64,
        )
        for titles in _TITLES
    ],
    nogil=True,
    cache=True,
)  # fmt: skip
def as_typed(
    key: Bytes, by_words: bool, year: int, other_year: float, tier_scores: MatchScores,
    titles: TitleArrays, allowed: Mask, best_rows: Int32s, best_scores: MatchScores, found: int,
) -> tuple[int, bool]:  # fmt: skip
    """Put the movies whose title is `key`, begins with it or has all its words among the best `found` so far.

    Returns how many there are then, and whether any title did, allowed or not. `key` is not empty; `by_words` is
    whether its words are sought, too. `tier_scores` are those of the title itself, more words, a longer word, and all
    words; they lose `other_year` where a `year` is wanted and the movie is of another. `best_rows` int32 and
    `best_scores` float64 have room for as many as are wanted.
    """
    bounds = _tiers(titles.entries, titles.entry_offsets, key)
    met = bounds[0] < bounds[3]
    for tier in range(3):
        for entry in range(bounds[tier], bounds[tier + 1]):
            row = titles.entry_rows[entry]
            if allowed.size == 0 or allowed[row]:
                score = tier_scores[tier] - (other_year if year and titles.years[row] != year else 0.0)
                found = _offer(row, score, titles.popularity, best_rows, best_scores, found)
    low, high = _rarest(key, titles) if by_words else (0, 0)
    for i in range(low, high):
        entry = titles.word_entries[i]
        if _has_words(titles.entries, titles.entry_offsets[entry], titles.entry_offsets[entry + 1], key):
            met = True
            row = titles.entry_rows[entry]
            if allowed.size == 0 or allowed[row]:
                score = tier_scores[3] - (other_year if year and titles.years[row] != year else 0.0)
                found = _offer(row, score, titles.popularity, best_rows, best_scores, found)
    return found, met


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


@njit(types.float64(_CODES, _CODES, types.int64), nogil=True, cache=True)
def _likeness_of_long(query: Codes, title: Codes, title_size: int) -> float:
    """What _likeness is of a query of any length: edits one by one, only near the diagonal, where so few can be."""
    m, n = query.size, title.size
    allowed = min(max(1, m // 4), 4)
    far = allowed + 1
    edits = np.empty((3, n + 1), dtype=np.int32)
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


@njit(types.float64(_CODES, _CODES, types.int64), nogil=True, cache=True)
def _likeness(query: Codes, title: Codes, title_size: int) -> float:
    """Share of letters that agree, counting swapped neighbours as one edit, of the title or of its beginning.

    0 where more letters differ than a slip of the hand explains: one in four, at most four. The edits are those of the
    optimal string alignment, a column of them at a time in the bits of one word (Hyyro, "A bit-vector algorithm for
    computing Levenshtein and Damerau edit distances", 2003), which has room for 64 letters; `title` may be cut off.
    """
    if query.size > _LETTERS_AT_ONCE:
        return _likeness_of_long(query, title, title_size)
    m, n = query.size, title.size
    allowed = min(max(1, m // 4), 4)
    if n < m - allowed:
        return 0.0
    one, last = np.uint64(1), np.uint64(m - 1)
    rises, falls, same, met = ~np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)
    edits = np.int64(m)
    whole = begun = np.int64(allowed + 1)
    for j in range(n):
        met_before, met = met, np.uint64(0)
        for i in range(m):
            met |= np.uint64(query[i] == title[j]) << np.uint64(i)
        swapped = ((~same & met) << one) & met_before
        same = (((met & rises) + rises) ^ rises) | met | falls | swapped
        up, down = falls | ~(same | rises), same & rises
        edits += np.int64((up >> last) & one) - np.int64((down >> last) & one)
        up = up << one | one
        rises, falls = (down << one) | ~(same | up), up & same
        if j + 1 == title_size and abs(title_size - m) <= allowed:
            whole = edits
        if m - 1 <= j + 1 <= m + 1:
            begun = min(begun, edits)
    if whole <= allowed:
        return float(1 - whole / max(m, n))
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


@njit([types.int64[:, ::1](types.int64[::1], titles) for titles in _TITLES], nogil=True, cache=True)
def _lists(codes: Int64s, titles: TitleArrays) -> Int64s:
    """Where the postings of each of the trigrams begin and end, the shortest first: int64 [trigrams, 2]."""
    lists = np.zeros((codes.size, 2), dtype=np.int64)
    for i in range(codes.size):
        found = int(np.searchsorted(titles.trigrams, codes[i]))
        begins = ends = 0
        if found < titles.trigrams.size and titles.trigrams[found] == codes[i]:
            begins, ends = titles.trigram_postings[found], titles.trigram_postings[found + 1]
        place = i
        while place > 0 and lists[place - 1, 1] - lists[place - 1, 0] > ends - begins:
            lists[place] = lists[place - 1]
            place -= 1
        lists[place, 0], lists[place, 1] = begins, ends
    return lists


@njit(
    [types.int64(types.int64[:, ::1], ids, types.uint8[::1], types.int32[::1], types.int64) for ids in IDS],
    nogil=True,
    cache=True,
)
def _count(lists: Int64s, posting_entries: Ids, counts: Counts, touched: Int32s, size: int) -> int:
    """Count each entry in the lists, and list the entries that are new; returns how many are listed then."""
    for i in range(lists.shape[0]):
        for j in range(lists[i, 0], lists[i, 1]):
            entry = np.uint32(posting_entries[j])
            common = counts[entry]
            touched[size] = entry  # overwritten by the next one if this entry is listed already
            size += common == 0
            counts[entry] = common + np.uint8(1)
    return size


@njit([types.void(types.int64[:, ::1], ids, types.uint8[::1]) for ids in IDS], nogil=True, cache=True)
def _count_further(lists: Int64s, posting_entries: Ids, counts: Counts) -> None:
    """Count those entries in the lists that have been counted before."""
    for i in range(lists.shape[0]):
        for j in range(lists[i, 0], lists[i, 1]):
            entry = np.uint32(posting_entries[j])
            counts[entry] += np.uint8(counts[entry] > 0)


@njit(types.int64(types.int64, types.float32), nogil=True, cache=True)
def _least_common(query_size: int, score: np.float32) -> int:
    """How many trigrams an entry shares with the query at least if it scores so much: it has as many as it shares."""
    return max(1, int(np.float32(query_size) * score * np.float32(0.999)))


@njit(types.int64(types.int64, types.uint8[::1], types.int32[::1], types.int64), nogil=True, cache=True)
def _shared_by(query_size: int, counts: Counts, touched: Int32s, wanted: int) -> int:
    """How many trigrams of the query so many entries share at least; 1 where fewer are touched."""
    sharing = np.zeros(query_size + 1, dtype=np.int64)
    for entry in touched:
        sharing[counts[entry]] += 1
    common, as_much = query_size, sharing[query_size]
    while common > 1 and as_much < wanted:
        common -= 1
        as_much += sharing[common]
    return common


@njit(
    types.Tuple((types.int64, types.float32))(  # type: ignore[no-untyped-call]  # numba has no type for it
        types.int64, types.int64, INT32S, types.uint8[::1], types.int32[::1], types.int32[::1]
    ),
    nogil=True,
    cache=True,
)  # fmt: skip
def _choose(
    least: int, query_size: int, sizes: Int32s, counts: Counts, touched: Int32s, best: Int32s
) -> tuple[int, np.float32]:
    """Put the entries that share most with the query, and at least `least` trigrams of it, into `best`; returns how
    many there are, and the score of the last one where there is no room for more, or else 0.

    Tversky's index with weight 1 on what the query has alone and 1/4 on what the entry has alone, so that the
    beginning of a long title is found as well as the whole of a short one; ties in the order of entries.
    """
    kept = np.empty(touched.size + 1, dtype=np.int32)
    size = 0
    for entry in touched:  # no branch that cannot be foreseen
        kept[size] = entry
        size += counts[entry] >= least
    scores = np.zeros(best.size, dtype=np.float32)
    found = 0
    for entry in kept[:size]:
        common = np.int64(counts[entry])
        if common < least:
            continue
        score = np.float32(common / (query_size + 0.25 * (sizes[entry] - common)))
        full = found == best.size
        if full and (score < scores[found - 1] or (score == scores[found - 1] and entry > best[found - 1])):
            continue
        found = min(found + 1, best.size)
        place = found - 1
        while place > 0 and (scores[place - 1] < score or (scores[place - 1] == score and best[place - 1] > entry)):
            scores[place] = scores[place - 1]
            best[place] = best[place - 1]
            place -= 1
        scores[place] = score
        best[place] = entry
        if found == best.size:
            least = max(least, _least_common(query_size, scores[found - 1]))
    return found, scores[found - 1] if 0 < found == best.size else np.float32(0)


@njit(types.int64(types.int64[:, ::1], types.int64), nogil=True, cache=True)
def _shortest(lists: Int64s, share: int) -> int:
    """How many of the first lists it takes to hold one in `share` of all postings."""
    total = 0
    for i in range(lists.shape[0]):
        total += lists[i, 1] - lists[i, 0]
    held, count = 0, 0
    while count < lists.shape[0] and held * share < total:
        held += lists[count, 1] - lists[count, 0]
        count += 1
    return count


@njit(
    [types.int64(types.int64[::1], titles, types.uint8[::1], types.int32[::1], types.int32[::1]) for titles in _TITLES],
    nogil=True,
    cache=True,
)
def _candidates(codes: Int64s, titles: TitleArrays, counts: Counts, touched: Int32s, best: Int32s) -> int:
    """Put the entries that share most trigrams with a query of the trigrams `codes` into `best`; returns how many.

    What is only in the longest lists shares so few that it cannot be among the best, once enough others share more:
    there, only what is known already is counted.
    """
    lists, query_size = _lists(codes, titles), codes.size
    entries, sizes = titles.trigram_entries, titles.entry_trigrams
    first = _shortest(lists, _FIRST_SHARE)
    size = _count(lists[:first], entries, counts, touched, 0)
    much = _shared_by(query_size, counts, touched[:size], best.size)
    _, bar = _choose(much, query_size, sizes, counts, touched[:size], best)
    needed = first
    while needed < query_size and np.float32((query_size - needed) / query_size) >= bar:
        needed += 1
    size = _count(lists[first:needed], entries, counts, touched, size)
    _count_further(lists[needed:], entries, counts)
    found, _ = _choose(_least_common(query_size, bar), query_size, sizes, counts, touched[:size], best)
    for entry in touched[:size]:
        counts[entry] = 0
    return found


@njit(
    [
        types.int64(
            _CODES, types.int64, types.float64, types.float64, types.float64, titles, MASK,
            types.uint8[::1], types.int32[::1], _BEST_ROWS, _BEST_SCORES, types.int64,
        )
        for titles in _TITLES
    ],
    nogil=True,
    cache=True,
)  # fmt: skip
def nearest(
    query: Codes, year: int, other_year: float, least: float, span: float, titles: TitleArrays, allowed: Mask,
    counts: Counts, touched: Int32s, best_rows: Int32s, best_scores: MatchScores, found: int,
) -> int:  # fmt: skip
    """Put the movies whose titles are most like the query among the best `found` so far; returns how many there are.

    Of the entries that share most trigrams with it, those that a slip of the hand explains score `least` and so much of
    `span` as they are like it. `query` uint32 are its characters, at most 250; the rest is as in as_typed. `counts`
    uint8 [entries] are 0 before and after; `touched` int32 [entries + 1] is room to work in.
    """
    codes = np.empty(query.size, dtype=np.int64)
    codes = codes[: _trigrams(query, codes)]
    entries = titles.entry_rows.size
    candidates = np.empty(min(max(_CANDIDATES, entries // _ENTRIES_FOR_EACH), entries), dtype=np.int32)
    candidates = candidates[: _candidates(codes, titles, counts, touched, candidates)]
    title = np.empty(query.size + 5, dtype=np.uint32)
    for entry in candidates:
        row = titles.entry_rows[entry]
        if allowed.size == 0 or allowed[row]:
            title_size = _decode(titles.entries, titles.entry_offsets[entry], titles.entry_offsets[entry + 1], title)
            likeness = _likeness(query, title[: min(title_size, title.size)], title_size)
            if likeness > 0:
                score = least + span * likeness - (other_year if year and titles.years[row] != year else 0.0)
                found = _offer(row, score, titles.popularity, best_rows, best_scores, found)
    return found
