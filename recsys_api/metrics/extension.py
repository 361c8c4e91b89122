"""The app's metrics extension: the instruments of the catalogue, on the exporter that Flask people know."""
from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from flask import Flask, request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_flask_exporter import PrometheusMetrics

from recsys_api.metrics import scrape, slots
from recsys_api.metrics.catalogue import CATALOGUE, HTTP_METHODS, MOST_GENRES, OTHER_GENRE, OTHER_METHOD, UNMATCHED
from recsys_api.metrics.requests import ENDPOINT, Accounting

if TYPE_CHECKING:
    from recsys_api.metrics.requests import Finished


class ModelFacts(Protocol):
    """What the metrics say about a model."""

    @property
    def total_movies(self) -> int: ...
    @property
    def vocabulary_size(self) -> int: ...
    @property
    def model_version(self) -> str: ...
    @property
    def built_at(self) -> str: ...
    @property
    def source(self) -> str: ...


class Metrics(PrometheusMetrics):  # type: ignore[misc]  # the exporter ships no types
    """All instruments of one application, in a registry of its own.

    The exporter's own defaults stay off: they group by path, know no endpoint, miss what no view answers, and its
    `/metrics?name[]=` fails under several workers. What is kept is its place in the app, and its interface for
    metrics that others may add.
    """

    def __init__(self, folder: Path) -> None:
        self._together = slots.enable()
        disable_created_metrics()  # type: ignore[no-untyped-call]  # when a series began says nothing here
        self._folder = folder
        super().__init__(None, path=None, export_defaults=False, registry=CollectorRegistry())
        self.http_requests: Counter = self._create("http_requests_total")
        self.http_request_duration: Histogram = self._create("http_request_duration_seconds")
        self.http_requests_in_progress: Gauge = self._create("http_requests_in_progress")
        self.model_loaded: Gauge = self._create("recommendation_model_loaded")
        self.total_movies: Gauge = self._create("recommendation_model_total_movies")
        self.vocabulary_size: Gauge = self._create("recommendation_model_vocabulary_size")
        self.model_info: Gauge = self._create("recommendation_model_info")
        self.model_built: Gauge = self._create("recommendation_model_built_timestamp_seconds")
        self.inference_duration: Histogram = self._create("recommendation_model_inference_duration_seconds")
        self.recommendations_generated: Counter = self._create("recommendations_generated_total")
        self.request_size: Histogram = self._create("recommendation_request_size")
        self.cache_hits: Counter = self._create("recommendation_cache_hits_total")
        self.cache_misses: Counter = self._create("recommendation_cache_misses_total")
        self.cache_evictions: Counter = self._create("recommendation_cache_evictions_total")
        self.cache_size: Gauge = self._create("recommendation_cache_size")
        self.cache_capacity: Gauge = self._create("recommendation_cache_capacity")
        self.search_queries: Counter = self._create("movie_search_queries_total")
        self.search_duration: Histogram = self._create("movie_search_duration_seconds")
        self.popular_duration: Histogram = self._create("popular_movies_request_duration_seconds")
        self.model_errors: Counter = self._create("recommendation_model_errors_total")
        self.requested_genre: Counter = self._create("recommendation_requested_genre_total")
        self.similarity_score: Histogram = self._create("recommendation_similarity_score")
        self.workers: Gauge = self._create("gunicorn_workers")
        self.start_time: Gauge = self._create("process_start_time_seconds")
        self.files_skipped: Counter = self._create("metrics_files_skipped_total")
        self._genres: dict[str, Any] = {}
        self._other_genre = self.requested_genre.labels(OTHER_GENRE)
        self._requests: dict[tuple[str, str, int], Any] = {}
        self._durations: dict[tuple[str, str], Any] = {}
        self.start_time.set(time.time())

    @property
    def counts_with_others(self) -> bool:
        """Whether several processes share these metrics."""
        return self._together

    def describe_model(self, stats: ModelFacts, cache_capacity: int) -> None:
        """This process serves the model of `stats`, with a cache of `cache_capacity` entries."""
        self.workers.labels("live").set(1)
        self.model_loaded.set(1)
        self.total_movies.set(stats.total_movies)
        self.vocabulary_size.set(stats.vocabulary_size)
        self.model_info.labels(stats.model_version, stats.source).set(1)
        if stats.built_at:
            self.model_built.set(datetime.fromisoformat(stats.built_at).timestamp())
        self.cache_capacity.set(cache_capacity)
        self.cache_size.set(0)

    def describe_missing_model(self) -> None:
        """This process runs and has no model."""
        self.workers.labels("live").set(1)
        self.model_loaded.set(0)

    def init_app(self, app: Flask, *, identify: Callable[[str], str], finished: Finished) -> None:
        """Count every request of `app`.

        `identify` makes a request's id from the one that the client proposes, which may be empty; `finished` is told
        when the answer is gone.
        """
        super().init_app(app)
        app.extensions["recsys_metrics"] = self
        app.before_request(_note_endpoint)
        app.wsgi_app = Accounting(app.wsgi_app, self, identify=identify, finished=finished)  # type: ignore[method-assign]  # Flask's documented way

    def expect(self, endpoint: str, methods: Iterable[str], statuses: Iterable[int]) -> None:
        """Let the series of a route exist from the start, so that a ratio over them is 0 and not absent."""
        for method in methods:
            self._durations[method, endpoint] = self.http_request_duration.labels(method, endpoint)
            for status in statuses:
                self._requests[method, endpoint, status] = self.http_requests.labels(method, endpoint, str(status))

    def expect_unmatched(self, statuses: Iterable[int]) -> None:
        """The same for what no route fits, by any method."""
        self.expect(UNMATCHED, (*HTTP_METHODS, OTHER_METHOD), statuses)

    def expect_genres(self, genres: Iterable[str]) -> None:
        """The genres that are counted by name; further ones count as `other`."""
        for genre in list(genres)[:MOST_GENRES]:
            self._genres[genre] = self.requested_genre.labels(genre)

    def count_request(self, method: str, endpoint: str, status: int) -> None:
        """Count one answer."""
        child = self._requests.get((method, endpoint, status))
        if child is None:
            child = self._requests[method, endpoint, status] = self.http_requests.labels(method, endpoint, str(status))
        child.inc()

    def time_request(self, method: str, endpoint: str, seconds: float) -> None:
        """Note how long one answer took."""
        child = self._durations.get((method, endpoint))
        if child is None:
            child = self._durations[method, endpoint] = self.http_request_duration.labels(method, endpoint)
        child.observe(seconds)

    def count_genres(self, genres: Iterable[str]) -> None:
        """Count the genres of a movie that somebody asks about."""
        for genre in genres:
            self._genres.get(genre, self._other_genre).inc()

    def count_cache_event(self, event: Literal["hit", "miss", "eviction"], size: int) -> None:
        """Count a hit, a miss or an eviction of this process's similarity cache, which holds `size` entries now."""
        if event == "hit":
            self.cache_hits.inc()
            return
        (self.cache_misses if event == "miss" else self.cache_evictions).inc()
        self.cache_size.set(size)

    def snapshot(self) -> scrape.Snapshot:
        """The metrics of all workers, now."""
        if self._together:
            return scrape.take(scrape.FileCollector(self._folder, on_skipped=lambda path: self.files_skipped.inc()))
        return scrape.take(self.registry)

    def generate_metrics(
        self, accept_header: str | None = None, names: list[str] | None = None
    ) -> tuple[bytes, str]:
        """What a scraper gets, as text or, where `accept_header` prefers it, OpenMetrics; only `names` if there are."""
        fresh = CollectorRegistry(auto_describe=False)
        fresh.register(self.snapshot())
        encode, content_type = choose_encoder(accept_header or "")
        return encode(fresh.restricted_registry(names) if names else fresh), content_type

    def _create(self, name: str) -> Any:
        definition = CATALOGUE[name]
        arguments: dict[str, Any] = {"labelnames": tuple(definition.labels), "registry": self.registry}
        if definition.kind == "counter":
            return Counter(name, definition.help, **arguments)
        if definition.kind == "histogram":
            return Histogram(name, definition.help, buckets=definition.buckets, **arguments)
        return Gauge(name, definition.help, multiprocess_mode=definition.merge or "all", **arguments)


def _note_endpoint() -> None:
    if request.url_rule is not None:
        request.environ[ENDPOINT] = request.url_rule.rule
