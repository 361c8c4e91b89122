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
from pathlib import Path

from recsys_api.model import store
from scripts.bench.http import kinds
from scripts.bench.results import Result
from scripts.bench.wrk import Load, script, wrk
from scripts.running_service import DEADLINE_SECONDS, RunningService, running_service, starting_service

_WORKERS = 2
_SECONDS_BETWEEN_RELOADS = 1.5


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
            load, replaced = _reloaded(service, paths, reloads)
    return [
        Result("from exec to the first recommendation, median", statistics.median(seconds), "s", at_most=2),
        Result("from exec to the first recommendation, the slowest", max(seconds), "s"),
        Result("workers replaced by reloads", replaced, at_least=_WORKERS * reloads),
        Result("requests meanwhile", load.requests),
        Result("requests lost meanwhile", load.failed, at_most=0),
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


def _reloaded(service: RunningService, asked: Path, reloads: int) -> tuple[Load, int]:
    """The load that the service has while it is reloaded, and how many workers had a successor."""
    loads: list[Load] = []
    seconds = round(reloads * _SECONDS_BETWEEN_RELOADS) + 3
    load = threading.Thread(target=lambda: loads.append(wrk(service.port, asked, seconds=seconds, may_fail=True)))
    load.start()
    seen, pause = set(service.pids()), threading.Event()
    for _ in range(reloads):
        pause.wait(_SECONDS_BETWEEN_RELOADS)
        before = set(service.pids())
        os.kill(service.master.pid, signal.SIGHUP)
        while before & set(service.pids()):
            pause.wait(0.02)
        seen |= set(service.pids())
    load.join()
    return loads[0], len(seen) - _WORKERS
