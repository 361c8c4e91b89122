"""From a query to movies: titles first, then people and themes, then what happens in them."""
from __future__ import annotations

import numpy as np

from recsys_api.model.kernel import Mask, TopK
from recsys_api.model.store import Model
from recsys_api.model.titles import NAMED, OTHER_YEAR, TYPO, TitleHit
from recsys_api.text import STOP_WORDS, fold

CONTENT_CEILING = TYPO - OTHER_YEAR - 0.01
"""The match score of a perfect content match: always below the weakest title match."""

_LONGEST_NAMING_QUERY = 16
_MOST_NAMESAKES = 10


class Search:
    """Searches one model; threads share it."""

    def __init__(self, model: Model) -> None:
        self._model = model

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
            named = self._named_within(query)
            hits = [*named, *(hit for hit in hits if hit.row not in {other.row for other in named})]
            hits = [hit for hit in hits if not allowed.size or allowed[hit.row]][:k]
        rows, scores = [hit.row for hit in hits], [hit.score for hit in hits]
        if len(rows) < k:
            content = self._matching_content(query, k + len(rows), allowed)
            taken = set(rows)
            for row, score in zip(content.rows.tolist(), content.scores.tolist(), strict=True):
                if score > 0 and row not in taken and len(rows) < k:
                    rows.append(row)
                    scores.append(score)
        return TopK(np.array(rows, dtype=np.int32), np.array(scores, dtype=np.float32))

    def _named_within(self, query: str) -> list[TitleHit]:
        """The movies whose title is a part of `query` and whom the rest of it fits: "pulp fiction tarantino".

        Of a title of several words it is enough that half of the rest fits.
        """
        words = fold(query).split()[:_LONGEST_NAMING_QUERY]
        for length in range(len(words) - 1, 0, -1):
            hits = []
            for start in range(len(words) - length + 1):
                title, rest = words[start : start + length], words[:start] + words[start + length :]
                told = [word for word in rest if word not in STOP_WORDS]
                if all(word in STOP_WORDS for word in title) and not told:
                    continue
                needed = len(told) if length == 1 else (len(told) + 1) // 2
                for row in self._model.titles.rows_titled(" ".join(title))[:_MOST_NAMESAKES]:
                    words_of_movie = self._words_of(row)
                    fitting = sum(word in words_of_movie for word in told)
                    if fitting >= needed:
                        hits.append((fitting, TitleHit(row, NAMED)))
            if hits:
                hits.sort(key=lambda pair: -pair[0])
                return list(dict.fromkeys(hit for _, hit in hits))
        return []

    def _words_of(self, row: int) -> set[str]:
        movie = self._model.catalog.movie(row)
        told = (*movie.directors, *movie.cast, *movie.keywords, *movie.genres, movie.overview, str(movie.year))
        return set(fold(" ".join(told)).split())

    def _matching_content(self, query: str, k: int, allowed: Mask) -> TopK:
        features, weights, scale = self._model.vocabulary.understood(query)
        if not features.size:
            return TopK(np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32))
        rows, scores = self._model.index.top_k(features, weights, k, scale=scale, allowed=allowed)
        return TopK(rows, scores * np.float32(CONTENT_CEILING))
