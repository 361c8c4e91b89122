"""The dashboard "Movie Recommendation API": is the service keeping its promises, and if not, which part is it?"""
from __future__ import annotations

from typing import Any

from grafana_foundation_sdk.models import dashboard as schema

from .frame import dashboard
from .panels import (
    BLUE,
    ENDPOINT_COLOURS,
    GREEN,
    GREY,
    ORANGE,
    QUANTILE_COLOURS,
    RED,
    Column,
    Shape,
    bars_panel,
    course_panel,
    gauge_panel,
    heatmap_panel,
    stat_panel,
    states_panel,
    table_panel,
    text_panel,
)
from .queries import ASKED, PRODUCT, RECORDED, SERVICE, burn, gain, latencies, quantile, rate, series, share

UID = "recsys-api"
_REQUESTS, _SECONDS = "http_requests_total", "http_request_duration_seconds"
_INFERENCE = "recommendation_model_inference_duration_seconds"
_HITS, _MISSES = "recommendation_cache_hits_total", "recommendation_cache_misses_total"
_SEARCHES = "movie_search_queries_total"
_PACE = (("1h", 14.4, "pages"), ("6h", 6, "pages"), ("1d", 3, "warns"), ("3d", 1, "warns"))
"""Windows of the burn-rate alerts with the burn at which they fire and what they do."""

_BUDGET = ((None, RED), (0.1, ORANGE), (0.5, GREEN))
_RATIO_OF_ERRORS = ((None, GREEN), (0.001, ORANGE), (0.05, RED))
_HIT_RATE = ((None, RED), (0.7, GREEN))
_WITHIN_OBJECTIVES = ((None, GREEN), (0.1, ORANGE), (0.3, RED))

HOW_TO_READ = """\
**Top to bottom**: promises, health, latency, model, cache, search.

* *Budget left* under 10 %: change nothing that is not a repair.
* *Burn* of 1 uses up the budget in just 30 days.
* Dashed lines are objectives or alert thresholds; vertical lines are firing alerts (red) and new models (blue).
* Every alert has its heading in the **Runbook**, linked above.
"""


def build() -> schema.Dashboard:
    """The dashboard, ready to be written as JSON."""
    return dashboard(
        UID, "Movie Recommendation API",
        "Service level objectives, health, latency, model, cache and search of the service, over all its replicas.",
        variables=("environment", "instance", "endpoint"),
        rows=(
            ("Service level objectives", _objectives()), ("API health", _health()), ("Latency", _latency()),
            ("Model performance", _model()), ("Cache performance", _cache()), ("Search", _search()),
        ),
    )  # fmt: skip


def _objectives() -> list[Any]:
    budget = series("service:slo_error_budget:remaining_ratio30d", chosen=RECORDED)
    shape = Shape(
        "Error budget left, 30 days", "What is left of the errors that the objectives allow in 30 days; all requests"
        " count alike, at night and at the peak. 0 % and less: the promise is broken.", "percentunit", 8, 6, _BUDGET,
    )  # fmt: skip
    left = stat_panel(shape, [("{{slo}}", f"min by (slo) ({budget})")], decimals=1, no_value="no requests yet")
    columns = [Column("Objective", "max by (slo) (slo:objective:ratio)", "percentunit", decimals=1)]
    columns += [
        Column(f"{window} ({what} at {limit:g})", burn(window), "suffix:x", ((None, GREEN), (limit, RED)), 2)
        for window, limit, what in _PACE
    ]
    shape = Shape(
        "Burn rate by window", "How many times faster than sustainable the budget burns; an alert also wants a"
        " shorter window to burn, and enough bad requests.", "suffix:x", 10, 6,
    )  # fmt: skip
    table = table_panel(shape, {"slo": "Promise"}, columns, no_value="no requests yet")
    words = text_panel("How to read this", "What the rows are for.", HOW_TO_READ, width=6, height=6)
    shape = Shape(
        "Fastest burn of any objective", "The worst objective's burn rate over each window that an alert watches,"
        " with the alerts' thresholds dashed.", "suffix:x", 12, 7, ((None, GREEN), (1, GREY), (3, GREY), (6, ORANGE),
        (14.4, RED)),
    )  # fmt: skip
    paces = [(f"{window} window", f"max ({burn(window)})") for window, _, _ in _PACE]
    course = course_panel(shape, paces, limits=True, decimals=2, no_value="no requests yet")
    alerts = table_panel(
        Shape(
            "Alerts firing now", "Alerts of the service, with how bad they are; the runbook has a heading for each.",
            "none", 12, 7,
        ),
        {"alertname": "Alert", "severity": "Severity", "environment": "Environment", "instance": "Replica",
         "slo": "Promise", "window": "Window"},
        [Column("", f'count by (alertname, severity, environment, instance, slo, window) '
                    f'(ALERTS{{alertstate="firing", {SERVICE}, environment=~"$environment|"}})', "none")],
        no_value="No alert is firing.",
    )  # fmt: skip
    return [left, table, words, course, alerts]


def _health() -> list[Any]:
    loaded = stat_panel(
        Shape("Model", "Whether every live worker of every replica has a model.", "none", 3, 4,
              ((None, RED), (1, GREEN))),
        [("", f"min ({series('recommendation_model_loaded')})")],
        words={"0": ("Missing", RED), "1": ("Loaded", GREEN)}, sparkline=False, no_value="unreachable",
    )  # fmt: skip
    uptime = stat_panel(
        Shape("Uptime", "Since the youngest of the replicas was started.", "s", 3, 4,
              ((None, ORANGE), (300, GREEN))),
        [("", f"time() - max ({series('process_start_time_seconds')})")], decimals=1, sparkline=False,
        no_value="unreachable",
    )  # fmt: skip
    live, expected = (series("gunicorn_workers", f'state="{state}"') for state in ("live", "expected"))
    workers = stat_panel(
        Shape("Workers live", "Share of the wanted worker processes that live, over all replicas.", "percentunit", 3, 4,
              ((None, RED), (0.5, ORANGE), (1, GREEN))),
        [("", f"sum ({live}) / sum ({expected})")], decimals=0, no_value="unreachable",
    )  # fmt: skip
    requests = stat_panel(
        Shape("Requests", "Answered in a second, of the chosen endpoints, by all replicas.", "reqps", 3, 4),
        [("", rate(_REQUESTS, chosen=ASKED))], decimals=1, no_value="unreachable",
    )  # fmt: skip
    errors = stat_panel(
        Shape("Server errors", "Share of product requests answered with 5xx; an alert fires over 5 %.", "percentunit",
              3, 4, _RATIO_OF_ERRORS),
        [("", share(rate(_REQUESTS, PRODUCT, 'status_code=~"5.."', chosen=ASKED),
                    rate(_REQUESTS, PRODUCT, chosen=ASKED)))],
        decimals=2, no_value="no requests",
    )  # fmt: skip
    slowest = stat_panel(
        Shape("P99 latency", "99 of 100 requests to the chosen endpoints are answered within this.", "s", 3, 4,
              _WITHIN_OBJECTIVES),
        [("", quantile(0.99, _SECONDS, chosen=ASKED))], no_value="no requests",
    )  # fmt: skip
    active = stat_panel(
        Shape("In progress", "Requests being answered at the moment of the scrape, the scrape itself included.",
              "none", 3, 4, ((None, BLUE), (16, ORANGE))),
        [("", f"sum ({series('http_requests_in_progress')})")], decimals=0, no_value="unreachable",
    )  # fmt: skip
    replicas = stat_panel(
        Shape("Replicas up", "Share of the replicas that Prometheus reaches.", "percentunit", 3, 4,
              ((None, RED), (0.5, ORANGE), (1, GREEN))),
        [("", f"avg ({series('up')})")], decimals=0, no_value="none known",
    )  # fmt: skip
    by_endpoint = course_panel(
        Shape("Requests by endpoint", "Answered in a second, stacked, by route.", "reqps", 12),
        [("{{endpoint}}", f"{rate(_REQUESTS, by='endpoint', chosen=ASKED)} > 0")], stacked=True, decimals=1,
        colours=ENDPOINT_COLOURS, beside=True, no_value="no requests",
    )  # fmt: skip
    classes = (("2xx and 3xx", "2..|3.."), ("4xx, client's mistake", "4.."), ("5xx, our fault", "5.."))
    by_status = course_panel(
        Shape("Requests by status", "Answered in a second, stacked, by the kind of status.", "reqps", 6),
        [(name, rate(_REQUESTS, f'status_code=~"{pattern}"', chosen=ASKED)) for name, pattern in classes],
        stacked=True, decimals=1, colours=dict(zip([name for name, _ in classes], (GREEN, ORANGE, RED), strict=True)),
    )  # fmt: skip
    states = states_panel(
        Shape("Replicas over time", "Whether Prometheus reached each replica.", "none", 6, 8,
              ((None, RED), (1, GREEN))),
        [("{{instance}}", f"max by (instance) ({series('up')})")], {"0": ("Down", RED), "1": ("Up", GREEN)},
    )  # fmt: skip
    return [loaded, replicas, workers, uptime, requests, active, errors, slowest, by_endpoint, by_status, states]


def _latency() -> list[Any]:
    quantiles = course_panel(
        Shape("Latency against the objectives", "Of recommendations at the chosen endpoints, until the last byte was"
              " handed over; 0.1 s and 0.3 s, the bounds of the objectives, are dashed.", "s", 12, 8,
              _WITHIN_OBJECTIVES),
        latencies(_SECONDS, 'endpoint=~"/recommendations.*"', chosen=ASKED), limits=True, colours=QUANTILE_COLOURS,
        summary=("mean", "max", "lastNotNull"), no_value="no requests",
    )  # fmt: skip
    spread = heatmap_panel(
        Shape("Latency heatmap", "How many requests in a second took how long.", "s", 12),
        rate(f"{_SECONDS}_bucket", by="le", chosen=ASKED), no_value="no requests",
    )
    by_endpoint = course_panel(
        Shape("P95 by endpoint", "Endpoints that were asked, with the objectives dashed.", "s", 12, 8,
              _WITHIN_OBJECTIVES),
        [("{{endpoint}}", quantile(0.95, _SECONDS, by="endpoint", chosen=ASKED))], limits=True,
        colours=ENDPOINT_COLOURS, beside=True, summary=("mean", "max"), no_value="no requests",
    )  # fmt: skip
    good = series("service:slo_errors:ratio_rate5m", 'slo=~"latency.*"', chosen=RECORDED)
    kept = course_panel(
        Shape("Recommendations in time", "Share of recommendations within each latency objective (5 minutes), and the"
              " objective dashed.", "percentunit", 6, 8, ((None, RED), (0.95, GREEN))),
        [("{{slo}}", f"1 - max by (slo) ({good})"),
         ("objective {{slo}}", 'max by (slo) (slo:objective:ratio{slo=~"latency.*"})')],
        decimals=1, minimum=None, maximum=1, no_value="no requests",
        colours={"latency-100ms": BLUE, "latency-300ms": GREEN, "objective latency-100ms": BLUE,
                 "objective latency-300ms": GREEN}, dashed="/^objective/",
    )  # fmt: skip
    slowest = bars_panel(
        Shape("Mean by endpoint", "Time of a request in the time on show, on average; the sum of times by the number of"
              " requests.", "s", 6, 8, _WITHIN_OBJECTIVES),
        [("{{endpoint}}", "sort_desc (" + share(gain(f"{_SECONDS}_sum", by="endpoint", chosen=ASKED),
                                                gain(f"{_SECONDS}_count", by="endpoint", chosen=ASKED)) + ")")],
        no_value="no requests",
    )  # fmt: skip
    return [quantiles, spread, by_endpoint, kept, slowest]


def _model() -> list[Any]:
    inference = course_panel(
        Shape("Inference time", "Of the similarity work alone, from the cache or computed.", "s", 7, 8,
              ((None, GREEN), (0.025, ORANGE), (0.1, RED))),
        latencies(_INFERENCE, chosen=ASKED), colours=QUANTILE_COLOURS, summary=("mean", "lastNotNull"),
        no_value="no recommendations",
    )  # fmt: skip
    given = "recommendations_generated_total"
    movies = course_panel(
        Shape("Recommendations per second", "Movies recommended in a second, stacked, by endpoint.", "suffix:/s", 7),
        [("{{endpoint}}", rate(given, 'status="success"', by="endpoint", chosen=ASKED))], stacked=True, decimals=1,
        colours=ENDPOINT_COLOURS, no_value="no recommendations",
    )  # fmt: skip
    barren = course_panel(
        Shape("Requests without a recommendation", "In a second: filters left nothing, the movie is unknown, or an"
              " error.", "reqps", 6, 8, ((None, GREEN), (1, ORANGE))),
        [(words, rate(given, f'status="{status}"', chosen=ASKED)) for words, status in
         (("filters left nothing", "empty"), ("unknown movie", "not_found"), ("error", "error"))],
        colours={"filters left nothing": GREY, "unknown movie": ORANGE, "error": RED}, decimals=2,
    )  # fmt: skip
    similarity = heatmap_panel(
        Shape("Similarity of what is recommended", "Cosine of the movies returned in a second; a new model that"
              " understands less shows lower.", "none", 8),
        rate("recommendation_similarity_score_bucket", by="le", chosen=ASKED), no_value="no recommendations",
    )  # fmt: skip
    sizes = bars_panel(
        Shape("List lengths asked for", "Requests in the time on show, by the length of the list: up to each bound and"
              " over the one before.", "short", 4),
        [("{{le}}", gain("recommendation_request_size_bucket", by="le", chosen=ASKED))], buckets=True,
        no_value="no recommendations",
    )  # fmt: skip
    errors = course_panel(
        Shape("Model errors by type", "Requests in a second that failed for want of a model (unavailable) or for a"
              " fault in the service (internal).", "reqps", 4, 8, ((None, GREEN), (0.01, RED))),
        [("{{error_type}}", rate("recommendation_model_errors_total", by="error_type", chosen=ASKED))], decimals=2,
        colours={"unavailable": ORANGE, "internal": RED},
    )  # fmt: skip
    built = series("recommendation_model_built_timestamp_seconds")
    joined = "max by (version, source) (%s * on (service, environment, instance) group_right () %s)"
    info = series("recommendation_model_info")
    in_use = table_panel(
        Shape("Model in use", "Two during a reload, and for longer only where replicas differ. An alert fires at 30"
              " days.", "none", 8),
        {"version": "Version", "source": "Source"},
        [Column("Movies", joined % (series("recommendation_model_total_movies"), info), "locale", decimals=0),
         Column("Features", joined % (series("recommendation_model_vocabulary_size"), info), "locale", decimals=0),
         Column("Age", f"time() - {joined % (built, info)}", "s", ((None, GREEN), (30 * 86400, ORANGE)), 1),
         Column("Replicas", f"count by (version, source) ({info})", "none", decimals=0)],
        no_value="no model",
    )  # fmt: skip
    shares = series("recommendation_model_quality", 'metric!="mean popularity"')
    quality = table_panel(
        Shape("Measured quality", "What the build measured on ratings: figures of the next likes; the greatest of"
              " the replicas where they differ.", "none", 4),
        {"metric": "Figure"},
        [Column("Value", f"max by (metric) ({shares})", "none", decimals=3)],
        no_value="The model was built without ratings.",
    )  # fmt: skip
    return [inference, movies, barren, quality, similarity, sizes, errors, in_use]


def _cache() -> list[Any]:
    looked_up = f"({rate(_HITS)} + {rate(_MISSES)})"
    rate_now = gauge_panel(
        Shape("Hit rate", "Share of similarity look-ups answered from the cache, over all workers and replicas; an"
              " alert fires under 70 %.", "percentunit", 4, 8, _HIT_RATE),
        [("", share(rate(_HITS), looked_up))], decimals=1, no_value="no look-ups",
    )  # fmt: skip
    course = course_panel(
        Shape("Hit rate over time", "It falls after a reload and when people ask for what nobody asked before.",
              "percentunit", 6, 8, _HIT_RATE),
        [("hit rate", share(rate(_HITS), looked_up))], limits=True, maximum=1, decimals=1, colours={"hit rate": GREEN},
        summary=("mean", "min", "lastNotNull"), no_value="no look-ups",
    )  # fmt: skip
    both = course_panel(
        Shape("Hits and misses", "Look-ups in a second, stacked.", "suffix:/s", 5),
        [("hits", rate(_HITS)), ("misses", rate(_MISSES))], stacked=True, decimals=1,
        colours={"hits": GREEN, "misses": ORANGE},
    )
    size = course_panel(
        Shape("Entries against capacity", "Entries in all live workers' caches, and what they can hold.", "short", 5),
        [("entries", f"sum ({series('recommendation_cache_size')})"),
         ("capacity", f"sum ({series('recommendation_cache_capacity')})")],
        colours={"entries": BLUE, "capacity": GREY}, dashed="/^capacity$/",
    )  # fmt: skip
    evictions = course_panel(
        Shape("Evictions", "Entries pushed out of full caches in a second; many of them, and a low hit rate, call for a"
              " larger cache.", "suffix:/s", 4, 8, ((None, GREEN), (10, ORANGE))),
        [("evictions", rate("recommendation_cache_evictions_total"))], decimals=2, colours={"evictions": ORANGE},
    )  # fmt: skip
    return [rate_now, course, both, size, evictions]


def _search() -> list[Any]:
    searches = rate(_SEARCHES)
    outcome = course_panel(
        Shape("Searches by outcome", "In a second, stacked.", "suffix:/s", 7),
        [(words, rate(_SEARCHES, f'status="{status}"')) for words, status in
         (("found something", "success"), ("found nothing", "empty"), ("failed", "error"))], stacked=True, decimals=2,
        colours={"found something": GREEN, "found nothing": GREY, "failed": RED},
    )  # fmt: skip
    latency = course_panel(
        Shape("Search time", "Of the search alone, without the rest of the request.", "s", 7, 8,
              ((None, GREEN), (0.1, ORANGE))),
        latencies("movie_search_duration_seconds"), colours=QUANTILE_COLOURS, summary=("mean", "lastNotNull"),
        no_value="no searches",
    )  # fmt: skip
    empty = stat_panel(
        Shape("Empty searches", "Share of searches that find nothing; an alert fires over 50 %.", "percentunit", 3, 8,
              ((None, GREEN), (0.25, ORANGE), (0.5, RED))),
        [("", share(rate(_SEARCHES, 'status="empty"'), searches))], decimals=1, no_value="no searches",
    )  # fmt: skip
    failed = stat_panel(
        Shape("Failed searches", "Share of searches that end in an error; an alert fires over 5 %.", "percentunit", 3,
              8, ((None, GREEN), (0.01, ORANGE), (0.05, RED))),
        [("", share(rate(_SEARCHES, 'status="error"'), searches))], decimals=1, no_value="no searches",
    )  # fmt: skip
    popular = course_panel(
        Shape("Time to list popular movies", "Of the list alone, without the rest of the request.", "s", 4, 8,
              ((None, GREEN), (0.1, ORANGE))),
        latencies("popular_movies_request_duration_seconds"), colours=QUANTILE_COLOURS, no_value="not asked",
    )  # fmt: skip
    return [outcome, latency, empty, failed, popular]
