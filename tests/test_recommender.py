"""The one door: what it recommends and finds, with filters that never shorten a list without need."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_api.cache import Cache
from recsys_api.catalog import Movie
from recsys_api.errors import CatalogError, MovieNotFound
from recsys_api.model import mood
from recsys_api.model.build import build
from recsys_api.model.recommender import Recommender
from recsys_api.model.search import CONTENT_CEILING
from recsys_api.model.similar import Answer, Lookup
from recsys_api.model.titles import TYPO

from .conftest import SIX

MANY = tuple(
    Movie(
        1000 + i, f"Film {i}", str(1950 + i % 7), genres=("Drama",) if i % 2 else ("Comedy", "Drama"),
        keywords=tuple(f"theme {i % n}" for n in (3, 5, 7, 11)),
        overview=f"Somebody number{i % 13} meets number{i % 17}.",
    )
    for i in range(150)
)  # fmt: skip


@pytest.fixture(scope="module")
def many() -> Recommender:
    """150 movies with a table of only five neighbours each, so that filters soon need the live kernel."""
    return Recommender(build(MANY, source="many", neighbours=5))


@pytest.fixture(scope="module")
def voted() -> Recommender:
    """The same with votes, a fifth of them none."""
    return Recommender(build(VOTED, source="voted", neighbours=5))


@pytest.fixture(scope="module")
def whole() -> Recommender:
    """The same with a table of all pairs."""
    return Recommender(build(MANY, source="many", neighbours=len(MANY)))


def ids(recommender: Recommender, answer: Answer) -> list[int]:
    return [recommender.catalog.movie(row).movie_id for row in answer.rows.tolist()]


def test_a_reader_can_predict_the_six(six: Recommender) -> None:
    assert ids(six, six.recommend(10))[:2] == [20, 30]
    assert ids(six, six.recommend(40))[0] == 50
    assert ids(six, six.recommend(60, min_similarity=0.3)) == []


def test_a_movie_is_never_its_own_neighbour_and_scores_fall(many: Recommender) -> None:
    for movie in MANY[::10]:
        answer = many.recommend(movie.movie_id, top_k=50)
        assert movie.movie_id not in ids(many, answer)
        assert len(answer.rows) == 50
        assert np.all(np.diff(answer.scores) <= 0)
        assert 0 <= answer.scores.min() <= answer.scores.max() <= 1


@given(
    movie=st.sampled_from(MANY),
    top_k=st.integers(1, 50),
    min_similarity=st.floats(0, 1),
    exclude_same_year=st.booleans(),
)
@settings(max_examples=200)
def test_filters_answer_as_a_scan_of_everything_would(
    many: Recommender, whole: Recommender, movie: Movie, top_k: int, min_similarity: float, exclude_same_year: bool
) -> None:
    everything = whole.recommend(movie.movie_id, top_k=len(MANY))
    wanted = [
        (row, score)
        for row, score in zip(everything.rows.tolist(), everything.scores.tolist(), strict=True)
        if score >= np.float32(min_similarity) and not (exclude_same_year and MANY[row].year == movie.year)
    ][:top_k]
    answer = many.recommend(
        movie.movie_id, top_k=top_k, min_similarity=min_similarity, exclude_same_year=exclude_same_year
    )
    assert list(zip(answer.rows.tolist(), answer.scores.tolist(), strict=True)) == wanted


VOTED = tuple(
    replace(movie, vote_count=(i * 7919) % 5000 * (i % 5 > 0), vote_average=5 + i % 5) for i, movie in enumerate(MANY)
)


@given(
    movie=st.sampled_from(VOTED),
    top_k=st.integers(1, 50),
    min_similarity=st.floats(0, 0.6),
    exclude_same_year=st.booleans(),
    asked=st.sampled_from(mood.MOODS),
)
@settings(max_examples=200)
def test_a_mood_orders_by_similarity_times_its_multiplier_and_changes_no_similarity(
    voted: Recommender, whole: Recommender,
    movie: Movie, top_k: int, min_similarity: float, exclude_same_year: bool, asked: mood.Mood,
) -> None:  # fmt: skip
    everything = whole.recommend(movie.movie_id, top_k=len(MANY))
    similarity = dict(zip(everything.rows.tolist(), everything.scores.tolist(), strict=True))
    votes = np.array([other.vote_count for other in VOTED], dtype=np.int32)
    means = np.array([other.vote_average for other in VOTED], dtype=np.float32)
    multiplier = mood.multipliers(votes, means)[mood.MOODS.index(asked)]
    wanted = sorted(
        (
            row for row, score in similarity.items()
            if score >= np.float32(min_similarity) and not (exclude_same_year and VOTED[row].year == movie.year)
        ),
        key=lambda row: (-(np.float32(similarity[row]) * multiplier[row]), row),
    )[:top_k]  # fmt: skip
    answer = voted.recommend(
        movie.movie_id, top_k=top_k, min_similarity=min_similarity, exclude_same_year=exclude_same_year, mood=asked
    )
    assert answer.rows.tolist() == wanted
    assert answer.scores.tolist() == [similarity[row] for row in wanted]


def test_popular_brings_what_many_voted_on_deep_cuts_what_few_did(voted: Recommender) -> None:
    def votes(asked: mood.Mood) -> int:
        answers = [voted.recommend(movie.movie_id, mood=asked).rows for movie in VOTED]
        return sum(VOTED[row].vote_count for rows in answers for row in rows.tolist())

    assert votes("popular") > votes("balanced") > votes("deep_cuts")


def test_without_votes_every_mood_gives_the_same(six: Recommender) -> None:
    assert not six.knows_moods
    assert ids(six, six.recommend(10, mood="popular")) == ids(six, six.recommend(10, mood="deep_cuts"))


def test_each_reason_is_one_plain_sentence(six: Recommender) -> None:
    def sentences(*movie_ids: int, text: str = "") -> dict[int, str]:
        answer = six.recommend(*movie_ids, text=text, explain=True)
        return dict(zip(ids(six, answer), [reason.sentence for reason in answer.reasons], strict=True))

    assert sentences(10)[20] == "both with Max Stone; same director Ann Lee; both about robot and boy"
    assert sentences(10)[30] == "both with Ida Brook; both from 1999; both about boy"
    assert sentences(60)[20] == "two years apart"
    assert sentences(60)[40] == "nothing in common that the model knows of"
    assert sentences(10, 40)[50].startswith("with Gina Rossi; directed by Paolo Conti; about heist")
    assert sentences(text="odegard") == {30: "directed by Oskar Ødegård"}
    assert six.recommend(10).reasons == ()


def test_an_unknown_movie_raises_and_never_enters_the_cache(six: Recommender) -> None:
    cache = Cache[Lookup, Answer](10)
    recommender = Recommender(build(SIX, source="six"), cache=cache)
    for movie_id in (0, 11, -1, 2**70):
        with pytest.raises(MovieNotFound, match="search"):
            recommender.recommend(movie_id)
    assert cache.currsize == 0
    recommender.recommend(10)
    assert cache.currsize == 1


def test_a_batch_answers_each_movie_once_and_names_the_unknown(six: Recommender) -> None:
    answers, unknown = six.recommend_many([10, 999, 40, 10], top_k=2)
    assert list(answers) == [10, 40]
    assert list(unknown) == [999]
    np.testing.assert_array_equal(answers[10].rows, six.recommend(10, top_k=2).rows)


def test_a_movie_about_which_nothing_is_known_is_answered(six: Recommender) -> None:
    recommender = Recommender(build([*SIX, Movie(70, "?")], source="seven"))
    assert len(recommender.recommend(70).rows) == 6
    assert recommender.recommend(70).scores.max() == 0


def test_search_puts_titles_before_content_and_nothing_twice(six: Recommender) -> None:
    answer = six.search("heist")
    assert set(ids(six, answer)[:2]) == {40, 50}
    assert answer.scores.min() > 0
    by_content = six.search("four thieves in milan")
    assert ids(six, by_content)[0] == 40
    assert by_content.scores.max() <= np.float32(CONTENT_CEILING) < TYPO


@given(st.text(max_size=80), st.integers(1, 10))
def test_any_search_is_answered_in_order(six: Recommender, query: str, top_k: int) -> None:
    answer = six.search(query, top_k=top_k)
    assert len(set(answer.rows.tolist())) == len(answer.rows) <= top_k
    assert np.all(np.diff(answer.scores) <= 0)
    assert np.all((answer.scores > 0) & (answer.scores <= 1))


def test_search_finds_people_and_themes_by_name_and_by_a_part_of_it(six: Recommender) -> None:
    assert set(ids(six, six.search("gina rossi"))[:2]) == {40, 50}
    assert ids(six, six.search("duval"))[0] == 60
    assert ids(six, six.search("old age"))[0] == 50


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("the last heist gina rossi", 50),
        ("rossi midnight heist", 40),
        ("iron robot 1999 ann lee", 10),
        ("film village wedding with jean petit", 60),
    ],
)
def test_a_title_within_a_query_comes_first_where_the_rest_fits(six: Recommender, query: str, first: int) -> None:
    assert ids(six, six.search(query))[0] == first


def test_a_title_within_a_query_is_no_hit_where_nothing_else_fits(six: Recommender) -> None:
    assert six.search("star boy zzzz qqqq xxxx").scores.max(initial=0) < 0.8


@pytest.mark.parametrize(("query", "movies"), [("degard", {30}), ("odegrad", {30}), ("rossy", {40, 50})])
def test_a_mistyped_name_is_found(six: Recommender, query: str, movies: set[int]) -> None:
    assert set(ids(six, six.search(query, top_k=len(movies)))) == movies


def test_popular_follows_votes_shrunk_to_the_mean_or_else_the_catalogue() -> None:
    in_order = Recommender(build(SIX, source="six"))
    assert in_order.popular().tolist() == [0, 1, 2, 3, 4, 5]
    votes = [(8.0, 1000), (9.5, 2), (6.0, 900), (8.5, 1200), (0.0, 0), (7.0, 1000)]
    voted = [replace(movie, vote_average=r, vote_count=v) for movie, (r, v) in zip(SIX, votes, strict=True)]
    order = ids(in_order, Answer(Recommender(build(voted, source="voted")).popular(), np.zeros(6, np.float32)))
    assert order == [40, 10, 20, 60, 30, 50]


def test_random_is_distinct_repeats_for_a_seed_and_reaches_all(six: Recommender) -> None:
    assert sorted(six.random(count=50).tolist()) == [0, 1, 2, 3, 4, 5]
    assert six.random(count=3, seed=5).tolist() == six.random(count=3, seed=5).tolist()
    assert len({tuple(six.random(count=3, seed=seed).tolist()) for seed in range(20)}) > 1


def test_stats_describe_the_model(six: Recommender) -> None:
    assert six.stats.total_movies == 6
    assert six.stats.matrix_shape == (6, six.stats.vocabulary_size)
    assert six.stats.source == "six"


def test_a_model_needs_two_movies_and_distinct_ids() -> None:
    with pytest.raises(CatalogError, match="at least two"):
        build(SIX[:1], source="one")
    with pytest.raises(CatalogError, match="movie_id 10"):
        build([*SIX, SIX[0]], source="twice")
