"""The product metrics of one call: how much was asked for, how long the model took, and what came of it."""
from __future__ import annotations

import time
from types import TracebackType

from flask import request

from recsys_api.catalog import Catalog
from recsys_api.errors import MovieNotFound
from recsys_api.model.kernel import TopK
from recsys_api.serving import serving


class recommending:  # noqa: N801 - reads as a verb at its place: with recommending(asked.top_k) as account
    """Accounts for one similarity look-up, or for several in one call."""

    def __init__(self, top_k: int) -> None:
        self._metrics = serving().metrics
        self._endpoint = str(request.url_rule)
        self._metrics.request_size.labels(self._endpoint).observe(top_k)

    def __enter__(self) -> recommending:
        self._begun = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            seconds = time.perf_counter() - self._begun
            self._metrics.inference_duration.labels(self._endpoint).observe(seconds)
        else:
            self._count("not_found" if issubclass(kind, MovieNotFound) else "error", 1)

    def asked_about(self, catalog: Catalog, movie_id: int) -> None:
        """Note which genres interest people."""
        self._metrics.count_genres(catalog.movie(catalog.row(movie_id)).genres)

    def gave(self, answer: TopK) -> None:
        """Note the movies of one list."""
        scores = answer.scores.tolist()
        self._count("success", len(scores)) if scores else self._count("empty", 1)
        observe = self._metrics.similarity_score.labels(self._endpoint).observe
        for score in scores:
            observe(score)

    def missed(self, movies: int) -> None:
        """Note movies that do not exist, asked about in a batch."""
        if movies:
            self._count("not_found", movies)

    def _count(self, status: str, number: int) -> None:
        self._metrics.recommendations_generated.labels(self._endpoint, status).inc(number)


class searching:  # noqa: N801 - reads as a verb at its place
    """Accounts for one search."""

    def __enter__(self) -> searching:
        self._metrics = serving().metrics
        self._begun = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._metrics.search_duration.observe(time.perf_counter() - self._begun)
        if kind is not None:
            self._metrics.search_queries.labels("error").inc()

    def gave(self, answer: TopK) -> None:
        """Note whether anything was found."""
        self._metrics.search_queries.labels("success" if answer.rows.size else "empty").inc()
