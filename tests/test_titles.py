"""A title is found however a person types it, the better match first."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from rapidfuzz.distance import OSA

from recsys_api.model.titles import ALL_WORDS, EXACT, TYPO, TitleIndex, fold_title
from recsys_api.text import fold

FILMS = (
    (("Heat", "Heat"), 1995),
    (("Heat", "Heat"), 1986),
    (("The Heat", "The Heat"), 2013),
    (("In the Heat of the Night", "In the Heat of the Night"), 1967),
    (("Heathers", "Heathers"), 1989),
    (("Rocky II", "Rocky II"), 1979),
    (("Seven Samurai", "七人の侍"), 1954),
    (("Ångström & Łódź", "Ångström & Łódź"), 2001),
    (("Blade Runner 2049", "Blade Runner 2049"), 2017),
    (("1917", "1917"), 2019),
    (("Amélie", "Le Fabuleux Destin d'Amélie Poulain"), 2001),
)


@pytest.fixture(scope="module")
def index() -> TitleIndex:
    return TitleIndex.build(
        [names for names, _ in FILMS],
        years=np.array([year for _, year in FILMS], dtype=np.int16),
        popular_rows=np.arange(len(FILMS), dtype=np.int32),
    )


def found(index: TitleIndex, query: str, k: int = 10) -> list[tuple[str, int]]:
    return [(FILMS[hit.row][0][0], FILMS[hit.row][1]) for hit in index.search(query, k)]


def test_exact_before_word_prefix_before_prefix_before_words(index: TitleIndex) -> None:
    titles = [title for title, _ in found(index, "heat")]
    assert titles == ["Heat", "Heat", "The Heat", "Heathers", "In the Heat of the Night"]


def test_equal_titles_come_in_the_order_of_popularity(index: TitleIndex) -> None:
    assert found(index, "heat")[:2] == [("Heat", 1995), ("Heat", 1986)]


@pytest.mark.parametrize("query", ["heat 1986", "Heat (1986)", "HEAT  1986 "])
def test_a_year_at_the_end_chooses_among_equal_titles(index: TitleIndex, query: str) -> None:
    assert found(index, query)[0] == ("Heat", 1986)


def test_a_number_that_is_part_of_the_title_is_not_taken_for_a_year(index: TitleIndex) -> None:
    assert found(index, "blade runner 2049")[0] == ("Blade Runner 2049", 2017)
    assert found(index, "1917")[0] == ("1917", 2019)


@pytest.mark.parametrize(
    ("query", "title"),
    [
        ("angstrom and lodz", "Ångström & Łódź"),
        ("rocky 2", "Rocky II"),
        ("rocky two", "Rocky II"),
        ("7 samurai", "Seven Samurai"),
        ("samurai seven", "Seven Samurai"),
        ("七人の侍", "Seven Samurai"),
        ("fabuleux destin", "Amélie"),
        ("night heat", "In the Heat of the Night"),
        ("sevne samurai", "Seven Samurai"),
        ("blad runner", "Blade Runner 2049"),
        ("heatherz", "Heathers"),
        ("amelei", "Amélie"),
    ],
)
def test_accents_numerals_word_order_and_typos_are_forgiven(index: TitleIndex, query: str, title: str) -> None:
    assert found(index, query)[0][0] == title


def test_scores_fall_and_stay_between_the_tiers(index: TitleIndex) -> None:
    scores = [hit.score for hit in index.search("heat", 10)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == EXACT
    (typo,) = index.search("heatherz", 10)
    assert TYPO <= typo.score < 0.8


@pytest.mark.parametrize("query", ["", " ", "!?", "zzzzqqqq", "x" * 200])
def test_what_names_no_title_finds_none(index: TitleIndex, query: str) -> None:
    assert index.search(query, 10) == []


@given(st.text(max_size=60))
def test_any_text_is_answered(index: TitleIndex, query: str) -> None:
    hits = index.search(query, 5)
    assert len(hits) <= 5
    assert len({hit.row for hit in hits}) == len(hits)
    assert all(0 < hit.score <= 1 for hit in hits)


@given(st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=30), st.data())
def test_every_title_is_found_by_itself(titles: list[str], data: st.DataObject) -> None:
    index = TitleIndex.build(
        [(title,) for title in titles],
        years=np.zeros(len(titles), dtype=np.int16),
        popular_rows=np.arange(len(titles), dtype=np.int32),
    )
    wanted = data.draw(st.sampled_from(titles))
    assume(fold_title(wanted))
    same = {row for row, title in enumerate(titles) if fold_title(title) == fold_title(wanted)}
    assert {hit.row for hit in index.search(wanted, len(titles)) if hit.score == EXACT} >= same


@given(st.text(max_size=40))
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text(st.characters(max_codepoint=127), max_size=40))
def test_plain_letters_fold_in_whatever_company_they_are(text: str) -> None:
    assert fold(f"{text} é").split() == [*fold(text).split(), "e"]


@given(st.lists(st.text("abc ", min_size=12, max_size=30), min_size=1, max_size=8, unique=True), st.data())
def test_the_likeness_of_a_mistyped_title_is_that_of_its_edits(titles: list[str], data: st.DataObject) -> None:
    folded = [fold_title(title) for title in titles]
    assume(all(len(title) >= 12 and fold_title(title) == title for title in folded))
    title = data.draw(st.sampled_from(folded))
    place = data.draw(st.integers(1, len(title) - 3))
    swapped = title[:place] + title[place + 1] + title[place] + title[place + 2 :]
    longer, shorter = title[:place] + "z" + title[place:], title[:place] + title[place + 1 :]
    query = data.draw(st.sampled_from([swapped, longer, shorter]))
    assume(fold_title(query) == query)
    index = TitleIndex.build(
        [(title,) for title in folded],
        years=np.zeros(len(folded), dtype=np.int16),
        popular_rows=np.arange(len(folded), dtype=np.int32),
    )
    hits = index.search(query, len(folded))
    assert hits
    for row, score in hits:
        if score < ALL_WORDS:
            edits = OSA.distance(query, folded[row])
            whole = 1 - edits / max(len(query), len(folded[row])) if edits <= min(len(query) // 4, 4) else 0.0
            begun = 0.9 * (1 - min(OSA.distance(query, folded[row][:size]) for size in _near(query)) / len(query))
            assert score == pytest.approx(TYPO + 0.25 * (whole or begun))


def _near(query: str) -> range:
    return range(len(query) - 1, len(query) + 2)


def test_of_mistyped_titles_that_begin_alike_the_one_with_the_right_end_is_found() -> None:
    beginning = "the assassination of jesse james by the coward robert ford and what came of it"
    titles = (beginning, f"{beginning} part 2", f"{beginning} in the end")
    index = TitleIndex.build(
        [(title,) for title in titles],
        years=np.zeros(3, dtype=np.int16),
        popular_rows=np.arange(3, dtype=np.int32),
    )
    for row, title in enumerate(titles):
        assert index.search(title.replace("jesse", "jsese"), 1)[0].row == row
    assert not index.search(beginning.replace("jesse", "jsese") + " and a hundred words of something else", 1)


_WORDS = st.lists(st.sampled_from("the a ii v x two heat rocky".split()), max_size=6)


@given(st.lists(_WORDS, min_size=1, max_size=20), _WORDS)
def test_a_title_within_a_query_is_one_that_is_found_alone(titles: list[list[str]], words: list[str]) -> None:
    index = TitleIndex.build(
        [(" ".join(title),) for title in titles],
        years=np.zeros(len(titles), dtype=np.int16),
        popular_rows=np.arange(len(titles), dtype=np.int32),
    )
    alone = {}
    for start in range(len(words)):
        for stop in range(start + 1, len(words) + 1):
            hits = index.search(" ".join(words[start:stop]), len(titles))
            rows = [hit.row for hit in hits if hit.score == EXACT]
            if rows and stop - start < len(words):
                alone[start, stop] = rows
    assert {(start, stop): rows for start, stop, rows in index.titled_within(words)} == alone


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("heat pacino", [("heat", [0, 1, 2])]),
        ("the heat pacino", [("the heat", [0, 1, 2]), ("heat", [0, 1, 2])]),
        ("rocky ii stallone", [("rocky ii", [5])]),
        ("rocky two stallone", [("rocky two", [5])]),
        ("seven samurai kurosawa", [("seven samurai", [6])]),
        ("kurosawa", []),
        ("", []),
    ],
)
def test_titles_within_a_query_are_found_the_longest_first(
    index: TitleIndex, query: str, titles: list[tuple[str, list[int]]]
) -> None:
    words = query.split()
    assert [(" ".join(words[start:stop]), rows) for start, stop, rows in index.titled_within(words)] == titles
