"""Recommendations with filters, diversity and reasons, none of them from the cache, in-process."""
from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np

from recsys_api.catalog import Catalog
from scripts.bench.in_process import answer, asked, samples_of, tell, working_application
from scripts.bench.results import Result

_SEED = 7
_ALL = "with filters, diversity and reasons"
_MOST_MS = 2.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Its own options."""
    parser.add_argument("--movies", type=int, help="movies asked about (default: 1,000; with --quick 200)")


def run(arguments: argparse.Namespace) -> list[Result]:
    """Milliseconds of a whole request, accounting and JSON included, for each kind of question in turns."""
    movies = arguments.movies or (200 if arguments.quick else 1000)
    samples = samples_of("scripts.bench.questions", arguments.model, movies)
    results = []
    for name, taken in samples.items():
        most = _MOST_MS if name == _ALL else None
        results.append(Result(f"{name}, P50", float(np.quantile(taken, 0.5)), "ms", at_most=most))
        results.append(Result(f"{name}, P99", float(np.quantile(taken, 0.99)), "ms"))
    return results


def _measure(model: Path, movies: int) -> dict[str, list[float]]:
    """Milliseconds of every request."""
    app = working_application(model, cache_size=1)
    catalog = app.extensions["recsys_api"].recommender.catalog
    rows = np.random.default_rng(_SEED).permutation(len(catalog))[:movies]
    questions = dict(_questions(catalog))
    taken: dict[str, list[float]] = {name: [] for name in questions}
    for movie_id in catalog.movie_ids[rows].tolist():
        for name, question in questions.items():
            taken[name].append(_milliseconds(app.wsgi_app, f"/recommendations/{movie_id}", urlencode(question)))
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
    environ = asked(path, query)
    begun = time.perf_counter()
    status = answer(application, environ)
    took = (time.perf_counter() - begun) * 1000
    if status != "200 OK":
        raise RuntimeError(f"{path}?{query} was answered with {status}")
    return took


if __name__ == "__main__":
    tell(_measure)
