"""A cached recommendation in-process, beside bare Flask returning the same bytes."""
from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from flask import Flask, Response

from scripts.bench.in_process import Environ, answer, asked, samples_of, tell, working_application
from scripts.bench.results import Result

_REQUESTS = 300

Call = Callable[[Environ], object]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Its own options."""
    parser.add_argument("--rounds", type=int, help="turns that each takes (default: 30; with --quick 10)")


def run(arguments: argparse.Namespace) -> list[Result]:
    """Microseconds of a request and of its stages, in turns with bare Flask."""
    rounds = arguments.rounds or (10 if arguments.quick else 30)
    samples = samples_of("scripts.bench.request", arguments.model, rounds)
    took = {name: statistics.median(taken) for name, taken in samples.items()}
    in_the_view = took["validation"] + took["look-up"] + took["serialisation"]
    around_the_application = took["the service"] - took["the application"] - took["logging"]
    return [
        Result("bare Flask", took["bare Flask"], "us"),
        Result("the service", took["the service"], "us"),
        Result("  of which routing and contexts", took["the application"] - took["the view"], "us"),
        Result("  of which validation", took["validation"], "us"),
        Result("  of which the look-up", took["look-up"], "us"),
        Result("  of which serialisation", took["serialisation"], "us"),
        Result("  of which accounting", took["the view"] - in_the_view + around_the_application, "us"),
        Result("  of which logging", took["logging"], "us"),
        Result("the service : bare Flask", took["the service"] / took["bare Flask"], "x", at_most=2.2),
    ]


def _measure(model: Path, rounds: int) -> dict[str, list[float]]:
    """Microseconds of each thing that is called, in each round."""
    app = working_application(model)
    called = dict(_whole(app))
    environ = _environ(app)
    samples: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, call in called.items():
            samples.setdefault(name, []).append(_microseconds(call, environ))
        with app.request_context(environ()):
            for name, stage in _stages(app).items():
                samples.setdefault(name, []).append(_microseconds(stage, environ))
    return samples


def _movie_id(app: Flask) -> int:
    return int(app.extensions["recsys_api"].recommender.catalog.movie_ids[0])


def _environ(app: Flask) -> Callable[[], Environ]:
    """What the application is handed with a request for recommendations, the accounts' part too."""
    path = f"/recommendations/{_movie_id(app)}"
    of_accounts = {"recsys.request_id": "00000000", "recsys.endpoint": "/recommendations/<int:movie_id>"}
    return lambda: {**asked(path), **of_accounts}


def _whole(app: Flask) -> Iterator[tuple[str, Call]]:
    """Whole requests: to bare Flask, to the service, and to the service without what is around the application."""
    body = app.test_client().get(f"/recommendations/{_movie_id(app)}").data
    bare = Flask("bare")
    bare.get("/recommendations/<int:movie_id>")(lambda movie_id: Response(body, mimetype="application/json"))
    yield "bare Flask", partial(answer, bare.wsgi_app)
    yield "the service", partial(answer, app.wsgi_app)
    yield "the application", partial(answer, app.wsgi_app._app)  # type: ignore[attr-defined]  # inside of the accounts


def _stages(app: Flask) -> dict[str, Call]:
    """The stages of a request, each by itself."""
    from recsys_api import logs  # noqa: PLC0415
    from recsys_api.api import answers, parsing, questions  # noqa: PLC0415

    recommender, movie_id = app.extensions["recsys_api"].recommender, _movie_id(app)
    found = recommender.recommend(movie_id)
    view = app.view_functions["recommendations.by_id"]

    def serialise(environ: Environ) -> None:
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

    view(movie_id=movie_id)  # from here on the context knows when its view began
    return {
        "the view": lambda environ: view(movie_id=movie_id),
        "validation": lambda environ: parsing.from_query(questions.RecommendationsQuery),
        "look-up": lambda environ: recommender.recommend(movie_id),
        "serialisation": serialise,
        "logging": log,
    }


def _microseconds(call: Call, environ: Callable[[], Environ]) -> float:
    taken = []
    for _ in range(_REQUESTS):
        given = environ()
        begun = time.perf_counter()
        call(given)
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken) * 1e6


if __name__ == "__main__":
    tell(_measure)
