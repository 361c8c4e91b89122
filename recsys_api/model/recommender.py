"""The one door to the model: recommend, search, popular, random, stats. Answers are rows and scores."""
from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from recsys_api.cache import Cache
from recsys_api.catalog import Catalog
from recsys_api.errors import MovieNotFound
from recsys_api.model.kernel import Int32s, Scores, TopK
from recsys_api.model.mood import DEFAULT, MOODS, Mood
from recsys_api.model.store import Model
from recsys_api.model.titles import NAMED, OTHER_YEAR, TYPO, TitleHit
from recsys_api.text import STOP_WORDS, fold

CONTENT_CEILING = TYPO - OTHER_YEAR - 0.01
"""The match score of a perfect content match: always below the weakest title match."""


_LONGEST_NAMING_QUERY = 16
_MOST_NAMESAKES = 10


class Lookup(NamedTuple):
    """What the answer of a similarity look-up depends on; the key of the cache."""

    row: int
    top_k: int
    min_similarity: float
    exclude_same_year: bool
    mood: Mood = DEFAULT


@dataclass(frozen=True, slots=True)
class ModelStats:
    """Facts about a model in use."""

    total_movies: int
    vocabulary_size: int
    matrix_shape: tuple[int, int]
    model_version: str
    built_at: str
    source: str


class Recommender:
    """Answers from one model; one per process, shared by its threads. Look-ups go through `cache`."""

    def __init__(self, model: Model, *, cache: Cache[Lookup, TopK] | None = None) -> None:
        self._model = model
        self.cache = cache if cache is not None else Cache[Lookup, TopK](1)
        self.stats = ModelStats(
            total_movies=len(model.catalog),
            vocabulary_size=len(model.vocabulary),
            matrix_shape=model.index.shape,
            model_version=model.version,
            built_at=model.built_at,
            source=model.source,
        )

    @property
    def catalog(self) -> Catalog:
        """The movies, to turn rows into what clients see."""
        return self._model.catalog

    @property
    def knows_moods(self) -> bool:
        """Whether a mood makes a difference: whether anybody voted on a movie of the catalogue."""
        return self._model.multipliers.size > 0

    def recommend(
        self,
        movie_id: int,
        *,
        top_k: int = 10,
        min_similarity: float = 0.0,
        exclude_same_year: bool = False,
        mood: Mood = DEFAULT,
    ) -> TopK:
        """The `top_k` best movies for `movie_id` and their similarity, ties by movie_id, never the movie itself.

        Best by similarity times what the `mood` makes of each movie's votes. Only movies of at least `min_similarity`
        and, if asked, of another year than the movie's; fewer than `top_k` only where the catalogue has no more. Raises
        MovieNotFound.
        """
        lookup = Lookup(self.catalog.row(movie_id), top_k, min_similarity, exclude_same_year, mood)
        return self.cache.get(lookup, lambda: self._similar(lookup))

    def recommend_many(
        self, movie_ids: Sequence[int], *, top_k: int = 10, min_similarity: float = 0.0
    ) -> tuple[dict[int, TopK], dict[int, MovieNotFound]]:
        """`recommend` for several movies: the answers, and the movie_ids that are unknown."""
        answers: dict[int, TopK] = {}
        unknown: dict[int, MovieNotFound] = {}
        for movie_id in dict.fromkeys(movie_ids):
            try:
                answers[movie_id] = self.recommend(movie_id, top_k=top_k, min_similarity=min_similarity)
            except MovieNotFound as error:
                unknown[movie_id] = error
        return answers, unknown

    def search(self, query: str, *, top_k: int = 10) -> TopK:
        """The `top_k` movies that best match `query`, with match scores in [0, 1] that fall down the list.

        First those whose title matches, by tier and popularity, then those whose content does. Fewer, or none, where
        no more match at all.
        """
        hits = self._model.titles.search(query, top_k)
        if not hits or hits[0].score < NAMED:
            named = self._named_within(query)
            hits = [*named, *(hit for hit in hits if hit.row not in {other.row for other in named})][:top_k]
        rows, scores = [hit.row for hit in hits], [hit.score for hit in hits]
        if len(rows) < top_k:
            content = self._matching_content(query, top_k + len(rows))
            taken = set(rows)
            for row, score in zip(content.rows.tolist(), content.scores.tolist(), strict=True):
                if score > 0 and row not in taken and len(rows) < top_k:
                    rows.append(row)
                    scores.append(score)
        return TopK(np.array(rows, dtype=np.int32), np.array(scores, dtype=np.float32))

    def popular(self, *, top_k: int = 20) -> Int32s:
        """The rows of the `top_k` most popular movies, best first."""
        return self.catalog.popular_rows[:top_k]

    def random(self, *, count: int = 10, seed: int | None = None) -> Int32s:
        """`count` different rows, or all where there are fewer; the same for the same `seed` and model."""
        total = len(self.catalog)
        return np.array(random.Random(seed).sample(range(total), min(count, total)), dtype=np.int32)

    def _similar(self, lookup: Lookup) -> TopK:
        table = self._model.neighbours
        factors = self._model.multipliers[MOODS.index(lookup.mood)]
        year = self.catalog.years[lookup.row] if lookup.exclude_same_year else 0
        if lookup.mood == DEFAULT or not factors.size:
            rows, scores = table.rows[lookup.row], table.scores[lookup.row]
            if not lookup.min_similarity and not year and lookup.top_k <= rows.size:
                return TopK(rows[: lookup.top_k].copy(), scores[: lookup.top_k].copy())
            chosen = self._kept(lookup, year, rows, scores)
            if chosen.size == lookup.top_k or self._has_all_of(lookup, rows, scores, factors):
                return TopK(rows[chosen], scores[chosen])
        allowed = self.catalog.years != year if year else np.zeros(0, dtype=np.bool_)
        return self._model.index.top_k_of_row(
            lookup.row, lookup.top_k, lowest=lookup.min_similarity, allowed=allowed, factors=factors
        )

    def _kept(self, lookup: Lookup, year: int, rows: Int32s, scores: Scores) -> npt.NDArray[np.intp]:
        """The places in a movie's row of the table that meet what was asked, at most as many as were asked for."""
        keep = scores >= np.float32(lookup.min_similarity)
        if year:
            keep &= self.catalog.years[rows] != year
        return np.flatnonzero(keep)[: lookup.top_k]

    def _has_all_of(self, lookup: Lookup, rows: Int32s, scores: Scores, factors: Scores) -> bool:
        """Whether no movie that is missing in the table's row can be similar enough."""
        if rows.size == len(self.catalog) - 1:
            return True
        last, least = scores[-1], np.float32(1)
        if factors.size:
            last, least = last * factors[rows[-1]], factors.min()
        return bool(last < np.float32(lookup.min_similarity) * least)

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
        movie = self.catalog.movie(row)
        told = (*movie.directors, *movie.cast, *movie.keywords, *movie.genres, movie.overview, str(movie.year))
        return set(fold(" ".join(told)).split())

    def _matching_content(self, query: str, k: int) -> TopK:
        vocabulary = self._model.vocabulary
        features, weights, scale = vocabulary.query(query)
        if not features.size:
            features, weights, scale = vocabulary.query(vocabulary.corrected(query))
        if not features.size:
            return TopK(np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32))
        rows, scores = self._model.index.top_k(features, weights, k)
        return TopK(rows, np.minimum(scores * np.float32(scale), np.float32(1)) * np.float32(CONTENT_CEILING))
