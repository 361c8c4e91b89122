"""Numbers of rows, features and titles are kept as narrow as they fit, and no answer depends on how wide they are."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array

from recsys_api.catalog import Filters
from recsys_api.catalog.widths import narrow
from recsys_api.model.build import build
from recsys_api.model.kernel import SimilarityIndex, Table
from recsys_api.model.recommender import Recommender
from recsys_api.model.similar import Answer
from recsys_api.model.store import Model
from recsys_api.model.titles import TitleIndex

from .conftest import SIX

ASKED = {
    "all of the table, which copies leave unfilled": lambda model: model.recommend(10, top_k=50),
    "another year": lambda model: model.recommend(10, top_k=2, exclude_same_year=True, min_similarity=0.01),
    "a filter": lambda model: model.recommend(10, filters=Filters(exclude_genre=("Crime",))),
    "several and words": lambda model: model.recommend(10, 40, unlike=(60,), text="pilot"),
    "variety, with reasons": lambda model: model.recommend(10, top_k=3, diversity=0.7, explain=True),
    "a title": lambda model: model.search("star"),
    "a mistyped title": lambda model: model.search("villagge weding"),
    "content": lambda model: model.search("cow vet"),
    "content and a filter": lambda model: model.search("families vet", filters=Filters(genre=("Comedy",))),
}


@pytest.fixture(scope="module")
def model() -> Model:
    return build([*SIX, replace(SIX[1], movie_id=90, release_date="2002")], source="seven")


@pytest.mark.parametrize(("count", "dtype"), [(1, np.uint16), (65_535, np.uint16), (65_536, np.int32)])
def test_sixteen_bits_where_they_have_room_for_every_number_and_one_more(count: int, dtype: type) -> None:
    ids = np.array([0, count - 1], dtype=np.int64)
    assert narrow(ids, count).dtype == dtype
    assert narrow(ids, count).tolist() == ids.tolist()


@pytest.mark.parametrize("asked", ASKED)
def test_numbers_of_32_bits_give_the_answers_of_those_of_16(model: Model, asked: str) -> None:
    narrow_answer, wide_answer = (ASKED[asked](Recommender(each)) for each in (model, widened(model)))
    assert narrow_answer.rows.size
    assert plain(wide_answer) == plain(narrow_answer)


def widened(model: Model) -> Model:
    """`model` as if its catalogue, its features and its titles were many."""
    index = {name: getattr(model.index, name) for name in SimilarityIndex.__slots__ if name != "_scratch"}
    for name in ("rows", "row_features"):
        index[name] = index[name].astype(np.int32)
    titles = model.titles.arrays._asdict()
    for name in ("word_entries", "trigram_entries"):
        titles[name] = titles[name].astype(np.int32)
    return replace(
        model,
        index=SimilarityIndex.from_arrays(**index),
        neighbours=Table(model.neighbours.rows.astype(np.int32), model.neighbours.scores),
        titles=TitleIndex.from_arrays(**titles),
    )


def plain(answer: Answer) -> tuple[object, ...]:
    variety = answer.variety and (answer.variety.places.tolist(), answer.variety.spread)
    return answer.rows.tolist(), answer.scores.tolist(), answer.matched, variety, answer.reasons


def test_rows_beyond_16_bits_are_found() -> None:
    dense = np.zeros((70_000, 3))
    dense[[5, 65_535, 65_541, 69_999], 0] = 0.5, 0.25, 1, 0.75
    index = SimilarityIndex.from_matrix(csr_array(dense))
    query = index.features_of(65_541)
    for found in (index.top_k(*query, 3, excluded=65_541), index.matching(*query, 4)):
        assert [row for row in found.rows.tolist() if row != 65_541] == [69_999, 5, 65_535]
