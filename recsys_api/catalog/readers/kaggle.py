"""The Movies Dataset: movies_metadata.csv, with credits.csv and keywords.csv where they are."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from recsys_api.catalog.movie import Movie
from recsys_api.catalog.readers import clean
from recsys_api.catalog.readers.duplicates import without_duplicates
from recsys_api.catalog.readers.report import UNCLOSED, ReadReport
from recsys_api.catalog.readers.rows import Folder, Row

_ID_COLUMNS = ("id", "tmdb_id")
_AN_ID = "|".join(_ID_COLUMNS)
_MOST_VOTES = 1e9


def read(path: Path, report: ReadReport, columns: Mapping[str, str]) -> list[Movie]:
    """The movies of the data set in the folder or zip archive `path`."""
    folder = Folder(path)
    movies: list[tuple[Movie, str]] = []
    keywords = _keywords(folder, report)
    cast, directors = _credits(folder, report)
    for row in folder.table("movies_metadata.csv", _AN_ID, "title"):
        report.read += 1
        movie_id = _movie_id(row)
        if row.broken:
            report.drop(UNCLOSED, row.place)
        elif row.is_blank:
            report.drop("blank row", row.place)
        elif movie_id is None:
            report.drop("id is not a number (shifted row)", row.place)
        else:
            movie = _movie(row, movie_id, report)
            if movie is None:
                report.drop("no title", row.place)
                continue
            movie = replace(
                movie,
                keywords=keywords.get(movie_id, ()),
                cast=cast.get(movie_id, ()),
                directors=directors.get(movie_id, ()),
            )
            movies.append((movie, row.place))
    known = {movie.movie_id for movie, _ in movies}
    for name, having in (("keywords.csv", keywords), ("credits.csv", cast)):
        for movie_id in having.keys() - known:
            report.repair(f"{name} row of no movie ignored", f"{name}: id {movie_id}")
    return without_duplicates(movies, report)


def _movie_id(row: Row) -> int | None:
    return clean.movie_id(next((row.cells[column] for column in _ID_COLUMNS if column in row.cells), ""))


def _movie(row: Row, movie_id: int, report: ReadReport) -> Movie | None:
    cells = row.cells
    mended = partial(report.repair, place=row.place)
    title, original = clean.optional(cells["title"]), clean.optional(cells.get("original_title"))
    if not title:
        if not original:
            return None
        mended("title taken from original_title")
    if row.fault:
        mended(row.fault)
    collection = clean.literal(cells.get("belongs_to_collection", ""), "collection", mended)
    return Movie(
        movie_id=movie_id,
        title=title or original,
        release_date=clean.release_date(cells.get("release_date"), mended),
        vote_average=clean.number(cells.get("vote_average"), 0, 10, "vote_average", mended),
        vote_count=int(clean.number(cells.get("vote_count"), 0, _MOST_VOTES, "vote_count", mended)),
        genres=_names(cells.get("genres", ""), "genres", mended),
        overview=clean.optional(cells.get("overview")),
        original_title=original,
        original_language=clean.optional(cells.get("original_language")),
        countries=_names(cells.get("production_countries", ""), "countries", mended, key="iso_3166_1"),
        collection=clean.optional(collection[0].get("name")) if collection else "",
        imdb_id=clean.imdb_id(cells.get("imdb_id")),
    )


def _names(cell: str, what: str, mended: clean.Mended, *, key: str = "name") -> tuple[str, ...]:
    return clean.names(entry.get(key) for entry in clean.literal(cell, what, mended))


def _keywords(folder: Folder, report: ReadReport) -> dict[int, tuple[str, ...]]:
    found: dict[int, tuple[str, ...]] = {}
    if "keywords.csv" in folder:
        for row in folder.table("keywords.csv", _AN_ID, "keywords"):
            movie_id = _movie_id(row)
            if movie_id is None or row.broken:
                report.repair("keywords.csv row without an id ignored", row.place)
            else:
                mended = partial(report.repair, place=row.place)
                found[movie_id] = _names(row.cells["keywords"], "keywords", mended) or found.get(movie_id, ())
    return found


def _credits(folder: Folder, report: ReadReport) -> tuple[dict[int, tuple[str, ...]], dict[int, tuple[str, ...]]]:
    cast: dict[int, tuple[str, ...]] = {}
    directors: dict[int, tuple[str, ...]] = {}
    if "credits.csv" in folder:
        for row in folder.table("credits.csv", _AN_ID, "cast", "crew"):
            movie_id = _movie_id(row)
            if movie_id is None or row.broken:
                report.repair("credits.csv row without an id ignored", row.place)
                continue
            mended = partial(report.repair, place=row.place)
            actors = clean.literal(row.cells["cast"], "cast", mended)
            actors.sort(key=lambda actor: actor["order"] if isinstance(actor.get("order"), int) else len(actors))
            cast[movie_id] = clean.names(actor.get("name") for actor in actors)[: clean.MOST_CAST]
            crew = clean.literal(row.cells["crew"], "crew", mended)
            directors[movie_id] = clean.names(one.get("name") for one in crew if one.get("job") == "Director")
    return cast, directors
