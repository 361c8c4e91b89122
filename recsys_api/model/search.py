"""From a query to movies: titles first, then people and themes, then what happens in them."""
from __future__ import annotations

from functools import lru_cache

import numpy as np

from recsys_api.model.kernel import Mask, TopK
from recsys_api.model.store import Model
from recsys_api.model.titles import NAMED, OTHER_YEAR, TYPO, TitleHit
from recsys_api.text import STOP_WORDS, fold

CONTENT_CEILING = TYPO - OTHER_YEAR - 0.01
"""The match score of a perfect content match: always below the weakest title match."""

_QUERIES = 4096
"""Of how many queries it is remembered what they speak of: people ask the same again and again."""
_LONGEST_NAMING_QUERY = 16
_MOST_NAMESAKES = 10


class Search:
    """Searches one model; threads share it."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._understood = lru_cache(_QUERIES)(model.vocabulary.understood)

    def find(self, query: str, k: int, *, allowed: Mask) -> TopK:
        """The `k` movies that best match `query`, with match scores in [0, 1] that fall down the list.

        First those whose title matches, by tier and popularity, then those whose content does. Fewer, or none, where
        no more match at all. `allowed` bool [N] keeps only rows that are true, and changes nothing else; an empty one
        allows all.
        """
        titles = self._model.titles
        hits = titles.search(query, k, allowed=allowed)
        first = titles.search(query, 1) if allowed.size else hits
        if not first or first[0].score < NAMED:
            named = [hit for hit in self._named_within(query) if not allowed.size or allowed[hit.row]]
            if named:
                hits = [*named, *(hit for hit in hits if hit.row not in {other.row for other in named})][:k]
        rows, scores = [hit.row for hit in hits], [hit.score for hit in hits]
        if len(rows) < k:
            taken = set(rows)
            content = self._matching_content(query, k + len(rows), allowed)
            for row, score in zip(content.rows.tolist(), content.scores.tolist(), strict=True):
                if len(rows) < k and row not in taken:
                    rows.append(row)
                    scores.append(score)
        return TopK(np.array(rows, dtype=np.int32), np.array(scores, dtype=np.float32))

    def _named_within(self, query: str) -> list[TitleHit]:
        """The movies whose title is a part of `query` and whom the rest of it fits: "pulp fiction tarantino".

        Those of the longest such titles, the best fitting first.
        """
        words = fold(query).split()[:_LONGEST_NAMING_QUERY]
        named: list[tuple[int, TitleHit]] = []
        longest = 0
        for start, stop, rows in self._model.titles.titled_within(words):
            if stop - start < longest:
                break
            if fitting := self._fitting(rows, words[start:stop], words[:start] + words[stop:]):
                named += fitting
                longest = stop - start
        named.sort(key=lambda pair: -pair[0])
        return list(dict.fromkeys(hit for _, hit in named))

    def _fitting(self, rows: list[int], title: list[str], rest: list[str]) -> list[tuple[int, TitleHit]]:
        """Those of `rows`, which are titled so, that the rest of a query fits, and how many words of it do.

        Of a title of several words it is enough that half of the rest fits.
        """
        told = [word for word in rest if word not in STOP_WORDS]
        if not told and STOP_WORDS.issuperset(title):
            return []
        needed = len(told) if len(title) == 1 else (len(told) + 1) // 2
        fitting = []
        for row in rows[:_MOST_NAMESAKES]:
            if not self._may_have(row, told, needed):
                continue
            words_of_movie = self._words_of(row) if told else set()
            fits = sum(word in words_of_movie for word in told)
            if fits >= needed:
                fitting.append((fits, TitleHit(row, NAMED)))
        return fitting

    def _may_have(self, row: int, words: list[str], needed: int) -> bool:
        """Whether so many of `words` can be among those of a movie, judged by letters alone, which is quicker.

        Folding plain letters takes nothing away but case and apostrophes; where others are, the words have to be read.
        """
        letters = self._model.catalog.values(row)
        if not letters.isascii():
            return True
        letters = letters.translate(None, b"'`").lower()
        return sum(word.encode() in letters for word in words) >= needed

    def _words_of(self, row: int) -> set[str]:
        movie = self._model.catalog.movie(row)
        told = (*movie.directors, *movie.cast, *movie.keywords, *movie.genres, movie.overview, str(movie.year))
        return set(fold(" ".join(told)).split())

    def _matching_content(self, query: str, k: int, allowed: Mask) -> TopK:
        features, weights, scale = self._understood(query)
        if not features.size:
            return TopK(np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32))
        rows, scores = self._model.index.matching(features, weights, k, scale=scale, allowed=allowed)
        return TopK(rows, scores * np.float32(CONTENT_CEILING))
