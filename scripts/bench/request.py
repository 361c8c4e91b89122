"""A recommendation in-process, cached and computed, by stage, beside bare Flask returning the same bytes."""
from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from flask import Flask, Response

from scripts.bench.http import kinds
from scripts.bench.in_process import Environ, answer, asked, samples_of, tell, working_application
from scripts.bench.results import Result

_REQUESTS = 300
_MOVIES = 1000
_KINDS = ("cached", "computed")
"""As `http` asks them: one movie over and over, and each time another with a filter."""
_ENDPOINT = "/recommendations/<int:movie_id>"

Prepare = Callable[[Environ], Callable[[], object]]
"""Given a request: what is to be timed."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Its own options."""
    parser.add_argument("--rounds", type=int, help="turns that each takes (default: 30; with --quick 10)")


def run(arguments: argparse.Namespace) -> list[Result]:
    """Microseconds of a request and of its stages, in turns with bare Flask."""
    rounds = arguments.rounds or (10 if arguments.quick else 30)
    samples = samples_of("scripts.bench.request", arguments.model, rounds)
    took = {name: statistics.median(taken) for name, taken in samples.items()}
    return [result for kind in _KINDS for result in _results(kind, took)]


def _results(kind: str, took: Mapping[str, float]) -> Iterator[Result]:
    whole, bare = took[f"{kind}: the service"], took[f"{kind}: bare Flask"]
    stages = {"routing and contexts": took[f"{kind}: the application"] - took[f"{kind}: the view"]}
    stages |= {name: took[f"{kind}: {name}"] for name in ("validation", "look-up", "serialisation", "logging")}
    yield Result(f"{kind}: bare Flask", bare, "us")
    yield Result(f"{kind}: the service", whole, "us")
    for name, taken in stages.items():
        yield Result(f"{kind}:   of which {name}", taken, "us")
    yield Result(f"{kind}:   of which accounting and what is between", whole - sum(stages.values()), "us")
    yield Result(f"{kind}: the service : bare Flask", whole / bare, "x", at_most=2.2 if kind == "cached" else None)


def _measure(model: Path, rounds: int) -> dict[str, list[float]]:
    """Microseconds of each thing that is called, in each round."""
    from recsys_api.model import store  # noqa: PLC0415 - only in the process that shares metrics

    app = working_application(model, cache_size=1)  # so that one movie over and over is met, and one of many never
    bodies: dict[int, bytes] = {}
    whole, stages = _whole(app, bodies), _stages(app)
    samples: dict[str, list[float]] = {}
    paths_of = {kind.name: [path for path, _ in kind.paths[:_MOVIES]] for kind in kinds(store.load(model))}
    for kind in _KINDS:
        bodies.update((_movie_id(_request(path)), app.test_client().get(path).data) for path in paths_of[kind])
        requests = map(_request, cycle(paths_of[kind]))
        for _ in range(rounds):
            for name, call in whole.items():
                samples.setdefault(f"{kind}: {name}", []).append(_microseconds(call, requests, nullcontext))
            for name, call in stages.items():
                samples.setdefault(f"{kind}: {name}", []).append(_microseconds(call, requests, _in_view(app)))
    return samples


def _request(path: str) -> Environ:
    """What the application is handed with a request, the accounts' part too."""
    return {**asked(*path.split("?")), "recsys.request_id": "00000000", "recsys.endpoint": _ENDPOINT}


def _movie_id(environ: Environ) -> int:
    return int(environ["PATH_INFO"].rpartition("/")[2])


def _whole(app: Flask, bodies: Mapping[int, bytes]) -> dict[str, Prepare]:
    """Whole requests: to bare Flask, to the service, and to the service without what is around the application."""
    bare = Flask("bare")
    bare.get(_ENDPOINT)(lambda movie_id: Response(bodies[movie_id], mimetype="application/json"))
    applications = {
        "bare Flask": bare.wsgi_app,
        "the service": app.wsgi_app,
        "the application": app.wsgi_app._app,  # type: ignore[attr-defined]  # inside of the accounts
    }
    return {name: partial(partial, answer, application) for name, application in applications.items()}


def _stages(app: Flask) -> dict[str, Prepare]:
    """The stages of a request, each by itself."""
    from recsys_api import logs  # noqa: PLC0415
    from recsys_api.api import answers, parsing, questions  # noqa: PLC0415

    recommender = app.extensions["recsys_api"].recommender
    view = app.view_functions["recommendations.by_id"]

    def look_up(environ: Environ) -> Callable[[], Any]:
        wanted = parsing.from_query(questions.RecommendationsQuery)
        return partial(
            recommender.recommend, _movie_id(environ), top_k=wanted.top_k, min_similarity=wanted.min_similarity,
            exclude_same_year=wanted.exclude_same_year,
        )  # fmt: skip

    def serialise(movie_id: int, found: Any) -> None:
        answers.from_model(
            {
                "movie_id": movie_id,
                "recommendations": answers.scored_movies(recommender.catalog, found),
                **answers.timed(),
                "model_version": recommender.stats.model_version,
            }
        )

    def log(environ: Environ) -> None:
        logs.request_begun(environ)
        logs.request_finished(environ, 200, 1000)

    return {
        "the view": lambda environ: partial(view, movie_id=_movie_id(environ)),
        "validation": lambda environ: partial(parsing.from_query, questions.RecommendationsQuery),
        "look-up": look_up,
        "serialisation": lambda environ: partial(serialise, _movie_id(environ), look_up(environ)()),
        "logging": lambda environ: partial(log, environ),
    }


def _in_view(app: Flask) -> Callable[[Environ], Any]:
    """The context of a request whose view has begun."""
    from recsys_api.api.application import BEGUN  # noqa: PLC0415

    @contextmanager
    def context(environ: Environ) -> Iterator[None]:
        with app.request_context(environ):
            environ[BEGUN] = time.perf_counter_ns()
            yield

    return context


def _microseconds(prepare: Prepare, requests: Iterator[Environ], context: Callable[[Environ], Any]) -> float:
    taken = []
    for environ in islice(requests, _REQUESTS):
        with context(environ):
            call = prepare(environ)
            begun = time.perf_counter()
            call()
            taken.append(time.perf_counter() - begun)
    return statistics.median(taken) * 1e6


if __name__ == "__main__":
    tell(_measure)
