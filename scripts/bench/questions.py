"""Recommendations with filters, diversity and reasons, none of them from the cache, in-process."""
from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np

from recsys_api.catalog import Catalog
from scripts.bench.results import Result
from scripts.running_service import ROOT

_SEED = 7
_ALL = "with filters, diversity and reasons"
_MOST_MS = 2.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Its own options."""
    parser.add_argument("--movies", type=int, help="movies asked about (default: 1,000; with --quick 200)")


def run(arguments: argparse.Namespace) -> list[Result]:
    """Milliseconds of a whole request, accounting and JSON included, for each kind of question in turns."""
    movies = arguments.movies or (200 if arguments.quick else 1000)
    with tempfile.TemporaryDirectory(prefix="recsys-bench-") as folder:
        command = [sys.executable, "-m", "scripts.bench.questions", str(arguments.model.resolve()), str(movies)]
        environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": folder}
        done = subprocess.run(command, env=environment, cwd=ROOT, check=True, stdout=subprocess.PIPE)  # noqa: S603 - this very module
    results = []
    for name, taken in json.loads(done.stdout).items():
        most = _MOST_MS if name == _ALL else None
        results.append(Result(f"{name}, P50", float(np.quantile(taken, 0.5)), "ms", at_most=most))
        results.append(Result(f"{name}, P99", float(np.quantile(taken, 0.99)), "ms"))
    return results


def _measure(model: Path, movies: int) -> dict[str, list[float]]:
    """Milliseconds of every request."""
    from recsys_api.app import create_app, worker_started  # noqa: PLC0415 - only in the process that shares metrics
    from recsys_api.metrics import slots  # noqa: PLC0415
    from recsys_api.settings import Settings  # noqa: PLC0415

    slots.will_fork()
    folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    app = create_app(Settings(model_dir=model, metrics_dir=folder, log_format="json", cache_size=1))
    app.extensions["recsys_metrics"].slots.take(0)
    app.extensions["recsys_metrics"].slots.begin()
    worker_started(app)
    catalog = app.extensions["recsys_api"].recommender.catalog
    rows = np.random.default_rng(_SEED).permutation(len(catalog))[:movies]
    questions = dict(_questions(catalog))
    taken: dict[str, list[float]] = {name: [] for name in questions}
    for movie_id in catalog.movie_ids[rows].tolist():
        for name, asked in questions.items():
            taken[name].append(_milliseconds(app.wsgi_app, f"/recommendations/{movie_id}", urlencode(asked)))
    return taken


def _questions(catalog: Catalog) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each kind of question, and how it is asked."""
    filters = {"genre": catalog.genres[0], "exclude_genre": catalog.genres[-1], "year_min": 1950, "year_max": 2015}
    yield "plain", {}
    yield "with filters", filters
    yield "with diversity", {"diversity": 0.3}
    yield "with reasons", {"explain": "true"}
    yield _ALL, {**filters, "diversity": 0.3, "explain": "true"}
    yield "for words beside a movie", {"text": "a heist in space"}


def _milliseconds(application: Any, path: str, query: str) -> float:
    environ = {
        "REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": query, "HTTP_HOST": "x",
        "SERVER_NAME": "x", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr, "wsgi.version": (1, 0),
    }  # fmt: skip
    told = []
    begun = time.perf_counter()
    answer = application(environ, lambda status, headers, error=None: told.append(status))
    for _part in answer:
        pass
    answer.close()
    took = (time.perf_counter() - begun) * 1000
    if told != ["200 OK"]:
        raise RuntimeError(f"{path}?{query} was answered with {told}")
    return took


def main() -> None:
    """Measure in this process, whose log nobody reads; stdout tells the samples."""
    model, movies = sys.argv[1:]
    told = os.dup(1)
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - the log's lines are written, and read by nobody
        os.dup2(nowhere.fileno(), 1)
        samples = _measure(Path(model), int(movies))
    os.write(told, json.dumps(samples).encode())


if __name__ == "__main__":
    main()
