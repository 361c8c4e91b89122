"""The movies that the service knows, by row and by movie_id, in memory or mapped from disk."""
from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from recsys_api.catalog.movie import Movie
from recsys_api.catalog.numbering import numbers
from recsys_api.catalog.packed import pack, write_list, write_object
from recsys_api.catalog.widths import Ids, narrow
from recsys_api.errors import CatalogError, MovieNotFound

_LISTS = ("genres", "directors", "cast", "keywords", "countries")
_ENOUGH_VOTES_QUANTILE = 0.9
_READ_AT_ONCE = 256
"""Movies that are read from JSON in one go."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """Movies in rows of ascending movie_id; immutable. What a worker reads is the JSON that clients get, made once."""

    movie_ids: npt.NDArray[np.int64]
    """int64 [N], strictly ascending."""
    years: npt.NDArray[np.int16]
    """int16 [N], 0 where unknown."""
    votes: npt.NDArray[np.int32]
    """int32 [N]: how many people voted, 0 where unknown."""
    ratings: npt.NDArray[np.float32]
    """float32 [N]: mean vote, 0 to 10, 0 where unknown."""
    popular_rows: npt.NDArray[np.int32]
    """int32 [N]: all rows, the most popular first."""
    offsets: npt.NDArray[np.int64]
    """int64 [N + 1]: where each movie's JSON begins in `blob`."""
    blob: npt.NDArray[np.uint8]
    """uint8: each movie's JSON object, packed, one after the other; see packed."""
    genres: tuple[str, ...]
    """All genres, the most frequent first."""
    genre_offsets: npt.NDArray[np.int64]
    """int64 [N + 1]: where each movie's genres begin in `genre_ids`."""
    genre_ids: Ids
    """Each movie's genres, as places in `genres`."""
    genre_row_offsets: npt.NDArray[np.int64]
    """int64 [genres + 1]: where each genre's movies begin in `genre_rows`."""
    genre_rows: Ids
    """Each genre's movies, ascending."""
    languages: tuple[str, ...]
    """All original languages, the most frequent first."""
    language_ids: npt.NDArray[np.int32]
    """int32 [N]: each movie's original language, as a place in `languages`, -1 where unknown."""

    @classmethod
    def from_movies(cls, movies: Iterable[Movie]) -> Catalog:
        """The catalogue of `movies`, whose order says how well known they are where they have no votes.

        Raises CatalogError where two movies have one movie_id.
        """
        found = _Columns()
        for movie in movies:
            found.add(movie)
        movie_ids = np.frombuffer(found.movie_ids, dtype=np.int64)
        order = np.argsort(movie_ids, kind="stable")
        twice = np.flatnonzero(movie_ids[order[1:]] == movie_ids[order[:-1]])
        if twice.size:
            one, other = (orjson.loads(found.document(place))["title"] for place in order[twice[0] : twice[0] + 2])
            raise CatalogError(
                f"Two movies have the movie_id {movie_ids[order[twice[0]]]} ({one!r} and {other!r}); give each its own."
            )
        genres, genre_ids = _most_frequent_first(found.genres, found.genre_numbers)
        genre_ids, genre_offsets = _in_order(genre_ids, np.frombuffer(found.genre_ends, dtype=np.int64), order)
        genre_rows, genre_row_offsets = _rows_of_each(genre_ids, genre_offsets, len(genres))
        languages, language_ids = _most_frequent_first(found.languages, found.language_numbers)
        votes, ratings = np.frombuffer(found.votes, dtype=np.int32), np.frombuffer(found.ratings, dtype=np.float64)
        row_of = np.empty(order.size, dtype=np.int64)
        row_of[order] = np.arange(order.size)
        blob, offsets = pack(found.documents, found.ends, order)
        return cls(
            movie_ids=movie_ids[order],
            years=np.frombuffer(found.years, dtype=np.int16)[order],
            votes=votes[order],
            ratings=ratings[order].astype(np.float32),
            popular_rows=_popularity(votes, ratings, row_of),
            offsets=offsets,
            blob=blob,
            genres=genres,
            genre_offsets=genre_offsets,
            genre_ids=narrow(genre_ids, len(genres)),
            genre_row_offsets=genre_row_offsets,
            genre_rows=narrow(genre_rows, order.size),
            languages=languages,
            language_ids=language_ids[order],
        )

    def __len__(self) -> int:
        return int(self.movie_ids.size)

    def __iter__(self) -> Iterator[Movie]:
        for first in range(0, len(self), _READ_AT_ONCE):
            rows = np.arange(first, min(first + _READ_AT_ONCE, len(self)), dtype=np.int32)
            yield from map(_movie, orjson.loads(self.json_list(rows)))

    def row(self, movie_id: int) -> int:
        """The row of `movie_id`; raises MovieNotFound."""
        movie_ids = self.movie_ids.data  # which gives plain numbers, and one by one the fastest
        row = bisect_left(movie_ids, movie_id)
        if row == len(movie_ids) or movie_ids[row] != movie_id:
            raise MovieNotFound(movie_id)
        return row

    def json(self, row: int) -> bytes:
        """The movie in `row` as the JSON object that clients get."""
        return write_object(self.blob, self.offsets.item(row), self.offsets.item(row + 1))

    def values(self, row: int) -> bytes:
        """All that is told of the movie in `row` as JSON has it, parted by bytes below 0x20: to look for letters."""
        return self.blob[self.offsets.item(row) : self.offsets.item(row + 1)].tobytes()

    def json_list(self, rows: npt.NDArray[np.int32], scores: npt.NDArray[np.float32] | None = None) -> bytes:
        """The movies in `rows` as a JSON list of such objects, each with its similarity where there are `scores`."""
        return write_list(self.blob, self.offsets, rows, scores) if rows.size else b"[]"

    def genres_of(self, row: int) -> list[str]:
        """The genres of the movie in `row`."""
        first, last = self.genre_offsets.item(row), self.genre_offsets.item(row + 1)
        return [self.genres[i] for i in self.genre_ids[first:last].tolist()]

    def rows_of_genre(self, genre_id: int) -> Ids:
        """The rows of the movies of a genre, given by its place in `genres`, ascending."""
        return self.genre_rows[self.genre_row_offsets[genre_id] : self.genre_row_offsets[genre_id + 1]]

    def movie(self, row: int) -> Movie:
        """The movie in `row`."""
        return _movie(orjson.loads(self.json(row)))


def _movie(fields: dict[str, Any]) -> Movie:
    for name in _LISTS:
        fields[name] = tuple(fields[name])
    return Movie(**fields)


class _Columns:
    """Movies as they come, in little memory: the JSON of each, and what is asked of all."""

    def __init__(self) -> None:
        self.movie_ids, self.years, self.votes, self.ratings = array("q"), array("h"), array("i"), array("d")
        self.genres, self.languages = numbers(), numbers()
        self.genre_numbers, self.genre_ends, self.language_numbers = array("i"), array("q", [0]), array("i")
        self.ends = array("q", [0])
        self.documents = bytearray()
        """The JSON of each, one after the other."""

    def add(self, movie: Movie) -> None:
        """The next movie."""
        self.movie_ids.append(movie.movie_id)
        self.years.append(movie.year)
        self.votes.append(movie.vote_count)
        self.ratings.append(movie.vote_average)
        self.genre_numbers.extend(map(self.genres.__getitem__, movie.genres))
        self.genre_ends.append(len(self.genre_numbers))
        self.language_numbers.append(self.languages[movie.original_language] if movie.original_language else -1)
        self.documents += orjson.dumps(movie)
        self.ends.append(len(self.documents))

    def document(self, place: int) -> memoryview:
        """The JSON of one movie, by its place among those that came."""
        return memoryview(self.documents)[self.ends[place] : self.ends[place + 1]]


def _most_frequent_first(
    names: Mapping[str, int], numbers_said: array[int]
) -> tuple[tuple[str, ...], npt.NDArray[np.int32]]:
    """The `names` in that order, and of each of the `numbers_said` its place among them, -1 for no name."""
    said = np.frombuffer(numbers_said, dtype=np.int32)
    counts = np.bincount(said[said >= 0], minlength=len(names)).tolist()
    ordered = sorted(names, key=lambda name: (-counts[names[name]], name))
    place_of = np.full(len(names) + 1, -1, dtype=np.int32)  # the last one is that of -1
    place_of[[names[name] for name in ordered]] = np.arange(len(ordered), dtype=np.int32)
    return tuple(ordered), place_of[said]


def _in_order(
    values: npt.NDArray[np.int32], ends: npt.NDArray[np.int64], order: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Lists, one after the other in `values`, in another `order`, and where each begins there."""
    sizes = np.diff(ends)[order]
    offsets = np.append(0, np.cumsum(sizes)).astype(np.int64)
    return values[np.arange(values.size) + np.repeat(ends[order] - offsets[:-1], sizes)], offsets


def _rows_of_each(
    genre_ids: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64], genres: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """The rows of each genre, ascending and each once, and where those of each genre begin."""
    rows = np.repeat(np.arange(offsets.size - 1, dtype=np.int32), np.diff(offsets))
    order = np.lexsort((rows, genre_ids))
    rows, of_genre = rows[order], genre_ids[order]
    once = np.append(True, (rows[1:] != rows[:-1]) | (of_genre[1:] != of_genre[:-1]))[: rows.size]
    return rows[once], np.searchsorted(of_genre[once], np.arange(genres + 1)).astype(np.int64)


def _popularity(
    votes: npt.NDArray[np.int32], ratings: npt.NDArray[np.float64], rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.int32]:
    """The rows in order of IMDb's weighted rating, or as given where nobody voted.

    weighted = v / (v + m) * R + m / (v + m) * C, with v the movie's votes and R their mean, C the mean vote of the
    catalogue and m the votes that nine in ten movies do not reach (help.imdb.com, "weighted average ratings").
    """
    voted = (votes > 0) & (ratings > 0)
    if not voted.any():
        return rows.astype(np.int32)
    mean = ratings[voted].mean()
    enough = max(np.quantile(votes[voted], _ENOUGH_VOTES_QUANTILE), 1.0)
    weighted = np.where(voted, (votes * ratings + enough * mean) / (votes + enough), 0.0)
    return rows[np.argsort(-weighted, kind="stable")].astype(np.int32)
