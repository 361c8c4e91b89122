"""Which movie a person means by a few words: titles by tiers, exact before prefix before words before typos."""
from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from recsys_api.model.kernel import ALL, Int32s, Int64s, Mask
from recsys_api.model.title_kernel import Bytes, in_all, nearest, tiers
from recsys_api.text import fold

EXACT, WORD_PREFIX, PREFIX, NAMED, ALL_WORDS, TYPO = 1.0, 0.92, 0.88, 0.84, 0.8, 0.5
"""The match score of each tier; a typo's rises from 0.5 to 0.75 with its likeness. NAMED is for a title that is part of
the query, where the rest of the query fits the movie too."""
OTHER_YEAR = 0.04
"""What a match loses when the query names a year and the movie is of another."""

_TYPO_SPAN = 0.25
_CANDIDATES, _ENTRIES_FOR_EACH = 64, 2000
"""How many entries a typo is compared with letter by letter: so many, and one in so many where that is more."""
_LONGEST_MISTYPED = 250
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


def fold_title(title: str) -> str:
    """`title` as it is compared: folded, without a leading article, Roman numerals as figures."""
    words = fold(title).split()
    if len(words) > 1 and words[0] in _ARTICLES:
        del words[0]
    for i in range(1, len(words)):
        words[i] = _NUMERALS.get(words[i], words[i])
    if len(words) > 1:
        words[-1] = _LAST_NUMERALS.get(words[-1], words[-1])
    return " ".join(words)


def _readings(title: str) -> list[str]:
    """The folded title, and the same with number words as figures where it has any."""
    folded = fold_title(title)
    in_figures = " ".join(_NUMBER_WORDS.get(word, word) for word in folded.split())
    return list(dict.fromkeys(reading for reading in (folded, in_figures) if reading))


@dataclass(frozen=True, slots=True)
class TitleIndex:
    """Every title and original title, sorted, with its words and trigrams inverted; immutable, in memory or mapped.

    An entry is one folded title of one movie. Entries are in the order of their UTF-8 bytes.
    """

    entries: npt.NDArray[np.uint8]
    """uint8: the entries' text, one after the other."""
    entry_offsets: Int64s
    entry_rows: Int32s
    """int32 [entries]: each entry's movie."""
    entry_trigrams: Int32s
    """int32 [entries]: how many different trigrams each has."""
    words: npt.NDArray[np.uint8]
    """uint8: the different words of all entries, sorted, one after the other."""
    word_offsets: Int64s
    word_postings: Int64s
    word_entries: Int32s
    trigrams: Int64s
    """int64: the different trigrams of all entries, ascending, 21 bits a character."""
    trigram_postings: Int64s
    trigram_entries: Int32s
    years: npt.NDArray[np.int16]
    """int16 [N]: each movie's year."""
    popularity: Int32s
    """int32 [N]: each movie's place in the order of popularity."""
    _scratch: threading.local

    @classmethod
    def from_arrays(cls, **arrays: npt.NDArray[Any]) -> TitleIndex:
        """An index over these arrays, named and typed as the attributes are."""
        return cls(**arrays, _scratch=threading.local())

    @classmethod
    def build(
        cls, titles: Iterable[Sequence[str]], *, years: npt.NDArray[np.int16], popular_rows: Int32s
    ) -> TitleIndex:
        """The index of each row's `titles`; `years` int16 [N] and `popular_rows` int32 [N], most popular first."""
        pairs = {(folded, row) for row, names in enumerate(titles) for name in names for folded in _readings(name)}
        entries = sorted((folded.encode(), row) for folded, row in pairs)
        texts = [text.decode() for text, _ in entries]
        words, word_postings, word_entries = _words_of(texts)
        trigrams, trigram_postings, trigram_entries = _trigrams_of(texts)
        encoded_words = [word.encode() for word in words]
        popularity = np.empty(popular_rows.size, dtype=np.int32)
        popularity[popular_rows] = np.arange(popular_rows.size, dtype=np.int32)
        return cls.from_arrays(
            entries=np.frombuffer(b"".join(text for text, _ in entries), dtype=np.uint8),
            entry_offsets=_offsets(text for text, _ in entries),
            entry_rows=np.array([row for _, row in entries], dtype=np.int32),
            entry_trigrams=np.bincount(trigram_entries, minlength=len(texts)).astype(np.int32),
            words=np.frombuffer(b"".join(encoded_words), dtype=np.uint8),
            word_offsets=_offsets(encoded_words),
            word_postings=word_postings,
            word_entries=word_entries,
            trigrams=trigrams,
            trigram_postings=trigram_postings,
            trigram_entries=trigram_entries,
            years=years,
            popularity=popularity,
        )

    def search(self, query: str, k: int, *, allowed: Mask = ALL) -> list[TitleHit]:
        """The `k` movies that `query` most likely names, best first, ties by popularity; none where no title is near.

        A year at the end of the query ("heat 1995") prefers the movies of that year. Typos are sought only where no
        title begins with the query or has all its words. `allowed` bool [N] keeps only the movies that are true; an
        empty one allows all.
        """
        best: dict[int, float] = {}
        as_typed = False
        readings = [(title, 0) for title in _readings(query)]
        if match := _YEAR.match(query):
            readings += [(title, int(match["year"])) for title in _readings(match["title"])]
        for title, year in readings:
            for rows, score in self._as_typed(title):
                as_typed = as_typed or rows.size > 0
                self._keep(rows[allowed[rows]] if allowed.size else rows, score, year, k, best)
        if not as_typed and readings:
            self._match_typos(*readings[-1], best)
        hits = [TitleHit(row, score) for row, score in best.items() if not allowed.size or allowed[row]]
        hits.sort(key=lambda hit: (-hit.score, self.popularity[hit.row], hit.row))
        return hits[:k]

    def rows_titled(self, title: str) -> list[int]:
        """The movies with just this title, the most popular first."""
        rows: set[int] = set()
        for reading in _readings(title):
            first, last, _, _ = tiers(self.entries, self.entry_offsets, _bytes(reading))
            rows.update(self.entry_rows[first:last].tolist())
        return sorted(rows, key=lambda row: (self.popularity[row], row))

    def _as_typed(self, title: str) -> Iterator[tuple[Int32s, float]]:
        """The rows of each tier, and its score."""
        first, after_exact, after_word, last = tiers(self.entries, self.entry_offsets, _bytes(title))
        yield self.entry_rows[first:after_exact], EXACT
        yield self.entry_rows[after_exact:after_word], WORD_PREFIX
        yield self.entry_rows[after_word:last], PREFIX
        yield self._rows_with_words(title.split()), ALL_WORDS

    def _rows_with_words(self, words: list[str]) -> Int32s:
        """The rows of entries that have all `words`, the last perhaps only begun; a single short word is not tried."""
        if len(words) == 1 and len(words[0]) < 3:
            return self.entry_rows[:0]
        ranges = np.empty((len(words), 2), dtype=np.int64)
        for i, word in enumerate(words):
            first, after_exact, _, last = tiers(self.words, self.word_offsets, _bytes(word))
            end = last if i == len(words) - 1 else after_exact
            if first == end:
                return self.entry_rows[:0]
            ranges[i] = self.word_postings[first], self.word_postings[end]
        if not words:
            return self.entry_rows[:0]
        ranges = ranges[np.argsort(ranges[:, 1] - ranges[:, 0], kind="stable")]  # the rarest first
        having = np.empty(ranges[0, 1] - ranges[0, 0], dtype=np.int32)
        found = in_all(ranges, self.word_entries, self._for_entries("marks", np.int32), having)
        rows: Int32s = self.entry_rows[np.sort(having[:found])]
        return rows

    def _match_typos(self, title: str, year: int, best: dict[int, float]) -> None:
        if len(title) < 3:
            return
        entries = self.entry_rows.size
        candidates = np.empty(min(max(_CANDIDATES, entries // _ENTRIES_FOR_EACH), entries), dtype=np.int32)
        likenesses = np.empty(candidates.size, dtype=np.float64)
        found = nearest(
            np.frombuffer(title.encode("utf-32-le"), dtype=np.uint32)[:_LONGEST_MISTYPED],
            self.entries, self.entry_offsets, self.entry_trigrams,
            self.trigrams, self.trigram_postings, self.trigram_entries,
            self._for_entries("counts", np.uint8), self._for_entries("touched", np.int32), candidates, likenesses,
        )  # fmt: skip
        for i in np.flatnonzero(likenesses[:found]).tolist():
            row = int(self.entry_rows[candidates[i]])
            self._raise(row, TYPO + _TYPO_SPAN * likenesses[i], year, best)

    def _for_entries(self, use: str, dtype: type[np.generic]) -> npt.NDArray[Any]:
        """This thread's room for one use, a number for each entry and one more, 0 at first."""
        held: npt.NDArray[Any] | None = getattr(self._scratch, use, None)
        if held is None:
            held = np.zeros(self.entry_rows.size + 1, dtype=dtype)
            setattr(self._scratch, use, held)
        return held

    def _keep(self, rows: Int32s, score: float, year: int, k: int, best: dict[int, float]) -> None:
        """Note the most popular `k` of `rows`, of the wanted year first."""
        if rows.size > k:
            order = self.popularity[rows].astype(np.int64)
            if year:
                order += np.where(self.years[rows] == year, 0, self.popularity.size)
            rows = rows[np.argpartition(order, k)[: 2 * k]]
        for row in rows.tolist():
            self._raise(row, score, year, best)

    def _raise(self, row: int, score: float, year: int, best: dict[int, float]) -> None:
        if year and self.years[row] != year:
            score -= OTHER_YEAR
        best[row] = max(score, best.get(row, 0.0))


def _bytes(text: str) -> Bytes:
    return np.frombuffer(text.encode(), dtype=np.uint8)


def _words_of(texts: Sequence[str]) -> tuple[list[str], Int64s, Int32s]:
    """The different words in order of their bytes, where each one's postings begin, and the postings."""
    numbers: dict[str, int] = {}
    said = [[numbers.setdefault(word, len(numbers)) for word in text.split()] for text in texts]
    words = sorted(numbers)
    place = np.empty(len(words), dtype=np.int64)
    place[[numbers[word] for word in words]] = np.arange(len(words))
    spoken = np.array([number for text in said for number in text], dtype=np.int64)
    _, offsets, entries = _invert(place[spoken], np.repeat(np.arange(len(texts)), [len(text) for text in said]))
    return words, offsets, entries


def _trigrams_of(texts: Sequence[str]) -> tuple[Int64s, Int64s, Int32s]:
    """The different trigrams, ascending, where each one's postings begin, and the postings."""
    characters = np.frombuffer("".join(f" {text} " for text in texts).encode("utf-32-le"), dtype=np.uint32)
    sizes = np.array([len(text) + 2 for text in texts], dtype=np.int64)
    entries = np.repeat(np.arange(len(texts)), sizes)
    codes = (characters[:-2].astype(np.int64) << 42) | (characters[1:-1].astype(np.int64) << 21) | characters[2:]
    within = entries[:-2] == entries[2:]
    return _invert(codes[within], entries[:-2][within])


def _invert(keys: Int64s, entries: Int64s) -> tuple[Int64s, Int64s, Int32s]:
    """The different `keys`, ascending, where the postings of each begin, and the postings, from pairs int64 [n]."""
    order = np.lexsort((entries, keys))
    keys, entries = keys[order], entries[order]
    first = np.ones(keys.size, dtype=np.bool_)  # of an entry that has a key several times, only once
    first[1:] = (keys[1:] != keys[:-1]) | (entries[1:] != entries[:-1])
    keys, entries = keys[first], entries[first]
    different, begins = np.unique(keys, return_index=True)
    return different, np.append(begins, keys.size).astype(np.int64), entries.astype(np.int32)


def _offsets(texts: Iterable[bytes]) -> Int64s:
    return np.cumsum([0, *map(len, texts)], dtype=np.int64)
