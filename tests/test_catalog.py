"""Which films exist: row and movie_id, and the JSON that clients get."""
from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys_api.catalog import Catalog, Movie
from recsys_api.errors import MovieNotFound

from .conftest import SIX


@given(st.permutations(SIX))
def test_rows_follow_movie_id_whatever_the_order_given(movies: list[Movie]) -> None:
    catalog = Catalog.from_movies(movies)
    assert list(catalog) == list(SIX)
    assert [catalog.row(movie.movie_id) for movie in SIX] == list(range(6))
    assert [catalog.movie(row).movie_id for row in catalog.popular_rows] == [movie.movie_id for movie in movies]


@pytest.mark.parametrize("movie_id", [0, 9, 11, 61, -1, -(2**63), 2**63, 2**80])
def test_an_unknown_id_raises(movie_id: int) -> None:
    with pytest.raises(MovieNotFound):
        Catalog.from_movies(SIX).row(movie_id)


def test_the_json_of_a_movie_has_every_field_of_the_contract() -> None:
    document = orjson.loads(Catalog.from_movies(SIX).json(2))
    assert document["title"] == "Star Boy"
    assert list(document) == list(Movie.__slots__)


def test_genres_are_told_the_most_frequent_first() -> None:
    assert Catalog.from_movies(SIX).genres[0] == "Science Fiction"


@pytest.mark.parametrize(("date", "year"), [("1999-08-06", 1999), ("2001", 2001), ("", 0)])
def test_the_year_of_a_date(date: str, year: int) -> None:
    assert Movie(1, "X", date).year == year
