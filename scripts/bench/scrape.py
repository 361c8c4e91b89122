"""A scrape of a fresh service beside one that has seen many workers die."""
from __future__ import annotations

import argparse
import os
import signal
import statistics
import tempfile
import threading
import time
from pathlib import Path

from scripts.bench.progress import Progress
from scripts.bench.results import Result
from scripts.running_service import RunningService, running_service

_WORKERS = 4


def add_options(parser: argparse.ArgumentParser) -> None:
    """Its own options."""
    parser.add_argument("--deaths", type=int, help="workers to kill first (default: 200; with --quick 20)")
    parser.add_argument("--scrapes", type=int, help="scrapes of each (default: 200; with --quick 60)")


def run(arguments: argparse.Namespace) -> list[Result]:
    """Milliseconds of a scrape of either, in turns."""
    deaths = arguments.deaths or (20 if arguments.quick else 200)
    scrapes = arguments.scrapes or (60 if arguments.quick else 200)
    with (
        tempfile.TemporaryDirectory(prefix="recsys-bench-") as folder,
        running_service(arguments.model, Path(folder) / "fresh", workers=_WORKERS) as fresh,
        running_service(arguments.model, Path(folder) / "worn", workers=_WORKERS) as worn,
    ):
        _end_workers(worn, deaths)
        samples: tuple[list[float], list[float]] = ([], [])
        for _ in range(scrapes):
            for service, taken in zip((fresh, worn), samples, strict=True):
                begun = time.perf_counter()
                service.get("/metrics")
                taken.append((time.perf_counter() - begun) * 1000)
        files = [len(list((Path(folder) / name).glob("*.db"))) for name in ("fresh", "worn")]
    fresh_ms, worn_ms = (statistics.median(taken) for taken in samples)
    return [
        Result("P50 after no worker's death", fresh_ms, "ms"),
        Result(f"P50 after {deaths:,} workers' deaths", worn_ms, "ms"),
        Result("after the deaths : before", worn_ms / fresh_ms, "x", at_most=1.25),
        Result("files of metrics before", files[0]),
        Result("files of metrics after", files[1]),
    ]


def _end_workers(service: RunningService, deaths: int) -> None:
    """Kill all workers at once, over and over, each time when all have successors."""
    pause = threading.Event()
    with Progress("deaths of workers", deaths) as progress:
        for done in range(0, deaths, _WORKERS):
            progress(done)
            workers = set(service.pids())
            for pid in workers:
                os.kill(pid, signal.SIGKILL)
            while workers & set(service.pids()) or len(service.pids()) < _WORKERS:
                pause.wait(0.002)
    service.come_to_rest()
