"""The dashboard "Usage": what people ask for, how much of it, and whether that is more than a week ago."""
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
    RED,
    Column,
    Shape,
    bars_panel,
    course_panel,
    heatmap_panel,
    stat_panel,
    table_panel,
    text_panel,
)
from .queries import ASKED, PRODUCT, gain, quantile, rate, share

UID = "recsys-usage"

_REQUESTS, _SECONDS = "http_requests_total", "http_request_duration_seconds"
_GIVEN, _SEARCHES = "recommendations_generated_total", "movie_search_queries_total"
_GENRES = "recommendation_requested_genre_total"
_WEEK_COLOURS = {"now": BLUE, "a week before": GREY}
_A_WEEK_BEFORE = "/^a week before$/"
_FIVE_MINUTES_OF_A_WEEK = 7 * 24 * 12

HOW_TO_READ = """\
Product endpoints only: what operators and monitors ask is left out.

* Counts are of the **time on show**, as the picker at the top right has it.
* The grey dashed line is **the same time a week before**; there is none in the service's first week.
* Genres are those of the movies that people start from.
"""


def build() -> schema.Dashboard:
    """The dashboard, ready to be written as JSON."""
    return dashboard(
        UID, "Usage", "What people ask of the service, how it spreads over endpoints, genres and sizes, and its trend.",
        variables=("environment", "instance", "endpoint"),
        rows=(("Endpoints", _endpoints()), ("What people ask for", _asked_for()), ("Week over week", _trends())),
    )  # fmt: skip


def _endpoints() -> list[Any]:
    requests = gain(_REQUESTS, PRODUCT, chosen=ASKED)
    totals = [
        ("Requests", "Product requests answered in the time on show.", requests, "short"),
        ("Movies recommended", "In the time on show.", gain(_GIVEN, 'status="success"', chosen=ASKED), "short"),
        ("Searches", "In the time on show.", gain(_SEARCHES), "short"),
    ]
    stats = [
        stat_panel(Shape(title, words, unit, 4, 5), [("", expression)], sparkline=False)
        for title, words, expression, unit in totals
    ]
    faulty = share(gain(_REQUESTS, PRODUCT, 'status_code=~"4.."', chosen=ASKED), requests)
    stats.append(stat_panel(
        Shape("Clients' mistakes", "Share of product requests answered with 4xx in the time on show: unknown movies and"
              " values out of range.", "percentunit", 4, 5, ((None, GREEN), (0.1, ORANGE), (0.3, RED))),
        [("", faulty)], decimals=1, sparkline=False, no_value="no requests",
    ))  # fmt: skip
    words = text_panel("How to read this", "What is counted here.", HOW_TO_READ, width=8, height=5)
    course = course_panel(
        Shape("Requests by endpoint", "Product requests answered in a second, stacked.", "reqps", 14, 9),
        [("{{endpoint}}", rate(_REQUESTS, PRODUCT, by="endpoint", chosen=ASKED))], stacked=True, decimals=1,
        colours=ENDPOINT_COLOURS, beside=True, summary=("mean", "max"),
    )  # fmt: skip
    by_endpoint = gain(_REQUESTS, PRODUCT, by="endpoint", chosen=ASKED)
    table = table_panel(
        Shape("Endpoints in the time on show", "Product endpoints that were asked, busiest first.", "none", 10, 9),
        {"endpoint": "Endpoint"},
        [Column("Requests", f"{by_endpoint} > 0", "short"),
         Column("Share", f"{by_endpoint} / scalar ({requests} > 0) > 0", "percentunit", decimals=1),
         Column("P95", quantile(0.95, _SECONDS, PRODUCT, by="endpoint", chosen=ASKED), "s",
                ((None, GREEN), (0.1, ORANGE), (0.3, RED)))],
        sort="Requests", no_value="no requests",
    )  # fmt: skip
    return [*stats, words, course, table]


def _asked_for() -> list[Any]:
    genres = bars_panel(
        Shape("Genres asked for", "Movies that recommendations were asked for, by their genres, in the time on show; a"
              " movie of two genres counts for both.", "short", 6, 10),
        [("{{genre}}", f"sort_desc (topk (12, {gain(_GENRES, by='genre')}))")], no_value="not asked",
    )  # fmt: skip
    course = course_panel(
        Shape("Genres over time", "The six genres asked for most, in a second.", "suffix:/s", 10, 10),
        [("{{genre}}", f"topk (6, {rate(_GENRES, by='genre')})")], decimals=2, beside=True, summary=("mean",),
        no_value="not asked",
    )  # fmt: skip
    outcomes = (("recommended", "success", GREEN), ("filters left nothing", "empty", GREY),
                ("unknown movie", "not_found", ORANGE), ("error", "error", RED))  # fmt: skip
    outcome = bars_panel(
        Shape("Outcomes", "Movies recommended, and requests that gave none, in the time on show.", "short", 8, 10),
        [(words, gain(_GIVEN, f'status="{status}"', chosen=ASKED)) for words, status, _ in outcomes],
        colours={words: colour for words, _, colour in outcomes},
    )  # fmt: skip
    size = "recommendation_request_size"
    sizes = heatmap_panel(
        Shape("List lengths over time", "Requests in a second, by the length of the list they asked for.", "none", 8),
        rate(f"{size}_bucket", by="le", chosen=ASKED), no_value="not asked",
    )
    lengths = course_panel(
        Shape("List length asked for", "The mean, and what 95 of 100 requests keep within.", "short", 8),
        [("mean", share(rate(f"{size}_sum", chosen=ASKED), rate(f"{size}_count", chosen=ASKED))),
         ("P95", quantile(0.95, size, chosen=ASKED))],
        colours={"mean": BLUE, "P95": ORANGE}, decimals=1, no_value="not asked",
    )  # fmt: skip
    by_method = gain(_REQUESTS, PRODUCT, by="method", chosen=ASKED)
    methods = bars_panel(
        Shape("Methods", "Product requests by HTTP method, in the time on show.", "short", 8),
        [("{{method}}", f"sort_desc ({by_method} > 0)")], no_value="no requests",
    )  # fmt: skip
    return [genres, course, outcome, sizes, lengths, methods]


def _trends() -> list[Any]:
    asked = [
        ("Requests", "Product requests", _REQUESTS, (PRODUCT,), ASKED, "reqps"),
        ("Movies recommended", "Movies recommended", _GIVEN, ('status="success"',), ASKED, "suffix:/s"),
        ("Searches", "Searches", _SEARCHES, (), "", "suffix:/s"),
    ]
    panels = []
    periods = (("", 0, "now", "in a second"), ("7d", _FIVE_MINUTES_OF_A_WEEK, "seven days", "in a second over a week"))
    for time_from, points, period, words in periods:
        for title, subject, metric, matchers, chosen, unit in asked:
            panels.append(course_panel(
                Shape(f"{title}, {period} and a week before", f"{subject} {words}, and a week before (dashed, where the"
                      " service ran then).", unit, 8),
                _against_last_week(metric, matchers, chosen), colours=_WEEK_COLOURS, dashed=_A_WEEK_BEFORE, decimals=2,
                summary=("mean", "max"), time_from=time_from, most_points=points,
                no_value="known five minutes after the first start",
            ))  # fmt: skip
    return panels


def _against_last_week(metric: str, matchers: tuple[str, ...], chosen: str) -> list[tuple[str, str]]:
    selected = {"chosen": chosen} if chosen else {}
    now = rate(metric, *matchers, **selected)
    return [("now", now), ("a week before", rate(metric, *matchers, offset="1w", **selected))]
