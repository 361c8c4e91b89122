"""Ratings in MovieLens form, on the rows of a catalogue."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from recsys_api.catalog import Catalog
from recsys_api.errors import CatalogError

if TYPE_CHECKING:
    import pandas as pd

LIKED = 4.0
"""The lowest rating that is a like."""
_BEST, _WORST = 5.0, 0.5
_TO_TEN = 10.0 / _BEST

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class User(NamedTuple):
    """What one person rated, in the order of time."""

    user: int
    rows: Rows
    ratings: Floats

    @property
    def likes(self) -> Rows:
        """The rows that the person liked."""
        return self.rows[self.ratings >= LIKED]


@dataclass(frozen=True, slots=True)
class Ratings:
    """Who rated what, sorted by user and time; immutable."""

    users: npt.NDArray[np.int64]
    rows: Rows
    values: Floats
    movies: int
    """How many movies the catalogue has."""
    unknown: int = 0
    """How many ratings were left out because the catalogue lacks their movie."""

    def __len__(self) -> int:
        return int(self.users.size)

    def each(self) -> Iterator[User]:
        """Every user, by number."""
        users, starts = np.unique(self.users, return_index=True)
        for user, rows, values in zip(
            users.tolist(), np.split(self.rows, starts[1:]), np.split(self.values, starts[1:]), strict=True
        ):
            yield User(user, rows, values)

    def only(self, mask: npt.NDArray[np.bool_]) -> Ratings:
        """The ratings where `mask` bool [len] is true."""
        return Ratings(self.users[mask], self.rows[mask], self.values[mask], self.movies)

    def with_those_of(self, others: Ratings) -> Ratings:
        """The ratings of these users and of `others`, who are other people."""
        return Ratings(
            np.concatenate([self.users, others.users]), np.concatenate([self.rows, others.rows]),
            np.concatenate([self.values, others.values]), self.movies,
        )  # fmt: skip

    def halves(self, seed: int) -> tuple[Ratings, Ratings]:
        """The ratings of two halves of the users, drawn by `seed`."""
        users = np.unique(self.users)
        first = np.random.default_rng(seed).permutation(users)[: (users.size + 1) // 2]
        mask = np.isin(self.users, first)
        return self.only(mask), self.only(~mask)

    def votes(self) -> tuple[npt.NDArray[np.int64], Floats]:
        """How many rated each movie, int64 [N], and their mean on a scale to 10, 0 where nobody did."""
        counts = np.bincount(self.rows, minlength=self.movies)
        sums = np.bincount(self.rows, weights=self.values, minlength=self.movies) * _TO_TEN
        return counts, sums / np.maximum(counts, 1)


def read(path: Path, catalog: Catalog, *, links: Path | None = None) -> Ratings:
    """The ratings in the CSV file `path` (userId, movieId, rating, timestamp) on the rows of `catalog`.

    With `links` (movieId, imdbId, tmdbId) a rating's movieId is looked up there and its tmdbId is our movie_id, else it
    is our movie_id itself. One without a time counts in the order of the file; of two by one user on one movie the
    later counts. Raises CatalogError where a file is missing or has other columns, or no rating is about a movie of
    the catalogue.
    """
    import pandas as pd  # noqa: PLC0415 - slow to import, and most builds measure nothing

    table = _table(path, ["userId", "movieId", "rating"])
    if "timestamp" not in table:
        table["timestamp"] = np.arange(len(table))
    numbers = table[["userId", "movieId", "rating", "timestamp"]].apply(pd.to_numeric, errors="coerce").dropna()
    numbers = numbers[numbers["rating"].between(_WORST, _BEST)]
    if numbers.empty:
        raise CatalogError(f"{path} holds no rating from {_WORST} to {_BEST:g}.")
    movie_ids = numbers["movieId"].astype(np.int64)
    if links is not None:
        linked = _table(links, ["movieId", "tmdbId"])[["movieId", "tmdbId"]].apply(pd.to_numeric, errors="coerce")
        linked = linked.dropna().astype(np.int64).drop_duplicates("movieId").set_index("movieId")["tmdbId"]
        movie_ids = movie_ids.map(linked)
    places = np.searchsorted(catalog.movie_ids, movie_ids.fillna(-1).astype(np.int64))
    places = np.minimum(places, len(catalog) - 1)
    known = catalog.movie_ids[places] == movie_ids
    if not known.any():
        raise CatalogError(
            f"No rating of {path} is about a movie of the model. If its movieId is MovieLens' and the model's is "
            "TMDB's, give MovieLens' links.csv with --links."
        )
    kept = numbers[known].assign(row=places[known])
    kept = kept.sort_values(["userId", "timestamp", "movieId"], kind="stable").drop_duplicates(
        ["userId", "row"], keep="last"
    )
    return Ratings(
        kept["userId"].to_numpy(np.int64), kept["row"].to_numpy(np.int64), kept["rating"].to_numpy(np.float64),
        len(catalog), int(len(numbers) - known.sum()),
    )  # fmt: skip


def _table(path: Path, columns: list[str]) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415 - see read

    try:
        table = pd.read_csv(path, dtype=str, encoding_errors="replace")
    except (OSError, ValueError) as error:
        raise CatalogError(f"{path} cannot be read as CSV ({error}).") from error
    missing = [column for column in columns if column not in table]
    if missing:
        raise CatalogError(f"{path} has no column {missing[0]!r}; it has {', '.join(map(str, table.columns))}.")
    return table
