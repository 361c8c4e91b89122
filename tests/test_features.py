"""From movies to features: a budget shared by field, text of any language, and free text matched against it."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys_api.catalog import Movie
from recsys_api.model.features import Features, fit, spend
from recsys_api.model.fields import FIELDS, MAX_FEATURES
from recsys_api.model.vocabulary import Vocabulary
from recsys_api.model.weights import SHIPPED, Weights
from recsys_api.text import prose

from .conftest import SIX

NAMES = [field.name for field in FIELDS]


def test_weights_and_shares_add_up_to_one() -> None:
    assert sum(field.weight for field in SHIPPED.fields.values()) == pytest.approx(1)
    assert sum(field.share for field in FIELDS) == pytest.approx(1)
    assert set(SHIPPED.fields) == set(NAMES)
    assert sum(field.typical for field in SHIPPED.fields.values()) == pytest.approx(1)
    assert MAX_FEATURES == 20_000


def norms(fitted: Features, name: str) -> np.ndarray:
    start = 0
    for field in FIELDS:
        stop = start + len(fitted.terms[field.name])
        if field.name == name:
            block = fitted.matrix[:, start:stop]
            return np.sqrt(np.asarray(block.multiply(block).sum(axis=1)).ravel())
        start = stop
    raise AssertionError(name)


def test_each_block_is_normalised_to_its_weight() -> None:
    fitted = fit(SIX, weights=Weights(SHIPPED.fields, compensation=0, damping=0))
    assert sum(map(len, fitted.terms.values())) == fitted.matrix.shape[1] == fitted.idf.size
    assert fitted.matrix.dtype == np.float32
    for field in FIELDS:
        of_field = norms(fitted, field.name)
        worth = SHIPPED.fields[field.name]
        if worth.thin:
            assert np.all(of_field < np.sqrt(worth.weight)), field.name
        elif field.name != "collection":
            assert of_field == pytest.approx(np.sqrt(worth.weight)), field.name


def test_of_a_cast_one_known_name_among_five_is_no_more_than_a_fifth() -> None:
    """Names that the budget leaves out still take their share: a star's film with newcomers is not all the star's."""
    stars = [Movie(i, "", cast=("Ann Lee", "Max Stone")) for i in range(40)]
    alone, among_five = (Movie(90 + i, "", cast=("Ann Lee", *(f"New {j}" for j in range(i)))) for i in (0, 4))
    fitted = fit([*stars, alone, among_five], max_features=2)
    assert fitted.terms["cast"] == ["ann lee", "max stone"]
    near = fitted.matrix @ fitted.matrix[[0]].toarray()[0]
    assert near[-1] < near[-2] / 2


def test_the_overview_stands_in_for_keywords_as_far_as_they_are_missing() -> None:
    known = [Movie(i, "", overview=f"word{i % 7} thing{i % 5}", keywords=(f"theme {i % 6}",)) for i in range(40)]
    shares = [0.0, 0.5, 1.0]
    told = [
        fit([replace(movie, keywords=()) if i < share * 40 else movie for i, movie in enumerate(known)]).weights.fields
        for share in shares
    ]
    assert told[0] == SHIPPED.fields
    for share, fields in zip(shares, told, strict=True):
        moved = SHIPPED.stand_in * share * SHIPPED.fields["keywords"].weight
        assert fields["overview"].weight == pytest.approx(SHIPPED.fields["overview"].weight + moved)
        assert sum(field.weight for field in fields.values()) == pytest.approx(1)
        assert sum(field.typical for field in fields.values()) == pytest.approx(1)
    without_any = fit([Movie(i, f"T{i}", cast=("Ann Lee",)) for i in range(3)])
    assert without_any.weights.fields == SHIPPED.fields


def test_of_a_field_that_counts_by_how_much_is_told_a_longer_list_counts_for_more() -> None:
    movies = [Movie(i, f"T{i}", keywords=tuple(f"k{i} {j}" for j in range(i))) for i in range(1, 9)]
    assert np.all(np.diff(norms(fit(movies), "keywords")) > 0)


def test_years_count_by_how_near_they_are() -> None:
    years = [2000, 2001, 2003, 2006, 2011, 2016, 2040]
    rows = fit([Movie(i, "", release_date=str(year)) for i, year in enumerate(years)]).matrix
    near = (rows @ rows.T).toarray()[0]
    assert np.all(np.diff(near[:6]) < 0)
    assert near[6] == 0


def test_people_and_keywords_are_whole_phrases_and_text_is_stemmed() -> None:
    terms = fit(SIX).terms
    assert "paolo conti" in terms["directors"]
    assert "oskar odegard" in terms["directors"]
    assert "old age" in terms["keywords"]
    assert "thiev" in terms["overview"] or "thief" in terms["overview"]
    assert "the" not in terms["overview"]
    assert "science fiction" in terms["genres"]


@pytest.mark.parametrize("overview", ["Two thieves, 1999-2001.", "Zwei Räuber, 1999-2001."])
def test_a_movies_own_year_is_no_word_of_its_overview(overview: str) -> None:
    movies = [Movie(1, "", "1999", overview=overview), Movie(2, "", "2001", overview=overview)]
    fitted = fit(movies)
    place = fitted.terms["overview"].index("1999")
    assert (fitted.matrix[:, [place]].toarray() > 0).ravel().tolist() == [False, True]


def test_words_of_other_scripts_count() -> None:
    movies = [Movie(1, "七人の侍", overview="野武士 農民"), Movie(2, "Жить", overview="чиновник парк")]
    assert {"野武士", "農民", "чиновник"} <= set(fit(movies).terms["overview"])


@given(st.fixed_dictionaries({name: st.integers(0, 30_000) for name in NAMES}), st.integers(1, 30_000))
def test_the_budget_is_spent_whole_and_nobody_gets_more_than_wanted(wanted: dict[str, int], budget: int) -> None:
    granted = spend(wanted, budget)
    assert sum(granted.values()) == min(budget, sum(wanted.values()))
    assert all(granted[name] <= wanted[name] for name in NAMES)


def test_many_words_of_one_field_do_not_push_out_the_people() -> None:
    granted = spend({"overview": 10**6, "cast": 50_000, **dict.fromkeys(set(NAMES) - {"overview", "cast"}, 0)}, 10_000)
    assert granted["cast"] > 2500


def test_the_budget_keeps_the_terms_that_most_movies_share() -> None:
    movies = [Movie(i, f"T{i}", keywords=("common", f"rare {i}")) for i in range(30)]
    kept = fit(movies, max_features=10)
    assert "common" in kept.terms["keywords"]
    assert kept.matrix.shape[1] <= 10


def test_a_catalogue_without_any_text_has_no_features() -> None:
    assert fit([Movie(1, "?"), Movie(2, "!")]).matrix.shape == (2, 0)


def test_prose_drops_stop_words_and_letters_and_keeps_numbers() -> None:
    assert prose("The 7 robots were walking, e.g. to a Café") == ["7", "robot", "walk", "cafe"]


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    fitted = fit(SIX)
    weights = {name: field.weight for name, field in fitted.weights.fields.items()}
    return Vocabulary.from_terms(fitted.terms, fitted.idf, weights)


def terms_of(vocabulary: Vocabulary, text: str) -> set[str]:
    names = [term for terms in fit(SIX).terms.values() for term in terms]
    return {names[column] for column in vocabulary.query(text).features.tolist()}


def test_a_query_finds_stems_whole_phrases_and_surnames(vocabulary: Vocabulary) -> None:
    assert {"robot", "barn"} <= terms_of(vocabulary, "robots hidden in barns")
    assert "old age" in terms_of(vocabulary, "a film about old age")
    assert "paolo conti" in terms_of(vocabulary, "conti")
    assert terms_of(vocabulary, "zzz") == set()


@given(st.text(max_size=100))
def test_any_text_becomes_a_query_of_norm_at_most_one(vocabulary: Vocabulary, text: str) -> None:
    query = vocabulary.query(text)
    assert len(set(query.features.tolist())) == query.features.size == query.weights.size
    assert np.linalg.norm(query.weights / 32768) <= 1
    assert query.scale > 0
