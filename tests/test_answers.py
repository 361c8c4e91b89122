"""What can be asked of recommendations and searches: by HTTP on a real catalogue, and beside a brute-force oracle."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from recsys_api.app import create_app
from recsys_api.catalog import Filters, Movie
from recsys_api.catalog.readers import read
from recsys_api.model import mood
from recsys_api.model.build import build
from recsys_api.model.kernel import WEIGHT_ONE
from recsys_api.model.recommender import Recommender
from recsys_api.model.store import Model
from recsys_api.model.titles import fold_title
from recsys_api.model.variety import MOST_OF_A_SERIES
from recsys_api.settings import Settings
from recsys_api.text import fold

ONE = float(WEIGHT_ONE)


@dataclass(frozen=True, repr=False)
class Oracle:
    """A catalogue with votes, languages and series, and every similarity in it."""

    model: Model
    movies: list[Movie]
    weights: csr_array
    """int64 [N, F]."""

    def similarities(self, row: int) -> Any:
        return (self.weights @ self.weights[row].toarray().ravel()).astype(np.float32) / np.float32(ONE * ONE)

    def multiplier(self, asked: mood.Mood) -> Any:
        votes = np.array([movie.vote_count for movie in self.movies], dtype=np.int32)
        means = np.array([movie.vote_average for movie in self.movies], dtype=np.float32)
        return mood.multipliers(votes, means)[mood.MOODS.index(asked)]

    def best(self, row: int, asked: mood.Mood, meets: Callable[[int], bool]) -> list[int]:
        """Every row that meets what was asked, best first; of namesakes at most a year apart only the best."""
        scores = self.similarities(row) * self.multiplier(asked)
        found: list[int] = []
        years = {fold_title(self.movies[row].title): [self.movies[row].year]}
        for other in sorted(filter(meets, range(len(self.movies))), key=lambda other: (-scores[other], other)):
            of_namesakes = years.setdefault(fold_title(self.movies[other].title), [])
            if all(abs(self.movies[other].year - year) > 1 for year in of_namesakes):
                found.append(other)
                of_namesakes.append(self.movies[other].year)
        return found


@pytest.fixture(scope="module")
def oracle(shared_data: Path) -> Oracle:
    movies, _ = read("kaggle", shared_data / "kaggle-sample")
    model = build(movies, source="kaggle")
    index = model.index
    weights = csr_array(
        (index.row_weights.astype(np.int64), index.row_features, index.row_offsets), shape=index.shape
    )
    return Oracle(model, list(model.catalog), weights)


@pytest.fixture(scope="module")
def recommender(oracle: Oracle) -> Recommender:
    return Recommender(oracle.model)


@pytest.fixture(scope="module")
def client(recommender: Recommender, tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    app = create_app(Settings(metrics_dir=tmp_path_factory.mktemp("metrics")), recommender=recommender)
    return app.test_client()


def get(client: FlaskClient, path: str, status: int = 200, **asked: Any) -> Any:
    response = client.get(path, query_string=asked)
    assert response.status_code == status, response.text
    return response.json


def titled(oracle: Oracle, title: str) -> Movie:
    (movie,) = [movie for movie in oracle.movies if movie.title == title]
    return movie


def ids(movies: list[dict[str, Any]]) -> list[int]:
    return [movie["movie_id"] for movie in movies]


def meets(movie: Movie, asked: Filters) -> bool:
    """The filters, read aloud."""
    genres = {fold(genre) for genre in movie.genres}
    return (
        {fold(genre) for genre in asked.genre} <= genres
        and not {fold(genre) for genre in asked.exclude_genre} & genres
        and (not (asked.year_min or asked.year_max) or movie.year > 0)
        and movie.year >= asked.year_min
        and movie.year <= (asked.year_max or 9999)
        and asked.language in {"", movie.original_language}
        and movie.vote_count >= asked.min_votes
        and np.float32(movie.vote_average) >= np.float32(asked.min_rating)
    )


GENRES = ["Drama", "Comedy", "Romance", "science fiction", "ANIMATION", "Western"]
FILTERS = st.builds(
    Filters,
    genre=st.lists(st.sampled_from(GENRES), max_size=2, unique=True).map(tuple),
    exclude_genre=st.lists(st.sampled_from(GENRES), max_size=2, unique=True).map(tuple),
    year_min=st.sampled_from([0, 1930, 1980, 1994, 1995]),
    year_max=st.sampled_from([0, 1960, 1995, 1996]),
    language=st.sampled_from(["", "", "en", "fr", "ja"]),
    min_votes=st.sampled_from([0, 0, 10, 500]),
    min_rating=st.sampled_from([0.0, 0.0, 6.1, 7.7]),
)


@given(
    row=st.integers(0, 1650), asked=FILTERS, top_k=st.integers(1, 50), lowest=st.sampled_from([0.0, 0.0, 0.08]),
    feeling=st.sampled_from(mood.MOODS),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_filtered_recommendations_equal_a_scan_of_everything(
    oracle: Oracle, recommender: Recommender, row: int, asked: Filters, top_k: int, lowest: float, feeling: mood.Mood
) -> None:
    similarity = oracle.similarities(row)
    wanted = oracle.best(
        row, feeling, lambda other: meets(oracle.movies[other], asked) and similarity[other] >= np.float32(lowest)
    )
    answer = recommender.recommend(
        oracle.movies[row].movie_id, top_k=top_k, min_similarity=lowest, mood=feeling, filters=asked
    )
    assert answer.rows.tolist() == wanted[:top_k]
    assert answer.scores.tolist() == similarity[wanted[:top_k]].tolist()
    if asked != Filters() or len(wanted) < top_k:
        assert answer.matched == len(wanted)


QUERIES = [
    "toy story", "love", "the", "heat 1995", "toy stroy", "robin williams", "dinosaurs on an island", "b", "xyzzy",
]  # fmt: skip


@given(query=st.sampled_from(QUERIES), asked=FILTERS, top_k=st.integers(1, 50))
@settings(max_examples=150, deadline=None)
def test_a_filtered_search_is_the_whole_search_without_what_fails_the_filters(
    oracle: Oracle, recommender: Recommender, query: str, asked: Filters, top_k: int
) -> None:
    everything = recommender.search(query, top_k=len(oracle.movies))
    wanted = [
        (row, score)
        for row, score in zip(everything.rows.tolist(), everything.scores.tolist(), strict=True)
        if meets(oracle.movies[row], asked)
    ]
    answer = recommender.search(query, top_k=top_k, filters=asked)
    assert list(zip(answer.rows.tolist(), answer.scores.tolist(), strict=True)) == wanted[:top_k]
    if asked != Filters():
        assert answer.matched == sum(meets(movie, asked) for movie in oracle.movies)


def test_filters_by_http_are_all_met_and_the_answer_says_how_many_matched(client: FlaskClient, oracle: Oracle) -> None:
    toys = titled(oracle, "Toy Story")
    asked = {
        "genre": ["family", "Comedy"], "exclude_genre": "Animation", "year_min": 1990, "year_max": 1996,
        "language": "en", "min_votes": 100, "min_rating": 5.5, "top_k": 50,
    }  # fmt: skip
    body = get(client, f"/recommendations/{toys.movie_id}", **asked)
    posted = {**asked, "movie_id": toys.movie_id, "exclude_genre": ["Animation"]}
    by_post = client.post("/recommendations", json=posted).json
    wanted = {
        movie.movie_id
        for movie in oracle.movies
        if meets(movie, Filters(("family", "comedy"), ("animation",), 1990, 1996, "en", 100, 5.5))
    }
    assert set(ids(body["recommendations"])) == wanted
    assert body["matched"] == len(wanted) > 3
    assert by_post["recommendations"] == body["recommendations"]
    found = get(client, "/search", query="robin williams", genre="Family", year_max=1995)
    assert "Jumanji" in [movie["title"] for movie in found["results"]]
    assert all("Family" in movie["genres"] and movie["release_date"] < "1996" for movie in found["results"])
    assert found["matched"] >= len(found["results"])


def test_a_request_without_filters_is_not_told_how_many_matched(client: FlaskClient, oracle: Oracle) -> None:
    assert "matched" not in get(client, f"/recommendations/{titled(oracle, 'Toy Story').movie_id}")
    assert "matched" not in get(client, "/search", query="toy story")


def test_popular_takes_genre_year_and_language(client: FlaskClient, oracle: Oracle) -> None:
    whole = get(client, "/movies/popular", top_k=100)
    french = get(client, "/movies/popular", language="fr", genre=["Drama", "Romance"], top_k=100)
    assert french
    assert all(movie["original_language"] == "fr" for movie in french)
    assert all({"Drama", "Romance"} <= set(movie["genres"]) for movie in french)
    of_year = get(client, "/movies/popular", year=1995, top_k=100)
    assert {movie["release_date"][:4] for movie in of_year} == {"1995"}
    kept = [movie_id for movie_id in ids(whole) if movie_id in ids(of_year)]
    assert ids(of_year)[: len(kept)] == kept


@pytest.mark.parametrize(
    ("path", "field", "value", "nearest"),
    [
        ("/recommendations/862", "genre", "Sci-Fi", "Science Fiction"),
        ("/recommendations/862", "exclude_genre", "Comdy", "Comedy"),
        ("/search?query=heat", "genre", "romantic", "Romance"),
        ("/movies/popular", "language", "french", "fr"),
    ],
)
def test_an_unknown_genre_or_language_is_a_422_that_names_the_nearest(
    client: FlaskClient, path: str, field: str, value: str, nearest: str
) -> None:
    problem = client.get(f"{path}{'&' if '?' in path else '?'}{field}={value}")
    assert problem.status_code == 422
    assert problem.json["errors"][0]["loc"] == ["query", field]
    assert repr(value) in problem.json["detail"]
    assert nearest in problem.json["detail"].split("nearest")[1]


def test_an_unknown_genre_in_a_body_is_told_from_a_fault_of_the_service(client: FlaskClient) -> None:
    before = get_metric(client, 'status="error"')
    problem = client.post("/recommendations", json={"movie_id": 862, "genre": ["Nothing"]})
    assert (problem.status_code, problem.json["errors"][0]["loc"]) == (422, ["body", "genre"])
    assert get_metric(client, 'status="error"') == before


@given(
    likes=st.lists(st.integers(0, 1650), min_size=1, max_size=4, unique=True),
    unlikes=st.lists(st.integers(0, 1650), max_size=3, unique=True),
    top_k=st.integers(1, 50), feeling=st.sampled_from(mood.MOODS),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_several_seeds_are_as_near_as_they_are_on_the_whole(
    oracle: Oracle, recommender: Recommender, likes: list[int], unlikes: list[int], top_k: int, feeling: mood.Mood
) -> None:
    def number(row: int) -> int:
        return oracle.movies[row].movie_id

    similarity = np.mean([oracle.similarities(row) for row in likes], axis=0)
    if unlikes:
        similarity -= 0.5 * np.mean([oracle.similarities(row) for row in unlikes], axis=0)
    answer = recommender.recommend(
        *map(number, likes), unlike=list(map(number, unlikes)), top_k=top_k, mood=feeling
    )
    again = recommender.recommend(
        *map(number, reversed(likes)), unlike=list(map(number, reversed(unlikes))), top_k=top_k, mood=feeling
    )
    assert answer is again
    rows = answer.rows.tolist()
    assert not {*likes, *unlikes} & set(rows)
    np.testing.assert_allclose(answer.scores, similarity[rows], atol=0.002)  # weights are whole numbers of 1/32768
    ordered_by = similarity * oracle.multiplier(feeling)
    assert np.all(np.diff(ordered_by[rows]) <= 0.004)
    left_out = [row for row in range(len(oracle.movies)) if row not in {*rows, *likes, *unlikes}]
    assert len(rows) == top_k
    assert ordered_by[left_out].max() <= ordered_by[rows[-1]] + 0.004


def test_liking_one_movie_is_asking_about_it(client: FlaskClient) -> None:
    by_path = get(client, "/recommendations/862", top_k=20)
    liked = get(client, "/recommendations", like=862, top_k=20)
    assert liked["recommendations"] == by_path["recommendations"]
    assert liked["movie_id"] == 862
    both = get(client, "/recommendations/862", like=949)
    posted = client.post("/recommendations", json={"like": [949, 862]}).json
    assert both["recommendations"] == posted["recommendations"]


def test_what_is_unliked_moves_away(client: FlaskClient, oracle: Oracle) -> None:
    liked, unliked = titled(oracle, "Toy Story").movie_id, titled(oracle, "Jumanji").movie_id
    before = ids(get(client, f"/recommendations/{liked}", top_k=50)["recommendations"])
    after = ids(get(client, f"/recommendations/{liked}", unlike=unliked, top_k=50)["recommendations"])
    near = ids(get(client, f"/recommendations/{unliked}", top_k=50)["recommendations"])
    assert unliked not in after
    assert len(set(after) & set(near)) < len(set(before) & set(near))


def test_a_text_is_a_seed_alone_and_beside_movies(client: FlaskClient, oracle: Oracle) -> None:
    body = get(client, "/recommendations", text="dinosaurs on an island", top_k=3)
    assert body["movie_id"] is None
    assert "Jurassic Park" in [movie["title"] for movie in body["recommendations"]]
    toys = titled(oracle, "Toy Story").movie_id
    mixed = get(client, f"/recommendations/{toys}", text="dinosaurs on an island", top_k=10)["recommendations"]
    assert "Jurassic Park" in [movie["title"] for movie in mixed]
    assert toys not in ids(mixed)
    assert all(0 <= movie["similarity"] <= 1 for movie in mixed)


def test_a_text_that_means_nothing_recommends_nothing(client: FlaskClient) -> None:
    body = get(client, "/recommendations", text="qqqq zzzz")
    assert (body["recommendations"], body["matched"]) == ([], 0)


def test_a_title_asks_about_the_movie_that_a_search_finds_first(client: FlaskClient, oracle: Oracle) -> None:
    toys = titled(oracle, "Toy Story").movie_id
    by_path = get(client, f"/recommendations/{toys}")
    for title in ("Toy Story", "toy stroy"):
        body = get(client, "/recommendations", title=title)
        assert (body["movie_id"], body["recommendations"]) == (toys, by_path["recommendations"])
    assert client.post("/recommendations", json={"title": "toy story", "year": 1995}).json["movie_id"] == toys


def test_a_title_that_several_movies_have_is_a_409_with_the_candidates(client: FlaskClient, oracle: Oracle) -> None:
    problem = get(client, "/recommendations", 409, title="Sabrina")
    candidates = problem["candidates"]
    assert {(movie["title"], movie["release_date"][:4]) for movie in candidates} == {
        ("Sabrina", "1954"), ("Sabrina", "1995"),
    }  # fmt: skip
    assert "movie_id" in problem["detail"]
    body = get(client, "/recommendations", title="Sabrina", year=1954)
    assert body["movie_id"] in ids(candidates)
    assert oracle.movies[oracle.model.catalog.row(body["movie_id"])].year == 1954


def test_a_title_that_no_movie_has_is_a_404(client: FlaskClient) -> None:
    before = get_metric(client, 'status="not_found"')
    problem = get(client, "/recommendations", 404, title="xyzzy plugh")
    assert "xyzzy plugh" in problem["detail"]
    assert get_metric(client, 'status="not_found"') != before


@pytest.mark.parametrize(
    "asked",
    [{}, {"unlike": 862}, {"like": 862, "year": 1995}, {"like": "many"}, {"text": " "}, {"title": "x" * 201}],
    ids=lambda asked: "-".join(asked) or "nothing",
)
def test_seeds_that_are_none_are_a_422(client: FlaskClient, asked: dict[str, Any]) -> None:
    get(client, "/recommendations", 422, **asked)
    assert client.post("/recommendations", json={"like": []}).status_code == 422


def test_a_seed_that_is_unknown_is_a_404(client: FlaskClient) -> None:
    get(client, "/recommendations/862", 404, like=10**8)
    get(client, "/recommendations", 404, like=862, unlike=10**8)


def varied(oracle: Oracle, row: int, top_k: int, diversity: float, asked: Filters) -> tuple[list[int], float]:
    """Maximal marginal relevance, spelt out over the candidates that are known to be enough."""
    pool = oracle.best(row, mood.DEFAULT, lambda other: meets(oracle.movies[other], asked))[: max(100, 4 * top_k)]
    score = oracle.similarities(row) * oracle.multiplier(mood.DEFAULT)
    dense = oracle.weights[pool].toarray() / ONE
    pairs = dense @ dense.T
    greatest = max((float(score[other]) for other in pool), default=0) or 1.0
    of_series = oracle.model.franchises[pool]
    chosen: list[int] = []
    while len(chosen) < top_k:
        values = {
            i: (1 - diversity) * float(score[other]) / greatest
            - diversity * max((pairs[i, j] for j in chosen), default=0)
            for i, other in enumerate(pool)
            if i not in chosen and (of_series[i] < 0 or sum(of_series[i] == of_series[j] for j in chosen) < 2)
        }
        if not values:
            break
        chosen.append(max(values, key=lambda i: (round(values[i], 12), -i)))
    alike = [pairs[i, j] for i in chosen for j in chosen if i < j]
    return [pool[i] for i in chosen], 1 - sum(alike) / len(alike) if alike else 1.0


@given(
    row=st.integers(0, 1650), top_k=st.integers(1, 9), diversity=st.sampled_from([0.1, 0.3, 0.5, 0.9, 1.0]),
    asked=st.sampled_from([Filters(), Filters(genre=("Drama",)), Filters(genre=("Horror",), year_min=1990)]),
)  # fmt: skip
@settings(max_examples=10, deadline=None)
def test_diversity_is_maximal_marginal_relevance_with_few_of_a_series(
    oracle: Oracle, recommender: Recommender, row: int, top_k: int, diversity: float, asked: Filters
) -> None:
    wanted, spread = varied(oracle, row, top_k, diversity, asked)
    answer = recommender.recommend(
        oracle.movies[row].movie_id, top_k=top_k, diversity=diversity, filters=asked
    )
    assert answer.rows.tolist() == wanted
    assert answer.variety is not None
    assert answer.variety.spread == pytest.approx(spread, abs=1e-9)


def test_diversity_by_http_lowers_likeness_and_says_by_how_much(client: FlaskClient, oracle: Oracle) -> None:
    trek = titled(oracle, "Star Trek II: The Wrath of Khan").movie_id
    plain = get(client, f"/recommendations/{trek}")
    some, much = (get(client, f"/recommendations/{trek}", diversity=d) for d in (0.05, 0.8))
    assert "intra_list_diversity" not in plain
    assert much["intra_list_diversity"] > some["intra_list_diversity"] > 0.3

    def treks(body: dict[str, Any]) -> int:
        return sum(movie["collection"].startswith("Star Trek") for movie in body["recommendations"])

    assert treks(plain) > treks(some) == MOST_OF_A_SERIES
    assert len(some["recommendations"]) == len(much["recommendations"]) == 10


@given(
    row=st.integers(0, 1650), other=st.integers(0, 1650), unlike=st.lists(st.integers(0, 1650), max_size=1),
    text=st.sampled_from(["", "", "dinosaurs on an island", "robin williams"]), feeling=st.sampled_from(mood.MOODS),
    diversity=st.sampled_from([0.0, 0.4]),
)  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_the_parts_of_a_reason_add_up_to_the_similarity_whatever_was_asked(
    oracle: Oracle, recommender: Recommender,
    row: int, other: int, unlike: list[int], text: str, feeling: mood.Mood, diversity: float,
) -> None:  # fmt: skip
    seeds = [oracle.movies[seed].movie_id for seed in (row, other)]
    unliked = [oracle.movies[seed].movie_id for seed in unlike]
    answer = recommender.recommend(
        *seeds, unlike=unliked, text=text, mood=feeling, diversity=diversity, explain=True
    )
    multiplier = oracle.multiplier(feeling)
    for found, similarity, reason in zip(answer.rows.tolist(), answer.scores.tolist(), answer.reasons, strict=True):
        parts = [term.contribution for field in reason.fields for term in field.terms]
        assert sum(parts) == pytest.approx(similarity, abs=1e-6)
        assert [field.contribution for field in reason.fields] == sorted(
            (sum(term.contribution for term in field.terms) for field in reason.fields), reverse=True
        )
        assert reason.score == pytest.approx(similarity * multiplier[found], rel=1e-6)
        assert reason.multiplier == multiplier[found]
        assert all(part > 0 for part in parts) or unlike


def test_each_part_is_the_product_of_two_weights(oracle: Oracle, recommender: Recommender) -> None:
    row = oracle.model.catalog.row(titled(oracle, "Toy Story").movie_id)
    answer = recommender.recommend(oracle.movies[row].movie_id, explain=True)
    for found, reason in zip(answer.rows.tolist(), answer.reasons, strict=True):
        products = (oracle.weights[row].toarray() * oracle.weights[found].toarray()).ravel() / ONE**2
        parts = [term.contribution for field in reason.fields for term in field.terms]
        assert sorted(parts) == pytest.approx(sorted(products[products > 0].tolist()), abs=1e-12)


def test_an_explanation_by_http_names_fields_and_terms_as_they_are_spelt(client: FlaskClient, oracle: Oracle) -> None:
    toys = titled(oracle, "Toy Story").movie_id
    body = get(client, f"/recommendations/{toys}", explain="true", top_k=50)
    plain = get(client, f"/recommendations/{toys}", top_k=50)
    movies = body["recommendations"]
    explained = [movie.pop("explanation") for movie in movies]
    assert movies == plain["recommendations"]
    for movie, explanation in zip(movies, explained, strict=True):
        parts = [term["contribution"] for field in explanation["fields"] for term in field["terms"]]
        assert sum(parts) == pytest.approx(movie["similarity"], abs=1e-6)
        for field in explanation["fields"]:
            spelt = {term["term"] for term in field["terms"]}
            if field["field"] in {"cast", "directors", "genres", "keywords"}:
                assert spelt <= set(movie[field["field"]])
        assert explanation["place_without_diversity"] is None
    assert any("both Animation, " in explanation["sentence"] for explanation in explained)
    scores = [explanation["score"] for explanation in explained]
    assert scores == sorted(scores, reverse=True)


def test_a_sentence_tells_of_the_story_what_title_genres_and_names_do_not() -> None:
    """An overview that names its stars and its genre is not about them."""
    story = "A science fiction film with Max Stone, in which robots {} on the moon."
    movies = [
        Movie(i, title, genres=("Science Fiction",), cast=("Max Stone",), overview=story.format(verb))
        for i, (title, verb) in enumerate([("Robots", "sing"), ("Iron", "dance"), ("Steel", "weep")])
    ]
    others = [Movie(i, f"Other {i}", genres=("Crime",), overview=f"A bank in town {i}.") for i in range(3, 40)]
    answer = Recommender(build([*movies, *others], source="csv")).recommend(0, top_k=1, explain=True)
    assert "both about moon" in answer.reasons[0].sentence
    assert "both with Max Stone" in answer.reasons[0].sentence
    words = {term.term for field in answer.reasons[0].fields if field.field == "overview" for term in field.terms}
    assert {"Stone", "science", "robots"} <= words


def test_what_diversity_does_is_told_apart(client: FlaskClient, oracle: Oracle) -> None:
    heat = titled(oracle, "Heat").movie_id
    plain = ids(get(client, f"/recommendations/{heat}", top_k=50)["recommendations"])
    body = get(client, f"/recommendations/{heat}", diversity=0.5, explain=1)
    places = [movie["explanation"]["place_without_diversity"] for movie in body["recommendations"]]
    assert places != sorted(places)
    for movie, place in zip(body["recommendations"], places, strict=True):
        assert place > 50 or plain[place - 1] == movie["movie_id"]


def get_metric(client: FlaskClient, label: str) -> list[str]:
    lines = client.get("/metrics").text.splitlines()
    return [line for line in lines if line.startswith("recommendations_generated_total") and label in line]
