"""Any table of movies, CSV or Parquet, with its own names for the columns or ours."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from recsys_api.catalog.movie import Movie
from recsys_api.catalog.readers import clean
from recsys_api.catalog.readers.duplicates import without_duplicates
from recsys_api.catalog.readers.report import UNCLOSED, ReadReport
from recsys_api.catalog.readers.rows import Row, readable, table
from recsys_api.errors import CatalogError

OURS = tuple(field.name for field in fields(Movie))
_ALIASES = {
    "movie_id": ("id", "movieId", "tmdb_id", "tmdbId"),
    "title": ("name", "movie_title"),
    "release_date": ("year", "release_year", "released"),
    "vote_average": ("rating",),
    "vote_count": ("votes",),
    "genres": ("genre",),
    "overview": ("plot", "description", "synopsis", "summary"),
    "original_language": ("language",),
    "directors": ("director",),
    "cast": ("actors", "stars"),
    "keywords": ("tags",),
    "countries": ("country",),
}
_LISTS = ("genres", "directors", "cast", "keywords", "countries")
_MOST_VOTES = 1e9


def read_csv(path: Path, report: ReadReport, columns: Mapping[str, str]) -> list[Movie]:
    """The movies of a CSV file with a header row."""
    with readable(str(path)):
        file = path.open("rb")
    with closing(table(file, str(path), path.name)) as rows:
        return _movies(rows, path, report, columns)


def read_parquet(path: Path, report: ReadReport, columns: Mapping[str, str]) -> list[Movie]:
    """The movies of a Parquet file."""
    import pandas as pd  # noqa: PLC0415 - slow to import, and only this source needs it

    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise CatalogError(f"{path} is not a readable Parquet file ({error}).") from error
    names = [str(name) for name in frame.columns]
    values = zip(*(frame[column].tolist() for column in frame.columns), strict=True)
    rows = (Row(f"{path.name}:{i}", dict(zip(names, row, strict=True))) for i, row in enumerate(values, 1))
    return _movies(rows, path, report, columns)


def _movies(
    rows: Iterator[Row], path: Path, report: ReadReport, columns: Mapping[str, str]
) -> list[Movie]:
    movies: list[tuple[Movie, str]] = []
    theirs: dict[str, str] = {}
    for row in rows:
        theirs = theirs or _match_columns(list(row.cells), path, columns)
        report.read += 1
        ours = {name: row.cells[column] for name, column in theirs.items()}
        if row.broken:
            report.drop(UNCLOSED, row.place)
            continue
        if all(map(_is_empty, ours.values())):
            report.drop("blank row", row.place)
            continue
        movie = _movie(ours, row.fault, partial(report.repair, place=row.place))
        if isinstance(movie, Movie):
            movies.append((movie, row.place))
        else:
            report.drop(movie, row.place)
    return without_duplicates(movies, report)


def _is_empty(value: Any) -> bool:
    if isinstance(value, str | bytes):
        return not clean.optional(value)
    return not len(value) if hasattr(value, "__len__") else clean.is_null(value)


def _match_columns(there: list[str], path: Path, columns: Mapping[str, str]) -> dict[str, str]:
    """Which of their columns is each of ours."""
    for ours, named in columns.items():
        if ours not in OURS:
            raise CatalogError(f"--column {ours}=...: there is no field {ours!r}; there are {', '.join(OURS)}.")
        if named not in there:
            raise CatalogError(f"{path} has no column {named!r}; it has {', '.join(there)}.")
    found = dict(columns)
    for ours in OURS:
        candidates = [name for name in (ours, *_ALIASES.get(ours, ())) if name in there and name not in found.values()]
        if ours not in found and candidates:
            found[ours] = candidates[0]
    if "title" not in found:
        raise CatalogError(
            f"{path} has no column 'title'; it has {', '.join(there)}. Name the one that is: --column title=THEIRS."
        )
    return found


def _movie(cells: Mapping[str, Any], fault: str, mended: clean.Mended) -> Movie | str:
    """The movie of a row, or why there is none."""
    title, original = clean.optional(cells.get("title")), clean.optional(cells.get("original_title"))
    if not title:
        if not original:
            return "no title"
        mended("title taken from original_title")
    if fault:
        mended(fault)
    date = clean.release_date(cells.get("release_date"), mended)
    movie_id: int | None = clean.stable_id(f"{title or original}\n{date[:4]}")
    if "movie_id" in cells:
        movie_id = clean.movie_id(cells["movie_id"])
    if movie_id is None:
        return "movie_id is not a number"
    lists = {name: clean.listed(cells.get(name)) for name in _LISTS}
    return Movie(
        movie_id=movie_id,
        title=title or original,
        release_date=date,
        vote_average=clean.number(cells.get("vote_average"), 0, 10, "vote_average", mended),
        vote_count=int(clean.number(cells.get("vote_count"), 0, _MOST_VOTES, "vote_count", mended)),
        genres=lists["genres"],
        overview=clean.optional(cells.get("overview")),
        original_title=original,
        original_language=clean.optional(cells.get("original_language")),
        directors=lists["directors"],
        cast=lists["cast"][: clean.MOST_CAST],
        keywords=lists["keywords"],
        countries=lists["countries"],
        collection=clean.optional(cells.get("collection")),
        imdb_id=clean.imdb_id(cells.get("imdb_id")),
    )
