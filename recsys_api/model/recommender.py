"""The one door to the model: recommend, search, popular, random, stats. Answers are rows and scores."""
from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recsys_api.cache import Cache
from recsys_api.catalog import EVERYTHING, Catalog, Facets, Filters
from recsys_api.errors import AmbiguousTitle, Candidate, MovieNotFound, TitleNotFound
from recsys_api.model.kernel import ALL, Int32s
from recsys_api.model.mood import DEFAULT, Mood
from recsys_api.model.reasons import Reasons
from recsys_api.model.search import Search
from recsys_api.model.seeds import Seeds
from recsys_api.model.similar import Answer, Lookup, Similar
from recsys_api.model.store import Model

_MOST_CANDIDATES = 10
_ABOUT_EQUAL = 0.02
"""Titles whose match scores are less apart than this fit about equally well: half of what another year costs."""


@dataclass(frozen=True, slots=True)
class ModelStats:
    """Facts about a model in use."""

    total_movies: int
    vocabulary_size: int
    matrix_shape: tuple[int, int]
    model_version: str
    built_at: str
    source: str
    quality: Mapping[str, float]
    """What was measured when it was built, by the name of the figure; empty where that was without ratings."""


class Recommender:
    """Answers from one model; one per process, shared by its threads. Look-ups go through `cache`."""

    def __init__(self, model: Model, *, cache: Cache[Lookup, Answer] | None = None) -> None:
        self._model = model
        self.cache = cache if cache is not None else Cache[Lookup, Answer](1)
        self._facets = Facets(model.catalog)
        self._similar = Similar(model, self._facets)
        self._search = Search(model)
        self._reasons = Reasons(model)
        self.stats = ModelStats(
            total_movies=len(model.catalog),
            vocabulary_size=len(model.vocabulary),
            matrix_shape=model.index.shape,
            model_version=model.version,
            built_at=model.built_at,
            source=model.source,
            quality={name: told["value"] for name, told in model.card.get("evaluation", {}).items()},
        )

    @property
    def card(self) -> Mapping[str, Any]:
        """What the model is, for people."""
        return self._model.card

    def card_as_text(self) -> str:
        """The card as lines of a name and a value, one for each leaf."""
        facts = {"model_version": self.stats.model_version, "built_at": self.stats.built_at, **self.card}
        return "".join(f"{name:<44} {value}\n" for name, value in _leaves(facts, ""))

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
        *movie_ids: int,
        unlike: Sequence[int] = (),
        text: str = "",
        top_k: int = 10,
        min_similarity: float = 0.0,
        exclude_same_year: bool = False,
        mood: Mood = DEFAULT,
        filters: Filters = EVERYTHING,
        diversity: float = 0.0,
        explain: bool = False,
    ) -> Answer:
        """The `top_k` best movies for `movie_ids` and their similarity, ties by movie_id, never one of them.

        Similarity is to the movies of `movie_ids` and the words of `text` on the whole, less that to the movies of
        `unlike`; at least one movie or word is needed. Best is by similarity times what the `mood` makes of each
        movie's votes. Only movies of at least `min_similarity` that meet the `filters` and, if asked, are of another
        year than the movies'; of near-duplicates the best; fewer than `top_k` only where the catalogue has no more. A
        `diversity` in [0, 1] trades some of that for movies that differ; see Variety. With `explain` each movie has its
        reason; see Reasons. Raises MovieNotFound, and UnknownValue for a filter.
        """
        seeds = Seeds(self._rows(movie_ids), self._rows(unlike) if unlike else (), text)
        asked = None if filters is EVERYTHING else filters  # most often, and quicker to look up
        lookup = Lookup(seeds, top_k, min_similarity, exclude_same_year, mood, asked, diversity)
        answer = self.cache.get(lookup, lambda: self._similar.find(lookup))
        return replace(answer, reasons=self._reasons.of(answer, lookup)) if explain else answer

    def _rows(self, movie_ids: Sequence[int]) -> tuple[int, ...]:
        """Each movie once and in the order of rows, so that the same question is one look-up however it is asked."""
        if len(movie_ids) == 1:
            return (self.catalog.row(movie_ids[0]),)
        return tuple(sorted({self.catalog.row(movie_id) for movie_id in movie_ids}))

    def movie_titled(self, title: str, *, year: int = 0) -> int:
        """The movie_id of the movie that `title` names, perhaps mistyped, as a search would find it first.

        A `year` tells namesakes apart. Raises TitleNotFound, and AmbiguousTitle where several fit about equally well.
        """
        hits = self._model.titles.search(f"{title} {year}" if year else title, _MOST_CANDIDATES)
        if not hits:
            raise TitleNotFound(title)
        fitting = [hit.row for hit in hits if hit.score > hits[0].score - _ABOUT_EQUAL]
        if len(fitting) > 1:
            raise AmbiguousTitle(title, [self._candidate(row) for row in fitting])
        return int(self.catalog.movie_ids[fitting[0]])

    def _candidate(self, row: int) -> Candidate:
        movie = self.catalog.movie(row)
        return {
            "movie_id": movie.movie_id, "title": movie.title, "release_date": movie.release_date,
            "directors": list(movie.directors),
        }  # fmt: skip

    def recommend_many(
        self, movie_ids: Sequence[int], *, top_k: int = 10, min_similarity: float = 0.0
    ) -> tuple[dict[int, Answer], dict[int, MovieNotFound]]:
        """`recommend` for several movies: the answers, and the movie_ids that are unknown."""
        answers: dict[int, Answer] = {}
        unknown: dict[int, MovieNotFound] = {}
        for movie_id in dict.fromkeys(movie_ids):
            try:
                answers[movie_id] = self.recommend(movie_id, top_k=top_k, min_similarity=min_similarity)
            except MovieNotFound as error:
                unknown[movie_id] = error
        return answers, unknown

    def search(self, query: str, *, top_k: int = 10, filters: Filters = EVERYTHING) -> Answer:
        """The `top_k` movies that best match `query` of those that meet the `filters`; see Search.

        Raises UnknownValue for a filter.
        """
        if filters == EVERYTHING:
            return Answer(*self._search.find(query, top_k, allowed=ALL))
        allowed = self._facets.allowed(filters)
        return Answer(*self._search.find(query, top_k, allowed=allowed), int(np.count_nonzero(allowed)))

    def popular(self, *, top_k: int = 20, filters: Filters = EVERYTHING) -> Int32s:
        """The rows of the `top_k` most popular movies that meet the `filters`, best first.

        Raises UnknownValue for a filter.
        """
        rows = self.catalog.popular_rows
        return rows[:top_k] if filters == EVERYTHING else rows[self._facets.allowed(filters)[rows]][:top_k]

    def random(self, *, count: int = 10, seed: int | None = None) -> Int32s:
        """`count` different rows, or all where there are fewer; the same for the same `seed` and model."""
        total = len(self.catalog)
        return np.array(random.Random(seed).sample(range(total), min(count, total)), dtype=np.int32)


def _leaves(facts: Mapping[str, Any], within: str) -> Iterator[tuple[str, Any]]:
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{within}{name}.")
        else:
            yield f"{within}{name}", value
