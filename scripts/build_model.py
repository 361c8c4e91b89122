#!/usr/bin/env python3
"""Build a model from a catalogue of movies: read, weigh, rank, write beside, rename."""
from __future__ import annotations

import argparse
import re
import resource
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

try:
    from tqdm import tqdm
except ImportError:
    sys.exit("error: run it as .venv/bin/python scripts/build_model.py; ./scripts/start_api.sh makes .venv.")

from recsys_api.catalog import Movie
from recsys_api.catalog.readers import SOURCES, read
from recsys_api.errors import RecsysError
from recsys_api.metrics.catalogue import QUALITY
from recsys_api.model import store
from recsys_api.model.build import NEIGHBOURS, Ranking, build
from recsys_api.model.fields import FIELDS, MAX_FEATURES
from recsys_api.model.neighbours import neighbours
from recsys_api.model.recommender import Recommender
from scripts.quality import gate

_SAMPLES = 3
_MODELS = Path(__file__).resolve().parent.parent / "models"


def main(argv: Sequence[str] | None = None) -> int:
    """Build, save, and say what came of it; returns the exit status."""
    arguments = _parse(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it leaves nothing half-written either
    try:
        return _build(arguments)
    except RecsysError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except _Saved as saved:
        print(f"\ninterrupted: the model is saved at {saved}.", file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print("\ninterrupted: nothing was changed.", file=sys.stderr)
        return 130


def _build(arguments: argparse.Namespace) -> int:
    begun = time.perf_counter()
    if not arguments.quiet and sys.stderr.isatty():
        print("reading ...", file=sys.stderr)
    movies, report = read(arguments.source, arguments.input, columns=dict(arguments.column))
    seconds = {"read": time.perf_counter() - begun}
    print("\n".join(report.lines()), flush=True)
    if arguments.strict and report.rows_dropped:
        print(f"error: {report.rows_dropped:,} rows were dropped, and --strict allows none.", file=sys.stderr)
        return 1
    if arguments.votes is not None:
        movies = gate.with_votes(movies, arguments.votes, links=arguments.links)
    with _ranking(arguments.scheduler) as rank, _Steps(quiet=arguments.quiet) as steps:
        model = build(
            movies,
            source=arguments.source,
            max_features=arguments.max_features,
            neighbours=arguments.neighbours,
            rank=rank,
            progress=steps,
        )
    seconds |= steps.seconds
    read_of = {"rows_read": report.read, "rows_dropped": report.rows_dropped}
    model = replace(model, card={**model.card, "read": read_of, "evaluation": {}})
    failed = [check for check, passed in model.card["self_checks"].items() if not passed]
    model, refusals = _measured(model, arguments)
    refusals += [f"the self-check {check} failed" for check in failed]
    if refusals:
        print(f"error: not published: {'; '.join(refusals)}.", file=sys.stderr)
        return 1
    begun = time.perf_counter()
    folder = store.save(model, arguments.output)
    seconds["save"] = time.perf_counter() - begun
    try:
        _summarise(store.load(folder), folder, seconds)
    except KeyboardInterrupt:
        raise _Saved(folder) from None
    return 0


def _measured(model: store.Model, arguments: argparse.Namespace) -> tuple[store.Model, list[str]]:
    """The model with what was measured on its card, and why it must not be published, if anything."""
    refusals: list[str] = []
    current = None if arguments.against is None else store.load(arguments.against)
    values: dict[str, float] = {}
    if current is not None:
        values[gate.CHURN] = gate.churn(model, current)
        print(f"\nchurn      {values[gate.CHURN]:.3f} of the first ten neighbours, against {current.version}")
    if arguments.ratings is not None:
        figures = gate.measured(model, arguments.ratings, links=arguments.links)
        print("quality    " + ", ".join(f"{name} {figures[name].value:.4f}" for name in QUALITY))
        told = {name: {k: round(v, 4) for k, v in figures[name]._asdict().items()} for name in QUALITY}
        model = replace(model, card={**model.card, "evaluation": told})
        values |= {name: figures[name].value for name in QUALITY}
        if current is not None:
            before = gate.measured(current, arguments.ratings, links=arguments.links)["ndcg@10"]
            if figures["ndcg@10"].value < before.low:
                refusals.append(
                    f"ndcg@10 is {figures['ndcg@10'].value:.4f}, below the interval of the model in use, "
                    f"{before.low:.4f} to {before.high:.4f}"
                )
    return model, [refusal for one in arguments.require if (refusal := one.refusal(values))] + refusals


@contextmanager
def _ranking(scheduler: str | None) -> Iterator[Ranking]:
    """What finds the table of neighbours: this process, or the cluster of `scheduler`."""
    if scheduler is None:
        yield neighbours
        return
    try:
        from scripts import cluster  # noqa: PLC0415 - an optional requirement
    except ImportError as error:
        raise RecsysError(
            f"--scheduler needs what requirements-cluster.txt pins ({error}): "
            ".venv/bin/python -m pip install -r requirements-cluster.txt"
        ) from error
    with cluster.cluster(scheduler) as client:
        yield partial(cluster.neighbours, client)


class _Saved(Exception):
    """Interrupted when the model was saved already."""


def _summarise(model: store.Model, folder: Path, seconds: dict[str, float]) -> None:
    per_field = ", ".join(f"{field.name} {len(model.terms[field.name]):,}" for field in FIELDS)
    per_step = ", ".join(f"{step} {spent:.1f}" for step, spent in seconds.items())
    size = sum(path.stat().st_size for path in folder.iterdir())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)
    print(f"\nmodel      {folder} (also as {folder.parent / store.CURRENT})")
    print(f"movies     {len(model.catalog):,}")
    print(f"features   {len(model.vocabulary):,}: {per_field}")
    print(f"seconds    {sum(seconds.values()):.1f}: {per_step}")
    print(f"bytes      {size:,}; the build took at most {peak:,.0f} MB of memory")
    recommender = Recommender(model)
    for row in recommender.popular(top_k=_SAMPLES).tolist():
        movie = model.catalog.movie(row)
        like = recommender.recommend(movie.movie_id, top_k=5)
        titles = ", ".join(_named(model.catalog.movie(other)) for other in like.rows.tolist())
        print(f"like {_named(movie)}: {titles}")


def _named(movie: Movie) -> str:
    return f"{movie.title} ({movie.year})" if movie.year else movie.title


class _Steps:
    """Shows the step at work, and remembers how long each took."""

    def __init__(self, *, quiet: bool) -> None:
        self.seconds: dict[str, float] = {}
        self._quiet = quiet
        self._step = ""
        self._bar: tqdm[None] = tqdm(disable=True)

    def __enter__(self) -> _Steps:
        self._last = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self._end_step()

    def __call__(self, step: str, done: int, total: int) -> None:
        name = step.partition(":")[0]
        if name != self._step:
            self._end_step()
            self._step = name
            self._bar = tqdm(total=total, desc=name, leave=False, disable=None if not self._quiet else True)
        self._bar.set_postfix_str(step.partition(": ")[2])
        self._bar.update(done - self._bar.n)

    def _end_step(self) -> None:
        now = time.perf_counter()
        if self._step:
            self.seconds[self._step] = self.seconds.get(self._step, 0.0) + now - self._last
        self._last = now
        self._bar.close()


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Build a model from a catalogue of movies and make it the current one.",
        epilog="Examples: build_model.py --source bundled | build_model.py --source kaggle --input movies-dataset.zip"
        " | build_model.py --source csv --input films.csv --column title=name --column overview=plot."
        " A running service takes the new model with: kill -HUP <pid of the gunicorn master>.",
    )
    parser.add_argument("--source", required=True, choices=sorted(SOURCES), help="what kind of catalogue it is")
    parser.add_argument("--input", type=Path, help="the file, folder or archive; not for --source bundled")
    parser.add_argument("--output", type=Path, default=_MODELS, help="folder of models (default: models)")
    parser.add_argument(
        "--column",
        action="append",
        default=[],
        type=_mapping,
        metavar="OURS=THEIRS",
        help="for csv and parquet: which of their columns is one of ours; may be repeated",
    )
    parser.add_argument("--strict", action="store_true", help="fail if any row has to be dropped")
    parser.add_argument(
        "--max-features", type=_positive, default=MAX_FEATURES, help=f"features in all (default: {MAX_FEATURES})"
    )
    parser.add_argument(
        "--neighbours", type=_positive, default=NEIGHBOURS, help=f"nearest kept of each (default: {NEIGHBOURS})"
    )
    parser.add_argument(
        "--scheduler",
        type=_scheduler,
        metavar="ADDRESS",
        help="find the nearest on a Dask cluster: tcp://host:8786, tls://host:8786, or local[:N], N processes of"
        " this machine; needs requirements-cluster.txt; see docs/scaling.md",
    )
    quality = parser.add_argument_group("quality, on ratings in MovieLens form (scripts/evaluate.py tells more)")
    quality.add_argument("--votes", type=Path, metavar="FILE", help="ratings that count as votes, if there are none")
    quality.add_argument("--ratings", type=Path, metavar="FILE", help="ratings of other people, to measure it on")
    quality.add_argument("--links", type=Path, metavar="FILE", help="links.csv, if the catalogue's ids are TMDB's")
    quality.add_argument(
        "--require",
        action="append",
        default=[],
        type=_requirement,
        metavar="FIGURE",
        help="publish only if, as in 'ndcg@10>=0.09', which needs --ratings, or 'churn<=0.3', which needs --against;"
        " may be repeated",
    )
    quality.add_argument(
        "--against",
        type=Path,
        metavar="MODEL",
        help="tell the churn, how much the first ten neighbours differ from this model's, 0 to 1; with --ratings refuse"
        " a model that is worse",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bars; without a terminal there are none")
    arguments = parser.parse_args(argv)
    required = {one.metric for one in arguments.require}
    if required - {gate.CHURN} and arguments.ratings is None:
        parser.error("--require needs --ratings: the ratings to measure the model on")
    if gate.CHURN in required and arguments.against is None:
        parser.error("--require churn needs --against: the model to compare the first ten neighbours with")
    return arguments


def _requirement(text: str) -> gate.Requirement:
    try:
        return gate.Requirement.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _mapping(text: str) -> tuple[str, str]:
    ours, equals, theirs = text.partition("=")
    if not (ours and equals and theirs):
        raise argparse.ArgumentTypeError(f"{text!r} is not OURS=THEIRS, as in title=name")
    return ours, theirs


def _scheduler(text: str) -> str:
    if not re.fullmatch(r"local(:[1-9]\d*)?|(tcp|tls)://[^\s/]+:\d+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not tcp://host:port, tls://host:port, local or local:N")
    return text


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
