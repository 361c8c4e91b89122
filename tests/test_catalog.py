"""Which films exist: row and movie_id, and the JSON that clients get."""
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import repeat

import numpy as np
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


ODD = st.text(max_size=80) | st.sampled_from(
    ['","title":"', '"],"cast":["', "\x00\x1f\t\n", "é漢😀" * 30, "x" * 70_000]
)
ODD_MOVIES = st.builds(Movie, st.just(1), ODD, overview=ODD, cast=st.lists(ODD, max_size=3), imdb_id=ODD)


@given(st.lists(ODD_MOVIES, max_size=4))
def test_movies_are_given_as_they_came_whatever_is_in_them(movies: list[Movie]) -> None:
    movies = [replace(movie, movie_id=i, cast=tuple(movie.cast)) for i, movie in enumerate(movies)]
    catalog = Catalog.from_movies(movies)
    documents = [orjson.dumps(movie) for movie in movies]
    assert [catalog.json(row) for row in range(len(movies))] == documents
    assert catalog.json_list(np.arange(len(movies), dtype=np.int32)) == b"[" + b",".join(documents) + b"]"
    assert list(catalog) == movies


def test_keys_are_not_kept_with_every_movie() -> None:
    catalog = Catalog.from_movies(SIX)
    for row, movie in enumerate(SIX):
        told = catalog.values(row)
        assert movie.overview.encode() in told
        assert not any(f'"{name}"'.encode() in told for name in Movie.__slots__)


SCORED = st.lists(st.tuples(st.integers(0, 5), st.floats(0, 1, width=32)), max_size=8)


@given(SCORED)
def test_a_list_has_each_movie_as_it_is_with_its_similarity(scored: list[tuple[int, float]]) -> None:
    catalog = Catalog.from_movies(SIX)
    rows, scores = (np.array([pair[i] for pair in scored], kind) for i, kind in ((0, np.int32), (1, np.float32)))
    digits = orjson.dumps(scores, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")
    objects = [
        catalog.json(row)[:-1] + b',"similarity":' + score + b"}" for row, score in zip(rows, digits, strict=False)
    ]
    assert catalog.json_list(rows, scores) == b"[" + b",".join(objects) + b"]"


def test_threads_write_lists_of_any_length_at_once() -> None:
    catalog = Catalog.from_movies(Movie(i, "X" * 10**i, "2001") for i in range(6))

    def written(row: int) -> list[str]:
        rows = np.full(3, row, dtype=np.int32)
        return [movie["title"] for movie in orjson.loads(catalog.json_list(rows, np.ones(3, dtype=np.float32)))]

    with ThreadPoolExecutor(6) as pool:
        for row, lists in enumerate(pool.map(lambda row: [written(row) for _ in range(50)], range(6))):
            assert lists == list(repeat(["X" * 10**row] * 3, 50))


def test_genres_are_told_the_most_frequent_first() -> None:
    assert Catalog.from_movies(SIX).genres[0] == "Science Fiction"


@pytest.mark.parametrize(("date", "year"), [("1999-08-06", 1999), ("2001", 2001), ("", 0)])
def test_the_year_of_a_date(date: str, year: int) -> None:
    assert Movie(1, "X", date).year == year
