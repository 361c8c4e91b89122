"""The time from exec to the first recommendation, and what a reload loses under load."""
from __future__ import annotations

import argparse
import http.client
import os
import signal
import statistics
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from recsys_api.model import store
from scripts.bench.http import kinds
from scripts.bench.results import Result
from scripts.bench.wrk import Load, script, wrk
from scripts.running_service import DEADLINE_SECONDS, RunningService, running_service, starting_service

_WORKERS = 2
_SECONDS_BETWEEN_RELOADS = 0.5
_SECONDS_OF_LOAD = 4
"""Of one run of wrk; as long as there are reloads, another one follows."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Its own options."""
    parser.add_argument("--starts", type=int, help="starts (default: 7; with --quick 2)")
    parser.add_argument("--reloads", type=int, help="reloads (default: 10; with --quick 2)")


def run(arguments: argparse.Namespace) -> list[Result]:
    """Seconds of a start, and requests lost over several reloads."""
    starts = arguments.starts or (2 if arguments.quick else 7)
    reloads = arguments.reloads or (2 if arguments.quick else 10)
    asked = kinds(store.load(arguments.model))
    with tempfile.TemporaryDirectory(prefix="recsys-bench-") as folder:
        here = Path(folder)
        path = asked[0].paths[0][0]
        seconds = [_seconds_to_answer(arguments.model, here / f"start-{number}", path) for number in range(starts)]
        paths = script(here / "all.lua", [path for kind in asked for path, _ in kind.paths])
        with running_service(arguments.model, here / "reloaded", workers=_WORKERS) as service:
            loads, replaced = _reloaded(service, paths, reloads)
    return [
        Result("from exec to the first recommendation, median", statistics.median(seconds), "s", at_most=2),
        Result("from exec to the first recommendation, the slowest", max(seconds), "s"),
        Result("workers replaced by reloads", replaced, at_least=_WORKERS * reloads),
        Result("requests meanwhile", sum(load.requests for load in loads)),
        Result("requests lost meanwhile", sum(load.failed for load in loads), at_most=0),
    ]


def _seconds_to_answer(model: Path, folder: Path, path: str) -> float:
    """How long the service takes from its start to its first answer."""
    begun, pause = time.monotonic(), threading.Event()
    with starting_service(model, folder, workers=_WORKERS) as service:
        while time.monotonic() - begun < DEADLINE_SECONDS:
            try:
                service.get(path)
            except (OSError, http.client.HTTPException):
                pause.wait(0.005)
            else:
                return time.monotonic() - begun
    raise SystemExit(f"error: the service did not answer; its log is:\n{(folder / 'log').read_text()[-2000:]}")


def _reloaded(service: RunningService, asked: Path, reloads: int) -> tuple[list[Load], int]:
    """The loads that the service has while it is reloaded, and how many workers had a successor."""
    is_done, pause = threading.Event(), threading.Event()
    seen = set(service.pids())
    with ThreadPoolExecutor(1) as beside:
        loads = beside.submit(_asked_until, is_done, service, asked)
        try:
            for _ in range(reloads):
                pause.wait(_SECONDS_BETWEEN_RELOADS)
                before = set(service.pids())
                os.kill(service.master.pid, signal.SIGHUP)
                while before & set(service.pids()):
                    pause.wait(0.02)
                seen |= set(service.pids())
        finally:
            is_done.set()
    return loads.result(), len(seen) - _WORKERS


def _asked_until(is_done: threading.Event, service: RunningService, asked: Path) -> list[Load]:
    loads: list[Load] = []
    while not is_done.is_set():
        loads.append(wrk(service.port, asked, seconds=_SECONDS_OF_LOAD, may_fail=True))
    return loads
