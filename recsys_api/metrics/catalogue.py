"""Every metric of the service, declared once: its name, type, labels with their allowed values, unit and meaning."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

HTTP_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
OTHER_METHOD = "_OTHER"
UNMATCHED = "unmatched"
MOST_GENRES = 50
OTHER_GENRE = "other"
QUALITY = ("ndcg@10", "recall@20", "mrr", "hit rate@10", "coverage@10", "gini", "diversity", "mean popularity")
"""What is told of a model that was measured on ratings."""

_HTTP_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0)
_WORK_SECONDS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0)
_LIST_LENGTHS = (1.0, 5.0, 10.0, 20.0, 50.0, 100.0)
_SIMILARITIES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

Kind = Literal["counter", "gauge", "histogram"]
Merge = Literal["livesum", "livemax"]
MERGES: tuple[Merge, ...] = get_args(Merge)


@dataclass(frozen=True, slots=True)
class Label:
    """One label: what its value tells, and which values it may have."""

    meaning: str
    values: tuple[str, ...] = ()
    """All that it may have; empty where they are known only when the service runs (routes, genres, slots)."""
    otherwise: str = ""
    """What any other value counts as; without one, another value is a fault of the program."""

    def __str__(self) -> str:
        listed = ", ".join(self.values)
        parts = (self.meaning, listed, f"else `{self.otherwise}`" if self.otherwise else "")
        return ": ".join(part for part in parts[:2] if part) + (f"; {parts[2]}" if parts[2] else "")


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric of the contract."""

    name: str
    kind: Kind
    help: str
    labels: dict[str, Label] = field(default_factory=dict)
    unit: str = ""
    buckets: tuple[float, ...] = ()
    merge: Merge | None = None
    """How a gauge's values in several workers become one."""
    at_scrape: bool = False
    """Worked out at each scrape, from other metrics or from the operating system."""


_METHOD = Label("HTTP method", HTTP_METHODS, OTHER_METHOD)
_ENDPOINT = Label("template of the route", otherwise=UNMATCHED)
_WORKER = Label("slot of the worker, a small number that its successor takes over")

_ALL = (
    Definition("http_requests_total", "counter", "Requests answered, counted before the first byte is handed over.",
               {"method": _METHOD, "endpoint": _ENDPOINT, "status_code": Label("HTTP status")}),
    Definition("http_request_duration_seconds", "histogram",
               "Time from a request's arrival in the application until its last byte was handed to the server.",
               {"method": _METHOD, "endpoint": _ENDPOINT}, unit="seconds", buckets=_HTTP_SECONDS),
    Definition("http_requests_in_progress", "gauge", "Requests being answered now.", merge="livesum"),
    Definition("recommendation_model_loaded", "gauge", "1 if every live worker has a model, else 0.",
               at_scrape=True),
    Definition("recommendation_model_total_movies", "gauge", "Movies of the model in use.", merge="livemax"),
    Definition("recommendation_model_vocabulary_size", "gauge", "Features of the model in use.", merge="livemax"),
    Definition("recommendation_model_info", "gauge", "1 for the model in use, two of them during a reload.",
               {"version": Label("version of the model"), "source": Label("source of its catalogue")},
               merge="livemax"),
    Definition("recommendation_model_built_timestamp_seconds", "gauge", "When the model in use was built.",
               unit="seconds", merge="livemax"),
    Definition("recommendation_model_quality", "gauge",
               "What the model in use was measured to be when it was built; absent where that was without ratings.",
               {"metric": Label("figure, as docs/quality.md explains it", QUALITY)}, merge="livemax"),
    Definition("recommendation_model_inference_duration_seconds", "histogram",
               "Time of the similarity work alone, from the cache or computed.", {"endpoint": _ENDPOINT},
               unit="seconds", buckets=_WORK_SECONDS),
    Definition("recommendations_generated_total", "counter",
               "Movies recommended (success), and requests that gave none (the others).",
               {"endpoint": _ENDPOINT, "status": Label("outcome", ("success", "empty", "not_found", "error"))}),
    Definition("recommendation_request_size", "histogram", "Length of the list that was asked for.",
               {"endpoint": _ENDPOINT}, buckets=_LIST_LENGTHS),
    Definition("recommendation_cache_hits_total", "counter", "Similarity look-ups answered from the cache."),
    Definition("recommendation_cache_misses_total", "counter", "Similarity look-ups that had to be computed."),
    Definition("recommendation_cache_evictions_total", "counter", "Entries pushed out of full caches."),
    Definition("recommendation_cache_size", "gauge", "Entries in the live workers' caches.", at_scrape=True),
    Definition("recommendation_cache_capacity", "gauge", "Entries that the live workers' caches can hold.",
               merge="livesum"),
    Definition("cache_hit_rate", "gauge", "Hits / (hits + misses); absent before the first look-up.",
               at_scrape=True),
    Definition("movie_search_queries_total", "counter", "Searches.",
               {"status": Label("outcome", ("success", "empty", "error"))}),
    Definition("movie_search_duration_seconds", "histogram", "Time of a search.", unit="seconds",
               buckets=_WORK_SECONDS),
    Definition("popular_movies_request_duration_seconds", "histogram", "Time to list popular movies.",
               unit="seconds", buckets=_WORK_SECONDS),
    Definition("recommendation_model_errors_total", "counter",
               "Requests that failed for want of a model, or for a fault in the service.",
               {"error_type": Label("kind", ("unavailable", "internal")), "endpoint": _ENDPOINT}),
    Definition("recommendation_requested_genre_total", "counter", "Genres of the movies that were asked about.",
               {"genre": Label(f"one of the catalogue's {MOST_GENRES} most frequent genres", otherwise=OTHER_GENRE)}),
    Definition("recommendation_similarity_score", "histogram", "Similarity of the movies returned.",
               {"endpoint": _ENDPOINT}, buckets=_SIMILARITIES),
    Definition("gunicorn_workers", "gauge", "Workers that live, and that there should be.",
               {"state": Label("which", ("live", "expected"))}, at_scrape=True),
    Definition("gunicorn_worker_restarts_total", "counter", "Workers that ended.",
               {"reason": Label("why", ("exit", "recycled", "timeout", "killed"))}),
    Definition("worker_resident_memory_bytes", "gauge", "Memory of each live worker, shared pages included.",
               {"worker": _WORKER}, unit="bytes", at_scrape=True),
    Definition("worker_cpu_seconds_total", "counter", "Processor time of all workers that had this slot.",
               {"worker": _WORKER}, unit="seconds", at_scrape=True),
    Definition("worker_open_fds", "gauge", "Open file descriptors of each live worker.", {"worker": _WORKER},
               at_scrape=True),
    Definition("process_start_time_seconds", "gauge", "When the service was started.", unit="seconds",
               at_scrape=True),
    Definition("metrics_scrape_duration_seconds", "gauge", "Time that this scrape took to merge.", unit="seconds",
               at_scrape=True),
    Definition("metrics_files", "gauge", "Files of metrics merged in this scrape.", at_scrape=True),
    Definition("metrics_files_skipped_total", "counter", "Files of metrics that could not be read, at each scrape."),
)  # fmt: skip

CATALOGUE = {metric.name: metric for metric in _ALL}
"""All metrics by name, in the order of the documentation."""


def as_markdown() -> Iterator[str]:
    """The catalogue as the lines of a page."""
    yield "# Metrics"
    yield ""
    yield "Made from `recsys_api/metrics/catalogue.py` by `scripts/document_metrics.py`; change them there."
    yield ""
    yield "All values are totals over all workers, exact, and counters never fall while the service runs. No label"
    yield "holds anything that a client can make up. Every series that a route can count exists from the start."
    yield ""
    yield "| metric | type | labels | meaning |"
    yield "| --- | --- | --- | --- |"
    for metric in _ALL:
        labels = "<br>".join(f"`{name}`: {label}" for name, label in metric.labels.items())
        bounds = ", ".join(f"{bound:g}" for bound in metric.buckets)
        meaning = metric.help + (f" Buckets: {bounds}." if bounds else "")
        yield f"| `{metric.name}` | {metric.kind} | {labels} | {meaning} |"
