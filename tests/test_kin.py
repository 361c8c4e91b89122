"""Which movies are one twice, and which are of one series."""
from __future__ import annotations

from dataclasses import replace

import pytest

from recsys_api.catalog import Movie
from recsys_api.model.build import build
from recsys_api.model.recommender import Recommender

from .conftest import SIX

PLOT = (
    "A lighthouse keeper on a barren island finds a stranded whale, quarrels with fishermen about its oil, and at last "
    "paints the whole harbour white to lure the herd away from hunters."
)


def groups(*movies: Movie) -> tuple[list[int], list[int]]:
    """The copies and the franchises among `movies`, after the six."""
    model = build([*SIX, *movies], source="kin")
    return model.copies[6:].tolist(), model.franchises[6:].tolist()


@pytest.mark.parametrize(
    ("title", "date", "are_copies"),
    [
        ("The Harbour", "1980", True),
        ("Harbour!", "1981-05-01", True),
        ("The Harbour", "1982", False),
        ("Harbours", "1980", False),
        ("The Harbour", "", False),
    ],
)
def test_copies_have_the_same_folded_title_and_years_at_most_one_apart(
    title: str, date: str, are_copies: bool
) -> None:
    copies, _ = groups(Movie(70, "The Harbour", "1980"), Movie(80, title, date))
    assert (copies == [6, 6]) is are_copies
    assert are_copies or copies == [-1, -1]


def test_copies_are_movies_of_almost_the_same_text() -> None:
    near, far = PLOT + " Later.", PLOT.split(",", maxsplit=1)[0]
    copies, _ = groups(
        Movie(70, "White", "1980", overview=PLOT), Movie(80, "Bianco", "1990", overview=near),
        Movie(90, "Blanc", "2000", overview=far),
    )  # fmt: skip
    assert copies == [6, 6, -1]


def test_a_list_has_no_copy_of_its_movie_and_no_two_copies_of_another() -> None:
    twins = [Movie(70, "White", "1980", overview=PLOT), Movie(80, "Bianco", "1990", overview=PLOT)]
    remade = replace(SIX[1], movie_id=90, release_date="2002")
    recommender = Recommender(build([*SIX, *twins, remade], source="twins"))

    def ids(movie_id: int, **asked: float) -> list[int]:
        return [recommender.catalog.movie(row).movie_id for row in recommender.recommend(movie_id, **asked).rows]

    assert 80 not in ids(70)
    assert len(ids(70)) == 6
    for asked in ({}, {"min_similarity": 0.001}, {"top_k": 50}):
        assert len({20, 90} & set(ids(10, **asked))) == 1
    answer = recommender.recommend(10, unlike=[50])
    assert answer.matched == len(answer.rows) > 1


@pytest.mark.parametrize(
    ("first", "second", "are_series"),
    [
        (Movie(70, "The Harbour"), Movie(80, "The Harbour II"), True),
        (Movie(70, "The Harbour", "1950"), Movie(80, "The Harbour", "2010"), True),
        (Movie(70, "Harbour: Dawn"), Movie(80, "Harbour - Part 3"), True),
        (Movie(70, "Dawn", collection="Harbours"), Movie(80, "Dusk", collection="Harbours"), True),
        (Movie(70, "Harbour", collection="Harbours"), Movie(80, "Harbour 2"), True),
        (Movie(70, "Harbour", collection="Harbours"), Movie(80, "Harbour 2", collection="Others"), False),
        (Movie(70, "Harbour Lights"), Movie(80, "Harbour Nights"), False),
        (Movie(70, "1984"), Movie(80, "12"), False),
    ],
)
def test_a_series_is_a_collection_or_titles_that_differ_by_a_number_or_a_subtitle(
    first: Movie, second: Movie, are_series: bool
) -> None:
    _, franchises = groups(first, second)
    assert (franchises == [6, 6]) is are_series
    assert are_series or franchises == [-1, -1]
