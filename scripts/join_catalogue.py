#!/usr/bin/env python3
"""Join films of TMDB with what MovieLens and Wikipedia know of them into one CSV, which build_model.py reads."""
from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

try:
    import orjson

    from recsys_api.catalog import Movie
    from recsys_api.errors import RecsysError
except ImportError:
    sys.exit("error: run it as .venv/bin/python scripts/join_catalogue.py; ./scripts/start_api.sh makes .venv.")

from scripts.files import write_whole
from scripts.quality.join import joined, with_directors


def main(argv: Sequence[str] | None = None) -> int:
    """Join, and write; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="Then: build_model.py --source csv --input films.csv --votes ratings.csv"
    )
    parser.add_argument("--tags", type=Path, required=True, help="Parquet file with movie_id (TMDB's), title and tags")
    parser.add_argument("--movielens", type=Path, required=True, help="folder with movies.csv and links.csv")
    parser.add_argument("--wikipedia", type=Path, help="folder of wikipedia-movie-data, for the directors")
    parser.add_argument("--output", type=Path, required=True, help="the CSV to write")
    arguments = parser.parse_args(argv)
    try:
        movies = joined(arguments.tags, arguments.movielens)
        if arguments.wikipedia is not None:
            movies = with_directors(movies, arguments.wikipedia)
    except RecsysError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    text = io.StringIO()
    table = csv.DictWriter(text, [field.name for field in fields(Movie)])
    table.writeheader()
    for movie in movies:
        cells = asdict(movie).items()
        table.writerow({k: orjson.dumps(v).decode() if isinstance(v, tuple) else v for k, v in cells})
    write_whole(arguments.output, text.getvalue())
    print(f"{len(movies):,} films in {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
