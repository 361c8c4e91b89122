"""Every metric of the service, declared once: its name, type, labels, unit and meaning."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

HTTP_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
OTHER_METHOD = "_OTHER"
UNMATCHED = "unmatched"
MOST_GENRES = 50
OTHER_GENRE = "other"

_HTTP_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0)
_WORK_SECONDS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0)
_LIST_LENGTHS = (1.0, 5.0, 10.0, 20.0, 50.0, 100.0)
_SIMILARITIES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

Kind = Literal["counter", "gauge", "histogram"]
Merge = Literal["", "livesum", "livemin", "livemax", "mostrecent"]


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric of the contract."""

    name: str
    kind: Kind
    help: str
    labels: dict[str, str] = field(default_factory=dict)
    """Each label's allowed values, in words."""
    unit: str = ""
    buckets: tuple[float, ...] = ()
    merge: Merge = ""
    """How a gauge's values over workers become one."""
    at_scrape: bool = False
    """Worked out when scraped, from the other metrics or the operating system."""


_METHOD = f"one of the nine HTTP methods, else {OTHER_METHOD}"
_ENDPOINT = f"the route's template, {UNMATCHED} where no route fits"

CATALOGUE = {
    metric.name: metric
    for metric in (
        Definition("http_requests_total", "counter", "Answered requests.",
                   {"method": _METHOD, "endpoint": _ENDPOINT, "status_code": "HTTP status"}),
        Definition("http_request_duration_seconds", "histogram",
                   "Time from the request's arrival in the application to the last byte handed to the server.",
                   {"method": _METHOD, "endpoint": _ENDPOINT}, unit="seconds", buckets=_HTTP_SECONDS),
        Definition("http_requests_in_progress", "gauge", "Requests being answered now.", merge="livesum"),
        Definition("recommendation_model_loaded", "gauge", "1 when every live worker has a model, else 0.",
                   merge="livemin"),
        Definition("recommendation_model_total_movies", "gauge", "Movies of the model in use.", merge="livemax"),
        Definition("recommendation_model_vocabulary_size", "gauge", "Features of the model in use.", merge="livemax"),
        Definition("recommendation_model_info", "gauge", "1 for the model in use.",
                   {"version": "the model's version", "source": "the catalogue's source"}, merge="livemax"),
        Definition("recommendation_model_built_timestamp_seconds", "gauge", "When the model in use was built.",
                   unit="seconds", merge="livemax"),
        Definition("recommendation_model_inference_duration_seconds", "histogram",
                   "Time of the similarity work alone.", {"endpoint": _ENDPOINT}, unit="seconds",
                   buckets=_WORK_SECONDS),
        Definition("recommendations_generated_total", "counter", "Movies recommended; asked in vain, requests.",
                   {"endpoint": _ENDPOINT, "status": "success, empty, not_found, error"}),
        Definition("recommendation_request_size", "histogram", "Length of the list that was asked for.",
                   {"endpoint": _ENDPOINT}, buckets=_LIST_LENGTHS),
        Definition("recommendation_cache_hits_total", "counter", "Similarity look-ups answered from the cache."),
        Definition("recommendation_cache_misses_total", "counter", "Similarity look-ups that had to be computed."),
        Definition("recommendation_cache_evictions_total", "counter", "Entries pushed out of full caches."),
        Definition("recommendation_cache_size", "gauge", "Entries of the live workers' caches.", merge="livesum"),
        Definition("recommendation_cache_capacity", "gauge", "Entries that the live workers' caches can hold.",
                   merge="livesum"),
        Definition("cache_hit_rate", "gauge", "Hits / (hits + misses); absent before the first look-up.",
                   at_scrape=True),
        Definition("movie_search_queries_total", "counter", "Searches.", {"status": "success, empty, error"}),
        Definition("movie_search_duration_seconds", "histogram", "Time of a search.", unit="seconds",
                   buckets=_WORK_SECONDS),
        Definition("popular_movies_request_duration_seconds", "histogram", "Time to list popular movies.",
                   unit="seconds", buckets=_WORK_SECONDS),
        Definition("recommendation_model_errors_total", "counter", "Failures of the model.",
                   {"error_type": "unavailable, internal", "endpoint": _ENDPOINT}),
        Definition("recommendation_requested_genre_total", "counter", "Genres of the movies asked about.",
                   {"genre": f"the catalogue's {MOST_GENRES} most frequent genres, else {OTHER_GENRE}"}),
        Definition("recommendation_similarity_score", "histogram", "Similarity of the movies returned.",
                   {"endpoint": _ENDPOINT}, buckets=_SIMILARITIES),
        Definition("gunicorn_workers", "gauge", "Workers.", {"state": "live, expected"}, merge="livesum"),
        Definition("process_start_time_seconds", "gauge", "When the service was started.", unit="seconds",
                   merge="mostrecent"),
        Definition("metrics_scrape_duration_seconds", "gauge", "Time of this scrape so far.", unit="seconds",
                   at_scrape=True),
        Definition("metrics_files", "gauge", "Files of metrics merged in this scrape.", at_scrape=True),
        Definition("metrics_files_skipped_total", "counter", "Files of metrics that could not be read."),
    )
}  # fmt: skip
"""All metrics by name, in the order of the documentation."""
