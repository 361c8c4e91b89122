"""The product metrics of one call: how much was asked for, how long the model took, and what came of it."""
from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import TracebackType
from typing import Any, NamedTuple

from recsys_api.api.application import environment
from recsys_api.catalog import Catalog
from recsys_api.errors import MovieNotFound, RequestError, TitleNotFound
from recsys_api.metrics import Metrics
from recsys_api.metrics.requests import ENDPOINT
from recsys_api.model.similar import Answer
from recsys_api.serving import serving


class recommending:  # noqa: N801 - reads as a verb at its place: with recommending(asked.top_k) as account
    """Accounts for one similarity look-up, or for several in one call; all is counted at once, at the end."""

    def __init__(self, top_k: int) -> None:
        self._metrics = serving().metrics
        self._series = _series(self._metrics, environment()[ENDPOINT])
        self._changes = self._series.asked.observed(top_k)

    def __enter__(self) -> recommending:
        self._begun = time.perf_counter()
        return self

    def found(self) -> None:
        """Note that the model has answered: what follows is not its work."""
        self._changes += self._series.taken.observed(time.perf_counter() - self._begun)

    def gave(self, answer: Answer, catalog: Catalog) -> None:
        """Note the movies of one list, and which genres interest people: those of the movies that were asked about."""
        scores, series, changes = answer.scores.tolist(), self._series, self._changes
        changes.append((series.generated["success"], len(scores)) if scores else (series.generated["empty"], 1))
        for row in answer.likes:
            for genre in catalog.genres_of(row):
                changes.append((series.genres(genre), 1))
        changes += series.similarities.all_observed(scores)

    def missed(self, movies: int) -> None:
        """Note movies that do not exist, asked about in a batch."""
        if movies:
            self._changes.append((self._series.generated["not_found"], movies))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and not issubclass(kind, RequestError):
            outcome = "not_found" if issubclass(kind, (MovieNotFound, TitleNotFound)) else "error"
            self._changes.append((self._series.generated[outcome], 1))
        self._metrics.change(self._changes)


class _Series(NamedTuple):
    """What an endpoint that recommends counts in."""

    asked: Any
    taken: Any
    similarities: Any
    generated: dict[str, Any]
    genres: Any


@lru_cache(maxsize=64)
def _series(metrics: Metrics, endpoint: str) -> _Series:
    generated = metrics["recommendations_generated_total"]
    return _Series(
        asked=metrics["recommendation_request_size"](endpoint),
        taken=metrics["recommendation_model_inference_duration_seconds"](endpoint),
        similarities=metrics["recommendation_similarity_score"](endpoint),
        generated={status: generated(endpoint, status) for status in ("success", "empty", "not_found", "error")},
        genres=metrics["recommendation_requested_genre_total"],
    )


class searching:  # noqa: N801 - reads as a verb at its place
    """Accounts for one search."""

    def __enter__(self) -> searching:
        self._metrics = serving().metrics
        self._begun = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._metrics["movie_search_duration_seconds"]().observe(time.perf_counter() - self._begun)
        if kind is not None and not issubclass(kind, RequestError):
            self._metrics["movie_search_queries_total"]("error").inc(1)

    def gave(self, answer: Answer) -> None:
        """Note whether anything was found."""
        self._metrics["movie_search_queries_total"]("success" if answer.rows.size else "empty").inc(1)


@contextmanager
def listing_popular() -> Iterator[None]:
    """Accounts for one list of popular movies."""
    begun = time.perf_counter()
    try:
        yield
    finally:
        seconds = time.perf_counter() - begun
        serving().metrics["popular_movies_request_duration_seconds"]().observe(seconds)
