"""The dashboard "Workers and metrics": the processes of the service, what they use, and what counting costs."""
from __future__ import annotations

from typing import Any

from grafana_foundation_sdk.models import dashboard as schema

from .frame import dashboard
from .panels import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    Column,
    Shape,
    bars_panel,
    course_panel,
    stat_panel,
    states_panel,
    table_panel,
    text_panel,
)
from .queries import gain, rate, series, share

UID = "recsys-workers"

_LIVE = series("gunicorn_workers", 'state="live"')
_EXPECTED = series("gunicorn_workers", 'state="expected"')
_RESTARTS = "gunicorn_worker_restarts_total"
_MEMORY, _CPU = series("worker_resident_memory_bytes"), "worker_cpu_seconds_total"
_MERGE, _SCRAPE = series("metrics_scrape_duration_seconds"), series("scrape_duration_seconds")
_REASONS = (
    ("reload or stop (exit)", "exit", GREY), ("recycled after many requests", "recycled", BLUE),
    ("stuck (timeout)", "timeout", ORANGE), ("killed, often for memory", "killed", RED),
)  # fmt: skip
_BY_WORKER = "{{instance}} slot {{worker}}"

HOW_TO_READ = """\
* A **slot** is a worker's place: its successor takes it over, so its course goes on after a restart.
* Workers that *exit* or are *recycled* are normal; *timeout* and *killed* are not.
* Memory counts shared pages for each worker, so that the sum is more than the machine gives.
* Files skipped above 0 means that some counts are missing.
"""


def build() -> schema.Dashboard:
    """The dashboard, ready to be written as JSON."""
    return dashboard(
        UID, "Workers and metrics", "Worker processes, their memory and processor time, and the cost of the metrics.",
        variables=("environment", "instance"),
        rows=(("Workers", _workers()), ("Memory and processor", _resources()), ("Metrics", _metrics())),
    )  # fmt: skip


def _workers() -> list[Any]:
    live = stat_panel(
        Shape("Workers live", "Worker processes that live, over all replicas.", "none", 3, 5,
              ((None, RED), (1, GREEN))),
        [("", f"sum ({_LIVE})")], decimals=0, no_value="unreachable",
    )  # fmt: skip
    missing = stat_panel(
        Shape("Workers missing", "Expected, less live, over all replicas; more during a reload, so less than 0.",
              "none", 3, 5, ((None, GREEN), (1, RED))),
        [("", f"sum ({_EXPECTED}) - sum ({_LIVE})")], decimals=0, no_value="unreachable",
    )  # fmt: skip
    ended = stat_panel(
        Shape("Killed or stuck", "Workers that were killed or timed out in the time on show.", "none", 3, 5,
              ((None, GREEN), (1, ORANGE), (4, RED))),
        [("", gain(_RESTARTS, 'reason=~"killed|timeout"'))], decimals=0, sparkline=False, no_value="unreachable",
    )  # fmt: skip
    replicas = table_panel(
        Shape("Replicas", "Each replica by itself. A hit rate of one replica counts its own look-ups only.", "none", 9,
              5),
        {"instance": "Replica"},
        [Column("Up for", f"time() - max by (instance) ({series('process_start_time_seconds')})", "s", decimals=1),
         Column("Workers", f"sum by (instance) ({_LIVE})", "none", decimals=0),
         Column("Memory", f"sum by (instance) ({_MEMORY})", "bytes", decimals=0),
         Column("Hit rate", f"max by (instance) ({series('cache_hit_rate')})", "percentunit",
                ((None, RED), (0.7, GREEN)), 1)],
        no_value="no replica is reached",
    )  # fmt: skip
    words = text_panel("How to read this", "What the words mean.", HOW_TO_READ, width=6, height=5)
    states = states_panel(
        Shape("Replicas over time", "Whether Prometheus reached each replica.", "none", 8, 8,
              ((None, RED), (1, GREEN))),
        [("{{instance}}", f"max by (instance) ({series('up')})")], {"0": ("Down", RED), "1": ("Up", GREEN)},
    )  # fmt: skip
    course = course_panel(
        Shape("Live against expected", "Worker processes over all replicas.", "short", 8),
        [("live", f"sum ({_LIVE})"), ("expected", f"sum ({_EXPECTED})")], colours={"live": GREEN, "expected": GREY},
        dashed="/^expected$/", decimals=0, summary=("min", "lastNotNull"),
    )  # fmt: skip
    restarts = course_panel(
        Shape("Workers that ended, by reason", "In a minute; an alert fires when more than 3 are killed or stuck in 15"
              " minutes.", "suffix:/min", 8, 8, ((None, GREEN), (1, ORANGE))),
        [(words, "60 * " + rate(_RESTARTS, f'reason="{reason}"')) for words, reason, _ in _REASONS],
        colours={words: colour for words, _, colour in _REASONS}, bars=True, decimals=2, summary=("max",),
    )  # fmt: skip
    return [live, missing, ended, replicas, words, states, course, restarts]


def _resources() -> list[Any]:
    memory = course_panel(
        Shape("Memory by worker", "Resident, shared pages included. A line that only rises is a leak.", "bytes", 12),
        [(_BY_WORKER, _MEMORY)], decimals=0, summary=("min", "max", "lastNotNull"),
    )
    cpu = course_panel(
        Shape("Processor by worker", "Share of one core that each worker keeps busy.", "percentunit", 12, 8,
              ((None, GREEN), (0.9, ORANGE))),
        [(_BY_WORKER, rate(_CPU, by="instance, worker"))], decimals=1, summary=("mean", "max", "lastNotNull"),
    )  # fmt: skip
    files = course_panel(
        Shape("Open files by worker", "Descriptors, connections included. A line that only rises is a leak.", "short",
              8, 8, ((None, GREEN), (512, ORANGE), (900, RED))),
        [(_BY_WORKER, series("worker_open_fds"))], decimals=0, summary=("max", "lastNotNull"),
    )  # fmt: skip
    cost = course_panel(
        Shape("Processor time of a request", "Of all workers, divided by all requests of the time: what one request"
              " costs.", "s", 8),
        [("per request", share(rate(_CPU), rate("http_requests_total")))], summary=("mean", "lastNotNull"),
        colours={"per request": BLUE}, no_value="no requests",
    )  # fmt: skip
    ended = bars_panel(
        Shape("Workers that ended", "By reason, in the time on show.", "short", 8, 8, ((None, BLUE),)),
        [(words, gain(_RESTARTS, f'reason="{reason}"')) for words, reason, _ in _REASONS], decimals=0,
        colours={words: colour for words, _, colour in _REASONS},
    )  # fmt: skip
    return [memory, cpu, files, cost, ended]


def _metrics() -> list[Any]:
    skipped = stat_panel(
        Shape("Files skipped", "Files of metrics that could not be read, in the time on show, once for each scrape.",
              "short", 4, 8, ((None, GREEN), (1, RED))),
        [("", gain("metrics_files_skipped_total"))], decimals=0, sparkline=False, no_value="unreachable",
    )  # fmt: skip
    scrape = course_panel(
        Shape("Scrape time", "The longest over the replicas: the whole scrape as Prometheus sees it, and the merging of"
              " the workers' files within. An alert fires over 2 s.", "s", 8, 8,
              ((None, GREEN), (1, ORANGE), (2, RED))),
        [("whole scrape", f"max ({_SCRAPE})"), ("merging", f"max ({_MERGE})")],
        colours={"whole scrape": BLUE, "merging": PURPLE}, summary=("mean", "max", "lastNotNull"),
    )  # fmt: skip
    samples = course_panel(
        Shape("Samples in a scrape", "By replica. It grows to a bound that routes, genres and slots set; clients cannot"
              " add any.", "short", 6, 8, ((None, GREEN), (10000, ORANGE))),
        [("{{instance}}", f"max by (instance) ({series('scrape_samples_scraped')})")], decimals=1,
    )  # fmt: skip
    files = course_panel(
        Shape("Metrics files", "Files merged in a scrape, by replica: a few for each slot, whatever restarts.",
              "short", 6, 8, ((None, GREEN), (64, ORANGE))),
        [("{{instance}}", f"max by (instance) ({series('metrics_files')})")], decimals=0,
    )  # fmt: skip
    return [skipped, scrape, samples, files]
