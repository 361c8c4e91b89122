"""When two rows are one movie, the richer one stays."""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields

from recsys_api.catalog.movie import Movie
from recsys_api.catalog.readers.report import ReadReport

DUPLICATE_ID = "duplicate movie_id"


def without_duplicates(movies: Iterable[tuple[Movie, str]], report: ReadReport) -> list[Movie]:
    """Of the movies of one movie_id the one that says most, at the place of the first; the others are dropped.

    `movies` come with the place of their row, for the report.
    """
    kept: dict[int, tuple[Movie, str]] = {}
    for movie, place in movies:
        before = kept.get(movie.movie_id)
        if before is None:
            kept[movie.movie_id] = movie, place
        elif richness(movie) > richness(before[0]):
            kept[movie.movie_id] = movie, place
            report.drop(DUPLICATE_ID, before[1])
        else:
            report.drop(DUPLICATE_ID, place)
    return [movie for movie, _ in kept.values()]


def richness(movie: Movie) -> tuple[int, int, int]:
    """How much a row says: filled fields, then votes, then words."""
    filled = sum(bool(getattr(movie, field.name)) for field in fields(Movie))
    names = len(movie.cast) + len(movie.keywords) + len(movie.genres) + len(movie.directors)
    return filled, movie.vote_count, len(movie.overview) + names
