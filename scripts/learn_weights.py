#!/usr/bin/env python3
"""Learn what each field is worth from ratings, and report how good it is on people who were not learned from."""
from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

try:
    from recsys_api.errors import RecsysError
except ImportError:
    sys.exit("error: run it as .venv/bin/python scripts/learn_weights.py; ./scripts/start_api.sh makes .venv.")

from recsys_api.catalog import Catalog
from scripts.files import write_whole
from scripts.quality import halves, join, paper, ratings


def main(argv: Sequence[str] | None = None) -> int:
    """Learn and report; returns the exit status."""
    arguments = _parse(argv)
    folder = arguments.movielens
    try:
        movies = sorted(join.joined(arguments.tags, folder), key=lambda movie: movie.movie_id)
        fuller = join.with_directors(movies, arguments.wikipedia) if arguments.wikipedia else movies
        rated = ratings.read(folder / "ratings.csv", Catalog.from_movies(movies), links=folder / "links.csv")
        others = {"the same, keywords taken away": ([replace(movie, keywords=()) for movie in movies], rated)}
        if arguments.wikipedia:
            articles = Catalog.from_movies(join.of_wikipedia(arguments.wikipedia, folder))
            others["films of Wikipedia"] = list(articles), ratings.read(folder / "ratings.csv", articles)
    except RecsysError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"learning from {len(rated):,} ratings of {len(movies):,} movies ...", file=sys.stderr)
    weights = halves.weights_from(fuller, rated)
    text = paper.weights_file(weights, movies=len(fuller), rated=rated)
    print(text)
    if arguments.write:
        write_whole(arguments.write, text)
    if arguments.report:
        command = shlex.join(["scripts/learn_weights.py", *(argv if argv is not None else sys.argv[1:])])
        told = paper.document(
            movies, fuller, rated, weights, without_keywords=others, seed=arguments.seed, command=command
        )
        write_whole(arguments.report, told)
        print(f"report    {arguments.report}", file=sys.stderr)
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="The weights that ship are in recsys_api/model/weights.toml, the report in docs/quality.md.",
    )
    parser.add_argument("--tags", type=Path, required=True, help="Parquet file with movie_id (TMDB's), title and tags")
    parser.add_argument(
        "--movielens", type=Path, required=True, help="folder with movies.csv, links.csv and ratings.csv"
    )
    parser.add_argument("--wikipedia", type=Path, help="folder of wikipedia-movie-data, for the directors")
    parser.add_argument("--seed", type=int, default=0, help="draws the halves of users")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the weights there, too")
    parser.add_argument("--report", type=Path, metavar="FILE", help="report on both halves, and what lost, there")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
