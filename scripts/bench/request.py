"""A cached recommendation in-process, beside bare Flask returning the same bytes."""
from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import flask

from scripts.bench.results import Result
from scripts.running_service import ROOT

_REQUESTS = 300


def add_options(parser: argparse.ArgumentParser) -> None:
    """Its own options."""
    parser.add_argument("--rounds", type=int, help="turns that each takes (default: 30; with --quick 10)")


def run(arguments: argparse.Namespace) -> list[Result]:
    """Microseconds of a request: bare Flask, the service without accounts, and the service, in turns."""
    rounds = arguments.rounds or (10 if arguments.quick else 30)
    samples = _in_a_process_that_shares_metrics(arguments.model, rounds)
    medians = {name: statistics.median(taken) for name, taken in samples.items()}
    of_service, of_quiet = samples["the service"], samples["without accounting and logging"]
    differences = [full - less for full, less in zip(of_service, of_quiet, strict=True)]
    return [
        *(Result(name, taken, "us") for name, taken in medians.items()),
        Result("accounting and logging", statistics.median(differences), "us"),
        Result("the service : bare Flask", medians["the service"] / medians["bare Flask"], "x", at_most=2.2),
    ]


def _in_a_process_that_shares_metrics(model: Path, rounds: int) -> dict[str, list[float]]:
    """The samples of a process that counts in files, as a worker does: prometheus_client decides as it is imported."""
    with tempfile.TemporaryDirectory(prefix="recsys-bench-") as folder:
        command = [sys.executable, "-m", "scripts.bench.request", str(model.resolve()), str(rounds)]
        environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": folder}
        done = subprocess.run(command, env=environment, cwd=ROOT, check=True, stdout=subprocess.PIPE)  # noqa: S603 - this very module
    found: dict[str, list[float]] = json.loads(done.stdout)
    return found


def _measure(model: Path, rounds: int) -> dict[str, list[float]]:
    from recsys_api.app import create_app, worker_started  # noqa: PLC0415 - only in the process that shares metrics
    from recsys_api.metrics import slots  # noqa: PLC0415
    from recsys_api.settings import Settings  # noqa: PLC0415

    slots.will_fork()
    folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    app = create_app(Settings(model_dir=model, metrics_dir=folder, log_format="json"))
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
    for _ in range(rounds):
        for name, call in zip(samples, calls, strict=True):
            samples[name].append(_microseconds(call, movie_id, _REQUESTS))
    return samples


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
            answer: Iterable[bytes] = inner(environ, start_response)
            return answer
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


def main() -> None:
    """Measure in this process, whose log nobody reads; stdout tells the samples."""
    model, rounds = sys.argv[1:]
    told = os.dup(1)
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - the log's lines are written, and read by nobody
        os.dup2(nowhere.fileno(), 1)
        samples = _measure(Path(model), int(rounds))
    os.write(told, json.dumps(samples).encode())


if __name__ == "__main__":
    main()
