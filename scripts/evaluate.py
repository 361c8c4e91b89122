#!/usr/bin/env python3
"""Measure how good a model's recommendations are, on ratings, beside what it has to beat."""
from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

try:
    from recsys_api.errors import RecsysError
    from recsys_api.model import store
except ImportError:
    sys.exit("error: run it as .venv/bin/python scripts/evaluate.py; ./scripts/start_api.sh makes .venv.")

from scripts.files import write_whole
from scripts.quality import ratings, report
from scripts.quality.evaluation import NEXT_LIKES, ONE_SOUP, SIMILARITY, Asked, Subject, evaluate


def main(argv: Sequence[str] | None = None) -> int:
    """Ask everything and print the tables; returns the exit status."""
    arguments = _parse(argv)
    try:
        model = store.load(arguments.model)
        asked_of = ratings.read(arguments.ratings, model.catalog, links=arguments.links)
    except RecsysError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    others = f"; {asked_of.unknown:,} are about others" if asked_of.unknown else ""
    print(f"model     {model.version} of {len(model.catalog):,} movies")
    print(f"ratings   {len(asked_of):,} about them{others}", flush=True)
    asked = evaluate(Subject.of_model(model), asked_of, seed=arguments.seed)
    if not asked[NEXT_LIKES].cases:
        print("error: nobody liked five of the model's movies; rating 4 and above is a like.", file=sys.stderr)
        return 1
    for protocol, one in asked.items():
        print(f"\n{protocol}: {one.cases:,} lists")
        print("\n".join(report.table(one)))
    print(f"\n{SIMILARITY} is {report.times(asked[NEXT_LIKES].times(SIMILARITY, ONE_SOUP))} times {ONE_SOUP}.")
    if not Subject.of_model(model).factors:
        print("The model has no votes, so that moods change nothing.")
    if arguments.json:
        told = {"model_version": model.version, "ratings": len(asked_of), "asked": report.as_json(asked)}
        write_whole(arguments.json, json.dumps(told, indent=2) + "\n")
    if arguments.plots:
        _plot(asked, arguments.plots)
    return 0


def _plot(asked: Mapping[str, Asked], folder: Path) -> None:
    from scripts.quality import plots  # noqa: PLC0415 - matplotlib comes with requirements-dev.txt only

    folder.mkdir(parents=True, exist_ok=True)
    for path in plots.draw(asked, folder):
        print(f"drawn     {path}")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Example: evaluate.py --ratings ml-latest/ratings.csv --links ml-latest/links.csv. docs/quality.md says"
        " what is asked and what the metrics mean.",
    )
    parser.add_argument("--ratings", type=Path, required=True, help="CSV with userId, movieId, rating, timestamp")
    parser.add_argument("--links", type=Path, help="CSV with movieId and tmdbId, if the model's movie_id is TMDB's")
    parser.add_argument("--model", type=Path, default=Path("models/current"), help="default: models/current")
    parser.add_argument("--seed", type=int, default=0, help="draws the halves of users and the hidden movies")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, too")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draw them as PNG there")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
