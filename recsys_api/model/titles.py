"""Which movie a person means by a few words: titles by tiers, exact before prefix before words before typos."""
from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from recsys_api.catalog.numbering import numbers
from recsys_api.catalog.widths import narrow
from recsys_api.model.kernel import ALL, Int32s, Int64s, Mask
from recsys_api.model.title_kernel import Bytes, TitleArrays, as_typed, nearest, titles_within
from recsys_api.text import fold

EXACT, WORD_PREFIX, PREFIX, NAMED, ALL_WORDS, TYPO = 1.0, 0.92, 0.88, 0.84, 0.8, 0.5
"""The match score of each tier; a typo's rises from 0.5 to 0.75 with its likeness. NAMED is for a title that is part of
the query, where the rest of the query fits the movie too."""
OTHER_YEAR = 0.04
"""What a match loses when the query names a year and the movie is of another."""

_TIER_SCORES = np.array([EXACT, WORD_PREFIX, PREFIX, ALL_WORDS])
_TYPO_SPAN = 0.25
_SHORTEST_WORD = 3
_SHORTEST_MISTYPED, _LONGEST_MISTYPED = 3, 250
_YEAR = re.compile(r"(?P<title>.*\S)\s+\(?(?P<year>(?:18[7-9]|19\d|20\d)\d)\)?\s*$")
_ARTICLES = frozenset({"the", "a", "an"})
_NUMERALS = {"ii": "2", "iii": "3", "iv": "4", "vi": "6", "vii": "7", "viii": "8", "ix": "9"}
_LAST_NUMERALS = {"v": "5", "x": "10"}
_NUMBER_WORDS = {
    word: str(number)
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen twenty".split()
    )
}


class TitleHit(NamedTuple):
    """A movie that a query may mean: its row and a match score in [0.46, 1]."""

    row: int
    score: float


@dataclass(slots=True)
class _Found:
    """The best hits so far."""

    rows: Int32s
    scores: npt.NDArray[np.float64]
    count: int = 0

    def hits(self) -> list[TitleHit]:
        return list(map(TitleHit, self.rows[: self.count].tolist(), self.scores[: self.count].tolist()))


def fold_title(title: str) -> str:
    """`title` as it is compared: folded, without a leading article, Roman numerals as figures."""
    return " ".join(_compared(fold(title).split()))


def _compared(words: Sequence[str]) -> list[str]:
    compared = list(words[1:] if len(words) > 1 and words[0] in _ARTICLES else words)
    for i in range(1, len(compared)):
        compared[i] = _NUMERALS.get(compared[i], compared[i])
    if len(compared) > 1:
        compared[-1] = _LAST_NUMERALS.get(compared[-1], compared[-1])
    return compared


def _forms(word: str) -> tuple[str, str, str, str]:
    """A word as it is compared at the beginning of a title, within it, at its end, and in figures if it is a number."""
    within = _NUMERALS.get(word, word)
    return word, within, _LAST_NUMERALS.get(within, within), _NUMBER_WORDS.get(word, "")


def _readings(title: str) -> list[str]:
    """The folded title, and the same with number words as figures where it has any."""
    words = fold(title).split()
    if not words:
        return []
    compared = _compared(words)
    readings = [" ".join(compared)]
    if not _NUMBER_WORDS.keys().isdisjoint(compared):
        readings.append(" ".join([_NUMBER_WORDS.get(word, word) for word in compared]))
    return readings


@dataclass(frozen=True, slots=True)
class TitleIndex:
    """Every title and original title, sorted, with its words and trigrams inverted; immutable, in memory or mapped."""

    arrays: TitleArrays
    _scratch: threading.local

    @classmethod
    def from_arrays(cls, **arrays: npt.NDArray[Any]) -> TitleIndex:
        """An index over these arrays, named and typed as those of TitleArrays."""
        unchanging = {name: array.view() for name, array in arrays.items()}
        for array in unchanging.values():
            array.flags.writeable = False  # as mapped ones are: the compiled code takes no others
        return cls(TitleArrays(**unchanging), threading.local())

    @classmethod
    def build(
        cls, titles: Iterable[Sequence[str]], *, years: npt.NDArray[np.int16], popular_rows: Int32s
    ) -> TitleIndex:
        """The index of each row's `titles`; `years` int16 [N] and `popular_rows` int32 [N], most popular first."""
        pairs = {(folded, row) for row, names in enumerate(titles) for name in names for folded in _readings(name)}
        entries = sorted(pairs)  # by code points, which is the order of the bytes in UTF-8
        texts = [text for text, _ in entries]
        words, word_postings, word_entries = _words_of(texts)
        trigrams, trigram_postings, trigram_entries = _trigrams_of(texts)
        popularity = np.empty(popular_rows.size, dtype=np.int32)
        popularity[popular_rows] = np.arange(popular_rows.size, dtype=np.int32)
        return cls.from_arrays(
            entries=_bytes("".join(texts).encode()),
            entry_offsets=_offsets(map(str.encode, texts)),
            entry_rows=np.array([row for _, row in entries], dtype=np.int32),
            entry_trigrams=np.bincount(trigram_entries, minlength=len(texts)).astype(np.int32),
            words=_bytes("".join(words).encode()),
            word_offsets=_offsets(map(str.encode, words)),
            word_postings=word_postings,
            word_entries=narrow(word_entries, len(entries)),
            trigrams=trigrams,
            trigram_postings=trigram_postings,
            trigram_entries=narrow(trigram_entries, len(entries)),
            years=years,
            popularity=popularity,
        )

    def search(self, query: str, k: int, *, allowed: Mask = ALL) -> list[TitleHit]:
        """The `k` movies that `query` most likely names, best first, ties by popularity; none where no title is near.

        A year at the end of the query ("heat 1995") prefers the movies of that year. Typos are sought only where no
        title begins with the query or has all its words. `allowed` bool [N] keeps only the movies that are true; an
        empty one allows all.
        """
        found = _Found(np.empty(k, dtype=np.int32), np.empty(k, dtype=np.float64))
        readings = [(title, 0) for title in _readings(query)]
        if match := _YEAR.match(query):
            readings += [(title, int(match["year"])) for title in _readings(match["title"])]
        met = [self._match_as_typed(title, year, allowed, found) for title, year in readings]
        if readings and not any(met):
            self._match_typos(*readings[-1], allowed, found)
        return found.hits()

    def titled_within(self, words: Sequence[str]) -> list[tuple[int, int, list[int]]]:
        """Which runs of folded `words`, short of the whole, are a movie's title: where each begins and ends, and its
        movies, the most popular first; the longest runs first.
        """
        forms = [form.encode() for word in words for form in _forms(word)]
        articles = np.array([word in _ARTICLES for word in words], dtype=np.bool_)
        found = np.empty((len(words) * (len(words) + 1), 4), dtype=np.int64)
        count = titles_within(
            self.arrays.entries, self.arrays.entry_offsets, _bytes(b"".join(forms)), _offsets(forms), articles, found
        )
        rows_of: dict[tuple[int, int], set[int]] = {}
        for start, stop, first, last in found[:count].tolist():
            rows_of.setdefault((start, stop), set()).update(self.arrays.entry_rows[first:last].tolist())
        return [(*run, sorted(rows, key=self.arrays.popularity.item)) for run, rows in rows_of.items()]

    def _match_as_typed(self, title: str, year: int, allowed: Mask, found: _Found) -> bool:
        """Whether any title is `title`, begins with it or has its words; of a single short word only the first two."""
        by_words = len(title) >= _SHORTEST_WORD or " " in title
        found.count, met = as_typed(
            _bytes(title.encode()), by_words, year, OTHER_YEAR, _TIER_SCORES,
            self.arrays, allowed, found.rows, found.scores, found.count,
        )  # fmt: skip
        return met

    def _match_typos(self, title: str, year: int, allowed: Mask, found: _Found) -> None:
        if len(title) < _SHORTEST_MISTYPED:
            return
        characters = np.frombuffer(title.encode("utf-32-le"), dtype=np.uint32)[:_LONGEST_MISTYPED]
        found.count = nearest(
            characters, year, OTHER_YEAR, TYPO, _TYPO_SPAN, self.arrays, allowed,
            self._for_entries("counts", np.uint8), self._for_entries("touched", np.int32),
            found.rows, found.scores, found.count,
        )  # fmt: skip

    def _for_entries(self, use: str, dtype: type[np.generic]) -> npt.NDArray[Any]:
        """This thread's room for one use, a number for each entry and one more, 0 at first."""
        held: npt.NDArray[Any] | None = getattr(self._scratch, use, None)
        if held is None:
            held = np.zeros(self.arrays.entry_rows.size + 1, dtype=dtype)
            setattr(self._scratch, use, held)
        return held


def _bytes(text: bytes) -> Bytes:
    return np.frombuffer(text, dtype=np.uint8)


def _words_of(texts: Sequence[str]) -> tuple[list[str], Int64s, Int32s]:
    """The different words in order of their bytes, where each one's postings begin, and the postings."""
    number_of = numbers()
    said = np.fromiter(map(number_of.__getitem__, " ".join(texts).split()), dtype=np.int64)
    words = sorted(number_of)
    place = np.empty(len(words), dtype=np.int64)
    place[[number_of[word] for word in words]] = np.arange(len(words))
    sizes = np.fromiter((text.count(" ") + 1 for text in texts), dtype=np.int64, count=len(texts))
    return words, *_invert(place[said], np.repeat(np.arange(len(texts)), sizes), len(words))


def _trigrams_of(texts: Sequence[str]) -> tuple[Int64s, Int64s, Int32s]:
    """The different trigrams, ascending, where each one's postings begin, and the postings."""
    characters = np.frombuffer("".join([f" {text} " for text in texts]).encode("utf-32-le"), dtype=np.uint32)
    sizes = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)) + 2
    entries = np.repeat(np.arange(len(texts)), sizes)
    codes = (characters[:-2].astype(np.int64) << 42) | (characters[1:-1].astype(np.int64) << 21) | characters[2:]
    within = entries[:-2] == entries[2:]
    codes = codes[within]
    trigrams = np.unique(codes)
    return trigrams, *_invert(np.searchsorted(trigrams, codes), entries[:-2][within], trigrams.size)


def _invert(keys: Int64s, entries: Int64s, count: int) -> tuple[Int64s, Int32s]:
    """Where the postings of each of `count` keys begin, and the postings, from pairs int64 [n] with ascending entries.

    Of an entry that has a key several times, only once.
    """
    order = np.argsort(keys.astype(np.min_scalar_type(count)), kind="stable")  # at up to 16 bits a radix sort
    keys, entries = keys[order], entries[order]
    once = np.append(True, (keys[1:] != keys[:-1]) | (entries[1:] != entries[:-1]))[: keys.size]
    return np.searchsorted(keys[once], np.arange(count + 1)), entries[once].astype(np.int32)


def _offsets(texts: Iterable[bytes]) -> Int64s:
    return np.array([*accumulate(map(len, texts), initial=0)], dtype=np.int64)
