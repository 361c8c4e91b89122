"""What the tester has seen beside what the service has counted: every answer, and how long they took."""
from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from scripts.load.measured import Latencies, Measured
from scripts.load.target import METRICS, Target
from scripts.scraped import Samples, answers_counted

_SETTLE_SECONDS = 5.0
_LOOK_SECONDS = 0.1
_QUANTILES = (50.0, 95.0, 99.0)


def scrape_at_rest(target: Target) -> Samples:
    """A scrape once the service answers nothing but that scrape, or after five seconds."""
    end, pause = time.monotonic() + _SETTLE_SECONDS, threading.Event()
    while True:
        samples = target.scrape()
        if samples.get(("http_requests_in_progress", ()), 0.0) <= 1 or time.monotonic() > end:
            return samples
        pause.wait(_LOOK_SECONDS)


def verify(measured: Measured, target: Target, before: Samples, after: Samples) -> dict[str, Any]:
    """Compare, for each endpoint and status, what was answered with what was counted between two scrapes.

    A request that got no answer may have been counted before its connection broke; so the service may have counted more
    than was answered, by as many as remained without answer at that endpoint, and never less.
    """
    answers = measured.answers + target.answers
    unanswered = measured.unanswered + target.unanswered
    answers[METRICS, 200] -= 1  # a scrape is counted after it is made: the last one is not in itself
    counted = _counted(before, after)
    asked = {endpoint for endpoint, _ in answers}
    others = {f"{endpoint} {status}": n for (endpoint, status), n in counted.items() if endpoint not in asked and n}
    rows, unexplained = [], 0
    for endpoint in sorted(asked):
        spare = unanswered[endpoint]
        for status in sorted({status for one, status in answers | counted if one == endpoint}):
            seen, by_service = answers[endpoint, status], counted[endpoint, status]
            if seen == by_service == 0:
                continue
            if endpoint == METRICS and by_service > seen + spare:  # a Prometheus of somebody scrapes, too
                others[f"{endpoint} {status}"], by_service = by_service - seen - spare, seen + spare
            explained = min(max(by_service - seen, 0), spare)
            spare -= explained
            unexplained += abs(by_service - seen) - explained
            rows.append(
                {
                    "endpoint": endpoint, "status": status, "answered": seen, "counted": by_service,
                    "difference": by_service - seen, "without_answer": explained,
                }
            )  # fmt: skip
    return {
        "equal": unexplained == 0,
        "answered": sum(row["answered"] for row in rows),
        "counted": sum(row["counted"] for row in rows),
        "unanswered": unanswered.total(),
        "unexplained": unexplained,
        "rows": rows,
        "others": others,
        "latency": _latencies(measured, before, after),
    }


def _counted(before: Samples, after: Samples) -> Counter[tuple[str, int]]:
    then = answers_counted(before)
    return Counter(
        {
            (f"{method} {endpoint}", status): count - then[method, endpoint, status]
            for (method, endpoint, status), count in answers_counted(after).items()
        }
    )


def _latencies(measured: Measured, before: Samples, after: Samples) -> list[dict[str, Any]]:
    """Each endpoint's quantiles as its users saw them, and between which bounds the service's histogram has them."""
    rows = []
    seen: Mapping[str, Latencies] = defaultdict(Latencies)
    for (endpoint, status), latencies in measured.latencies.items():
        if status:
            seen[endpoint].add(latencies)
    for endpoint, latencies in measured.warm_up.items():
        seen[endpoint].add(latencies)
    for endpoint, latencies in sorted(seen.items()):
        buckets = _buckets(endpoint, before, after)
        for percentile, here in zip(_QUANTILES, latencies.percentiles(_QUANTILES), strict=True):
            low, there, high = _quantile(buckets, percentile / 100)
            rows.append(
                {
                    "endpoint": endpoint, "percentile": percentile, "tester_ms": here, "service_ms": there,
                    "service_from_ms": low, "service_to_ms": high,
                    "difference_ms": None if here is None or there is None else here - there,
                }
            )  # fmt: skip
    return rows


def _buckets(endpoint: str, before: Samples, after: Samples) -> list[tuple[float, float]]:
    """Upper bounds in seconds with how many requests took at most so long."""
    method, _, template = endpoint.partition(" ")
    buckets = []
    for (name, labels), value in after.items():
        told = dict(labels)
        if name == "http_request_duration_seconds_bucket" and (told["method"], told["endpoint"]) == (method, template):
            buckets.append((float(told["le"]), value - before.get((name, labels), 0.0)))
    return sorted(buckets)


def _quantile(buckets: list[tuple[float, float]], share: float) -> tuple[float | None, float | None, float | None]:
    """Milliseconds: the lower bound of the bucket, the quantile as Prometheus' histogram_quantile has it, the upper."""
    if not buckets or buckets[-1][1] <= 0:
        return None, None, None
    wanted = share * buckets[-1][1]
    low, below = 0.0, 0.0
    for high, count in buckets:
        if count >= wanted:
            if high == float("inf"):
                return 1000 * low, 1000 * low, None
            within = (wanted - below) / (count - below) if count > below else 1.0
            return 1000 * low, 1000 * (low + (high - low) * within), 1000 * high
        low, below = high, count
    raise AssertionError("a histogram ends with a bucket that holds everything")
