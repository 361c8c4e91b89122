"""The app's metrics extension: the instruments of the catalogue, on the exporter that Flask people know."""
from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

import prometheus_client
from flask import Flask
from prometheus_client import CollectorRegistry, disable_created_metrics
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_flask_exporter import PrometheusMetrics

from recsys_api.metrics.catalogue import (
    CATALOGUE,
    HTTP_METHODS,
    MOST_GENRES,
    OTHER_GENRE,
    OTHER_METHOD,
    QUALITY,
    UNMATCHED,
    Definition,
)  # fmt: skip
from recsys_api.metrics.files import Files
from recsys_api.metrics.requests import Accounting, Begun, Failed, Finished
from recsys_api.metrics.scrape import Derived, SharedRun, Snapshot, gauge
from recsys_api.metrics.slots import MASTER, Slots

EXTENSION = "recsys_metrics"
_INSTRUMENTS: dict[str, Any] = {
    "counter": prometheus_client.Counter, "gauge": prometheus_client.Gauge, "histogram": prometheus_client.Histogram,
}  # fmt: skip


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
    @property
    def quality(self) -> Mapping[str, float]: ...


class CacheFacts(Protocol):
    """What the metrics say about a cache."""

    @property
    def currsize(self) -> int: ...
    @property
    def generation(self) -> int: ...


Change = tuple[Any, float]
"""A counter, a gauge or a part of a histogram, and what is to be added to it."""

Known = Mapping[str, Callable[[], Collection[str]]]
"""Of labels whose values are known only when the service runs, the values that they may have now."""


class Instrument:
    """One metric of the catalogue, whose series are guarded: only values that its labels allow become one."""

    def __init__(self, definition: Definition, registry: CollectorRegistry, known: Known) -> None:
        more: dict[str, Any] = {"buckets": definition.buckets} if definition.buckets else {}
        if definition.kind == "gauge":
            more["multiprocess_mode"] = definition.merge
        self._metric = _INSTRUMENTS[definition.kind](
            definition.name, definition.help, list(definition.labels), registry=registry, **more
        )
        self._definition = definition
        self._known = known
        self._series: dict[tuple[str, ...], Any] = {} if definition.labels else {(): _quick(self._metric)}

    def __call__(self, *values: str) -> Any:
        """The series with these values of the labels: inc, set or observe it.

        A value that its label does not allow counts as the label's `otherwise`; raises ValueError where it has none.
        """
        series = self._series.get(values)
        if series is None:
            allowed = tuple(map(self._allowed, self._definition.labels, values))
            series = self._series.get(allowed)
            if series is None:
                series = self._series[allowed] = _quick(self._metric.labels(*allowed))
        return series

    def _allowed(self, name: str, value: str) -> str:
        label = self._definition.labels[name]
        values = self._known[name]() if name in self._known else label.values
        if value in values or (not values and not label.otherwise):
            return value
        if not label.otherwise:
            raise ValueError(f"{self._definition.name} has no {name}={value!r}; it has {', '.join(label.values)}")
        return label.otherwise


class QuickHistogram:
    """A histogram of prometheus_client, observed without its checks."""

    __slots__ = ("_bucket_of", "_buckets", "_sum")

    def __init__(self, histogram: Any) -> None:
        self._bucket_of: Callable[[float], int] = partial(bisect_left, histogram._upper_bounds)
        self._buckets: list[Any] = histogram._buckets
        self._sum = histogram._sum

    def observe(self, value: float) -> None:
        """Count one value."""
        self._sum.inc(value)
        self._buckets[self._bucket_of(value)].inc(1)

    def observed(self, value: float) -> list[Change]:
        """What `observe` changes, for `Metrics.change`."""
        return [(self._sum, value), (self._buckets[self._bucket_of(value)], 1)]

    def all_observed(self, observed: Sequence[float]) -> list[Change]:
        """The same for many values: a bucket changes once for all that fall there one after the other."""
        changes: list[Change] = [(self._sum, sum(observed))]
        last, count = 0, 0
        for bucket in map(self._bucket_of, observed):
            if bucket != last and count:
                changes.append((self._buckets[last], count))
                count = 0
            last = bucket
            count += 1
        changes.append((self._buckets[last], count))
        return changes


def _quick(metric: Any) -> Any:
    """What is called to count: of a counter or a gauge its bare value, without the checks that the guard has made."""
    return QuickHistogram(metric) if isinstance(metric, prometheus_client.Histogram) else metric._value


class Metrics(PrometheusMetrics):  # type: ignore[misc]  # the exporter ships no types
    """All instruments of one application, in a registry of its own; one per process, made before the first fork.

    The exporter's own defaults stay off: they group by path, know no endpoint, miss what no view answers, and its
    `/metrics?name[]=` fails under several workers. What is kept is its place in the app, and its interface for
    metrics that others may add.
    """

    def __init__(self, folder: Path, *, cache_generation: Callable[[], int] = lambda: 0) -> None:
        self.slots = Slots(folder)
        self.change: Callable[[Iterable[Change]], None] = self.slots.change
        """Count several things at once, which costs less than one by one."""
        self._files = Files(folder, leave_out=MASTER)
        self._generation = cache_generation
        disable_created_metrics()  # type: ignore[no-untyped-call]  # when a series began says nothing here
        super().__init__(None, path=None, export_defaults=False, registry=CollectorRegistry())
        self._genres: list[str] = []
        self._routes: Callable[[], Collection[str]] = tuple
        known: Known = {"genre": lambda: self._genres, "endpoint": lambda: self._routes()}  # noqa: PLW0108 - set later
        self._instruments = {
            name: Instrument(definition, self.registry, known)
            for name, definition in CATALOGUE.items()
            if not definition.at_scrape
        }
        self._cpu_of_ended_workers = prometheus_client.Counter(
            "worker_cpu_seconds_total", CATALOGUE["worker_cpu_seconds_total"].help, ["worker"], registry=self.registry
        )
        self._cache_events: dict[str, Any] = {
            "hit": self["recommendation_cache_hits_total"](),
            "miss": self["recommendation_cache_misses_total"](),
            "eviction": self["recommendation_cache_evictions_total"](),
        }
        for definition in CATALOGUE.values():
            self._create_closed(definition)
        self._derived = Derived(self.slots, cache_generation)
        self.snapshot = SharedRun(self._merge)
        """The metrics of all workers, now; threads that ask at once share a merge."""

    def __getitem__(self, name: str) -> Instrument:
        """The instrument of the metric `name`; raises KeyError for one that is not in the catalogue."""
        return self._instruments[name]

    def init_app(self, app: Flask, *, begun: Begun, failed: Failed, finished: Finished) -> None:
        """Count every request of `app`.

        `begun` is given the WSGI environment of a new request and returns headers for its answer and a note of what it
        is; `failed` makes an answer of an exception that leaves the application; `finished` is told when the answer is
        gone.
        """
        super().init_app(app)
        app.extensions[EXTENSION] = self
        self._routes = lambda: {rule.rule for rule in app.url_map.iter_rules()}
        app.wsgi_app = Accounting(app.wsgi_app, self, begun=begun, failed=failed, finished=finished)  # type: ignore[method-assign]  # Flask's documented way

    def expect(self, endpoint: str, methods: Iterable[str], statuses: Iterable[int]) -> None:
        """Let the series of a route exist from the start, so that a ratio over them is 0 and not absent."""
        statuses = list(statuses)
        for method in methods:
            self["http_request_duration_seconds"](method, endpoint)
            for status in statuses:
                self["http_requests_total"](method, endpoint, str(status))
        for kind in ("unavailable", "internal") if 503 in statuses else ("internal",):
            self["recommendation_model_errors_total"](kind, endpoint)

    def expect_unmatched(self, statuses: Iterable[int]) -> None:
        """The same for what no route fits, by any method."""
        self.expect(UNMATCHED, (*HTTP_METHODS, OTHER_METHOD), statuses)

    def expect_recommendations(self, endpoint: str) -> None:
        """The same for what only a route that recommends counts."""
        for status in CATALOGUE["recommendations_generated_total"].labels["status"].values:
            self["recommendations_generated_total"](endpoint, status)
        for name in (
            "recommendation_model_inference_duration_seconds", "recommendation_request_size",
            "recommendation_similarity_score",
        ):  # fmt: skip
            self[name](endpoint)

    def expect_genres(self, genres: Iterable[str]) -> None:
        """The genres that are counted by name, the most frequent first; further ones count together."""
        self._genres = list(genres)[:MOST_GENRES]
        for genre in (*self._genres, OTHER_GENRE):
            self["recommendation_requested_genre_total"](genre)

    def describe_model(self, stats: ModelFacts, cache_capacity: int) -> None:
        """This process serves the model of `stats`, with a cache of `cache_capacity` entries."""
        self.slots.note_model(loaded=True)
        self["recommendation_model_total_movies"]().set(stats.total_movies)
        self["recommendation_model_vocabulary_size"]().set(stats.vocabulary_size)
        self["recommendation_model_info"](stats.model_version, stats.source).set(1)
        if stats.built_at:
            built = datetime.fromisoformat(stats.built_at).timestamp()
            self["recommendation_model_built_timestamp_seconds"]().set(built)
        for metric in stats.quality.keys() & set(QUALITY):
            self["recommendation_model_quality"](metric).set(stats.quality[metric])
        self["recommendation_cache_capacity"]().set(cache_capacity)
        self.slots.note_cache(0, self._generation())

    def describe_missing_model(self) -> None:
        """This process runs and has no model."""
        self.slots.note_model(loaded=False)

    def count_cache_event(self, event: Literal["hit", "miss", "eviction"], state: CacheFacts) -> None:
        """Count a hit, a miss or an eviction of this process's similarity cache."""
        self._cache_events[event].inc(1)
        if event == "miss":  # what was pushed out for it is out of the state already
            self.slots.note_cache(state.currsize, state.generation)

    def count_unread_request(self, status: int) -> None:
        """Count an answer to what could not be read as a request."""
        self["http_requests_total"](OTHER_METHOD, UNMATCHED, str(status)).inc(1)
        self["http_request_duration_seconds"](OTHER_METHOD, UNMATCHED).observe(0.0)

    def worker_ended(self, slot: int, *, timed_out: bool) -> list[str]:
        """For the master, when it has reaped the worker of `slot`: account for it, and return the notes of the requests
        that it was answering.
        """
        reason, seconds = self.slots.leave(slot)
        self["gunicorn_worker_restarts_total"]("timeout" if timed_out else reason).inc(1)
        self._cpu_of_ended_workers.labels(str(slot)).inc(seconds)
        unanswered = self.slots.noted(slot)
        self.slots.free(slot)
        return unanswered

    def generate_metrics(
        self, accept_header: str | None = None, names: list[str] | None = None
    ) -> tuple[bytes, str]:
        """What a scraper gets, as text or, where `accept_header` prefers it, OpenMetrics; only `names` if there are."""
        snapshot = self.snapshot()
        if names:
            snapshot = snapshot.only(names)
        _, content_type = choose_encoder(accept_header or "")
        return snapshot.text(openmetrics=content_type.startswith("application/openmetrics-text")), content_type

    def _create_closed(self, definition: Definition) -> None:
        """The series of labels whose values are all known already; not of a gauge, whose 0 would be a claim."""
        values = [label.values for label in definition.labels.values()]
        if len(values) == 1 and values[0] and definition.kind != "gauge":
            for value in values[0]:
                self[definition.name](value)

    def _merge(self) -> Snapshot:
        begun = time.perf_counter()
        families = list(self._derived.after(self._counted))
        families.append(gauge("metrics_scrape_duration_seconds", time.perf_counter() - begun))
        return Snapshot(families)

    def _counted(self) -> Iterator[Metric]:
        if not self.slots.counts_with_others:
            yield from self.registry.collect()
            yield gauge("metrics_files", 0)
            return
        merged = self._files.merge()
        if merged.skipped:
            self["metrics_files_skipped_total"]().inc(len(merged.skipped))
        yield from merged.families
        yield gauge("metrics_files", merged.files)
