#!/usr/bin/env python3
"""Measure the service beside a reference, in one run: what is compared takes turns, and the ratio is what counts."""
from __future__ import annotations

import argparse
import io
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

try:
    import flask
except ImportError:
    sys.exit("error: run it as .venv/bin/python scripts/benchmark.py; ./scripts/start_api.sh makes .venv.")

from scripts.running_service import ROOT, RunningService, running_service


def main(argv: Sequence[str] | None = None) -> int:
    """Run one benchmark and print its table, or its JSON; returns the exit status."""
    arguments = _parse(argv)
    if not arguments.model.exists():
        print(f"error: there is no model at {arguments.model}; ./scripts/start_api.sh builds one.", file=sys.stderr)
        return 1
    if arguments.benchmark == "request" and "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return _again_with_shared_metrics(argv)
    figures = {"request": request, "scrape": scrape}[arguments.benchmark](arguments)
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:<58}{value:>10,.2f}" if isinstance(value, float) else f"{name:<58}{value:>10,}")
    return 0


def request(arguments: argparse.Namespace) -> dict[str, float]:
    """Microseconds in-process of a cached recommendation: bare Flask, the service without accounts, and the service."""
    from recsys_api.app import create_app, worker_started  # noqa: PLC0415 - after the environment is set
    from recsys_api.metrics import slots  # noqa: PLC0415
    from recsys_api.settings import Settings  # noqa: PLC0415

    slots.will_fork()
    folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    app = create_app(Settings(model_dir=arguments.model, metrics_dir=folder, log_format="json"))
    app.extensions["recsys_metrics"].slots.take(0)
    app.extensions["recsys_metrics"].slots.begin()
    worker_started(app)
    bare = flask.Flask("bare")
    movie_id = int(app.extensions["recsys_api"].model.catalog.movie_ids[0])
    body = app.test_client().get(f"/recommendations/{movie_id}").data
    bare.get("/recommendations/<int:movie_id>")(lambda movie_id: flask.Response(body, mimetype="application/json"))
    quiet = _without_accounts(app)
    samples: dict[str, list[float]] = {"bare Flask": [], "without accounting and logging": [], "the service": []}
    calls: list[Callable[..., Iterable[bytes]]] = [bare.wsgi_app, quiet, app.wsgi_app]
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - the log's lines are written, and read by nobody
        kept = os.dup(1)
        os.dup2(nowhere.fileno(), 1)
        for _ in range(arguments.rounds):
            for name, call in zip(samples, calls, strict=True):
                samples[name].append(_microseconds(call, movie_id, arguments.requests))
        os.dup2(kept, 1)
    medians = {f"{name}, microseconds a request": statistics.median(taken) for name, taken in samples.items()}
    of_bare, of_quiet, of_service = samples.values()
    differences = [full - less for full, less in zip(of_service, of_quiet, strict=True)]
    return {
        **medians,
        "accounting and logging, microseconds a request": statistics.median(differences),
        "the service : bare Flask": statistics.median(of_service) / statistics.median(of_bare),
    }


def _without_accounts(app: flask.Flask) -> Callable[..., Iterable[bytes]]:
    """The same application, counting and logging nothing."""
    from recsys_api.logs import REQUEST_ID  # noqa: PLC0415
    from recsys_api.metrics.requests import ENDPOINT  # noqa: PLC0415

    here = app.extensions["recsys_api"]
    silent = replace(here, metrics=_NoMetrics())
    cache = here.model.cache
    listener = cache.on_event
    inner = app.wsgi_app._app  # type: ignore[attr-defined]  # what the accounts are around

    def call(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ[REQUEST_ID], environ[ENDPOINT] = "none", ""
        app.extensions["recsys_api"], cache.on_event = silent, lambda event, state: None
        try:
            return inner(environ, start_response)
        finally:
            app.extensions["recsys_api"], cache.on_event = here, listener

    return call


class _NoMetrics:
    """Instruments that do nothing."""

    def __getitem__(self, name: str) -> Any:
        return self

    def __call__(self, *_: object) -> Any:
        return self

    def inc(self, *_: object) -> None:
        pass

    observe = observe_all = inc


def _microseconds(app: Callable[..., Iterable[bytes]], movie_id: int, requests: int) -> float:
    taken = []
    for _ in range(requests):
        environ = {
            "REQUEST_METHOD": "GET", "PATH_INFO": f"/recommendations/{movie_id}", "QUERY_STRING": "", "HTTP_HOST": "x",
            "SERVER_NAME": "x", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr, "wsgi.version": (1, 0),
        }  # fmt: skip
        begun = time.perf_counter()
        answer = app(environ, lambda status, headers, error=None: None)
        for _part in answer:
            pass
        if (close := getattr(answer, "close", None)) is not None:
            close()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken) * 1e6


def scrape(arguments: argparse.Namespace) -> dict[str, float]:
    """Milliseconds of a scrape of a fresh service, and of one that has seen many workers die, in turns."""
    with (
        tempfile.TemporaryDirectory(prefix="recsys-bench-") as folder,
        running_service(arguments.model, Path(folder) / "fresh", workers=4) as fresh,
        running_service(arguments.model, Path(folder) / "worn", workers=4) as worn,
    ):
        _end_workers(worn, arguments.deaths)
        samples: tuple[list[float], list[float]] = ([], [])
        for _ in range(arguments.scrapes):
            for service, taken in zip((fresh, worn), samples, strict=True):
                begun = time.perf_counter()
                service.get("/metrics")
                taken.append((time.perf_counter() - begun) * 1000)
        files = [len(list((Path(folder) / name).glob("*.db"))) for name in ("fresh", "worn")]
    fresh_ms, worn_ms = (statistics.median(taken) for taken in samples)
    return {
        "scrape after no worker's death, milliseconds p50": fresh_ms,
        f"scrape after {arguments.deaths:,} workers' deaths, milliseconds p50": worn_ms,
        "ratio": worn_ms / fresh_ms,
        "files of metrics, fresh": float(files[0]),
        "files of metrics, worn": float(files[1]),
    }


def _end_workers(service: RunningService, deaths: int) -> None:
    """Kill workers, one after the other, each when its predecessor has a successor."""
    pause = threading.Event()
    for done in range(deaths):
        workers = service.pids()
        os.kill(workers[done % len(workers)], signal.SIGKILL)
        while set(service.pids()) == set(workers) or len(service.pids()) < len(workers):
            pause.wait(0.002)
        if sys.stderr.isatty() and done % 20 == 0:
            print(f"\r{done:,} of {deaths:,} workers have died", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print("\r" + " " * 50 + "\r", end="", file=sys.stderr)
    service.come_to_rest()


def _again_with_shared_metrics(argv: Sequence[str] | None) -> int:
    """Run in a process that counts in files, as a worker does: prometheus_client decides as it is imported."""
    with tempfile.TemporaryDirectory(prefix="recsys-bench-") as folder:
        command = [sys.executable, __file__, *(sys.argv[1:] if argv is None else argv)]
        environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": folder}
        return subprocess.run(command, env=environment, check=False).returncode  # noqa: S603 - this very command


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "current", help="default: models/current")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    benchmarks = parser.add_subparsers(dest="benchmark", required=True)
    one = benchmarks.add_parser("request", help=request.__doc__, description=request.__doc__)
    one.add_argument("--rounds", type=int, default=30, help="turns that each takes (default: 30)")
    one.add_argument("--requests", type=int, default=300, help="requests in a turn (default: 300)")
    two = benchmarks.add_parser("scrape", help=scrape.__doc__, description=scrape.__doc__)
    two.add_argument("--deaths", type=int, default=2000, help="workers to kill first (default: 2,000)")
    two.add_argument("--scrapes", type=int, default=200, help="scrapes of each (default: 200)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
