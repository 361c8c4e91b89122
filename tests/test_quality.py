"""Offline quality: the metrics are those of a known library, nothing is learned from what is asked, and it is fair."""
from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recsys_api.catalog import Catalog, Movie
from recsys_api.errors import CatalogError
from recsys_api.model import store
from recsys_api.model.build import build
from recsys_api.model.weights import FILE, SHIPPED, Weights
from scripts import build_model, evaluate, join_catalogue
from scripts.quality import evaluation, gate, halves, join, learn, metrics, missing, paper, protocols, ratings

MOST_RATED = 500


@pytest.fixture(autouse=True)
def signals_as_they_were() -> Iterator[None]:
    """build_model.py takes SIGTERM to itself; the tests give it back."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="module")
def films(shared_data: Path) -> list[Movie]:
    """The films of TMDB that MovieLens knows."""
    found = join.joined(shared_data / "tmdb-top-rated/processed_movies.parquet", shared_data / "movielens-small")
    return sorted(found, key=lambda movie: movie.movie_id)


@pytest.fixture(scope="module")
def rated(films: list[Movie], shared_data: Path) -> ratings.Ratings:
    folder = shared_data / "movielens-small"
    return ratings.read(folder / "ratings.csv", Catalog.from_movies(films), links=folder / "links.csv")


@pytest.fixture(scope="module")
def few(films: list[Movie], rated: ratings.Ratings) -> list[Movie]:
    """Those that most people rated."""
    return [films[row] for row in np.sort(np.argsort(-rated.votes()[0], kind="stable")[:MOST_RATED])]


RANX = """
import json, sys
from ranx import Qrels, Run, evaluate
told = json.load(sys.stdin)
print(json.dumps({k: float(v) for k, v in evaluate(Qrels(told["qrels"]), Run(told["run"]), told["metrics"]).items()}))
"""


def test_the_metrics_are_those_of_ranx() -> None:
    """In a process of its own without numba, which compiles ranx for a minute and is needed compiled by the kernel."""
    generator = np.random.default_rng(0)
    lists = np.array([generator.permutation(300)[: metrics.DEPTH] for _ in range(40)])
    relevant = [generator.choice(300, size=generator.integers(1, 30), replace=False) for _ in range(40)]
    names = {"ndcg@10": "ndcg@10", "recall@20": "recall@20", "mrr": "mrr@100", "hit rate@10": "hit_rate@10"}
    told = {
        "qrels": {f"q{i}": {str(row): 1 for row in rows} for i, rows in enumerate(relevant)},
        "run": {f"q{i}": {str(row): -float(place) for place, row in enumerate(rows)} for i, rows in enumerate(lists)},
        "metrics": list(names.values()),
    }
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RANX],
        input=json.dumps(told), env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    theirs = json.loads(ran.stdout.splitlines()[-1])
    for name, values in metrics.per_list(lists, relevant).items():
        assert values.mean() == pytest.approx(theirs[names[name]]), name


def test_coverage_gini_and_intervals() -> None:
    assert metrics.coverage(np.array([3, 0, 1, 0])) == 0.5
    assert metrics.gini(np.array([2, 2, 2, 2])) == pytest.approx(0)
    assert metrics.gini(np.array([0, 0, 0, 8])) == pytest.approx(0.75)
    interval = metrics.mean(np.arange(100.0))
    assert interval.low < interval.value == 49.5 < interval.high
    assert metrics.ratio(np.full(9, 3.0), np.full(9, 2.0)) == pytest.approx((1.5, 1.5, 1.5))


def test_what_is_asked_is_never_shown_before(rated: ratings.Ratings) -> None:
    cases = protocols.next_likes(rated)
    past = {user.user: set(user.rows.tolist()) for user in protocols.past(rated).each()}
    assert len(cases) > 200
    for case in cases:
        assert not set(case.relevant.tolist()) & (set(case.seeds.tolist()) | set(case.hidden.tolist()))
        assert set(case.seeds.tolist()) <= set(case.hidden.tolist()) == past[case.who]
    for is_hidden, asked in protocols.cold(rated, seed=0):
        for case in asked:
            assert is_hidden[case.relevant].all()
            assert not is_hidden[case.seeds].any()


def test_halves_share_nobody_and_depend_on_the_seed_alone(rated: ratings.Ratings) -> None:
    first, second = rated.halves(0)
    assert not set(first.users) & set(second.users)
    assert len(first) + len(second) == len(rated)
    assert np.array_equal(first.users, rated.halves(0)[0].users)


def test_overview_cast_and_keywords_are_taken_out_of_the_tags() -> None:
    overview, cast, keywords = ("a", "man", "robs", "a", "bank"), ("janedoe", "johnroe"), ("heist", "bank")
    assert join.taken_apart([*overview * 3, *cast, *keywords * 2]) == (overview, cast, keywords)
    assert join.taken_apart([*overview * 3, *cast]) == (overview, cast, ())
    assert join.taken_apart([]) == ((), (), ())


def test_ratings_of_another_catalogue_are_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    catalog = Catalog.from_movies([Movie(1, "A"), Movie(2, "B")])
    path.write_text("userId,movieId,rating,timestamp\n1,99,4,1\n")
    with pytest.raises(CatalogError, match="--links"):
        ratings.read(path, catalog)
    path.write_text("userId,movie,rating\n1,99,4\n")
    with pytest.raises(CatalogError, match="no column 'movieId'; it has userId, movie, rating"):
        ratings.read(path, catalog)


def test_a_model_is_evaluated_on_ratings(
    few: list[Movie], shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = store.save(build(few, source="csv", neighbours=10), tmp_path)
    shared = shared_data / "movielens-small"
    told = tmp_path / "told.json"
    status = evaluate.main(
        ["--ratings", str(shared / "ratings.csv"), "--links", str(shared / "links.csv"), "--model", str(folder),
         "--json", str(told), "--plots", str(tmp_path / "plots")]
    )  # fmt: skip
    printed = capsys.readouterr().out
    assert status == 0
    assert "The model has no votes, so that moods change nothing." in printed
    drawn = {path.name: path.read_bytes() for path in (tmp_path / "plots").iterdir()}
    assert set(drawn) == {"next-likes.png", "item-to-item.png", "cold-films.png", "coverage.png", "popularity.png"}
    assert all(content.startswith(b"\x89PNG") for content in drawn.values())
    asked = json.loads(told.read_text())["asked"]
    assert set(asked) == {"next likes", "item to item", "cold films"}
    systems = asked["next likes"]["systems"]
    assert set(systems) == {"one soup", "similarity alone", "random", "popularity", "item-kNN", "EASE"}
    for figures in systems.values():
        assert all(one["low"] <= one["value"] <= one["high"] for one in figures.values())
    assert systems["EASE"]["ndcg@10"]["value"] > systems["random"]["ndcg@10"]["high"]
    assert asked["cold films"]["systems"]["similarity alone"]["ndcg@10"]["low"] > (
        asked["cold films"]["systems"]["popularity"]["ndcg@10"]["high"]
    )


def test_a_model_that_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(["--ratings", "none.csv", "--model", str(tmp_path / "none")]) == 1
    assert "There is no model at" in capsys.readouterr().err


def test_what_is_learned_finds_the_field_that_likes_follow() -> None:
    """People who like by keyword alone, on films whose other fields say nothing, give the keywords the weight."""
    movies = [
        Movie(i, f"T{i}", overview=f"word{i % 7} thing{i % 5}", keywords=(f"theme {i % 6}", f"motive {i % 6}"))
        for i in range(60)
    ]
    users = np.repeat(np.arange(30), 8)
    rows = np.concatenate([np.arange(user % 6, 60, 6)[:8] for user in range(30)])
    likes = ratings.Ratings(users, rows.astype(np.int64), np.full(users.size, 5.0), 60)
    near = learn.similarities(learn.fields_alone(movies, dict.fromkeys(SHIPPED.fields, 0.0)))
    weights = learn.learn(near, likes)
    assert sum(weights.values()) == pytest.approx(1)
    assert max(weights, key=lambda name: weights[name]) == "keywords"


def test_the_weights_file_is_what_is_written_and_read(rated: ratings.Ratings, tmp_path: Path) -> None:
    path = tmp_path / "weights.toml"
    path.write_text(paper.weights_file(SHIPPED, movies=10, rated=rated), "utf-8")
    again = Weights.read(path)
    assert again == SHIPPED
    assert FILE.read_text("utf-8").splitlines()[3:] == path.read_text("utf-8").splitlines()[3:]
    assert {name: SHIPPED.fields[name].weight for name in halves.BY_HAND} == halves.BY_HAND


@pytest.mark.parametrize("name", missing.FIELDS)
def test_a_missing_field_neither_raises_nor_lowers_similarities_unfairly(few: list[Movie], name: str) -> None:
    """Films that lose a field stay among the nearest of others about as often, and about as near to their own."""
    fair = missing.taken_away(few, name)
    unfair = missing.taken_away(few, name, weights=replace(SHIPPED, compensation=0.0))
    assert 0.7 < fair.exposure < 1.3
    assert 0.8 < fair.similarity < 1.2
    assert fair.similarity > unfair.similarity


def test_only_a_model_that_meets_what_is_required_is_published(
    films: list[Movie], shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The ratings of some people count as votes, those of others measure; what is refused leaves nothing behind."""
    folder = shared_data / "movielens-small"
    catalogue, models = tmp_path / "films.csv", tmp_path / "models"
    tags = shared_data / "tmdb-top-rated/processed_movies.parquet"
    joined = ["--tags", str(tags), "--movielens", str(folder), "--output", str(catalogue)]
    assert join_catalogue.main(joined) == 0
    lines = (folder / "ratings.csv").read_text().splitlines()
    for name, half in (("some.csv", 1), ("others.csv", 0)):
        rows = [line for line in lines[1:] if int(line.partition(",")[0]) // 2 % 2 == half]
        (tmp_path / name).write_text("\n".join([lines[0], *rows]))
    command = [
        "--source", "csv", "--input", str(catalogue), "--output", str(models), "--neighbours", "10", "--quiet",
        "--votes", str(tmp_path / "some.csv"), "--ratings", str(tmp_path / "others.csv"),
        "--links", str(folder / "links.csv"),
    ]  # fmt: skip
    assert build_model.main([*command, "--require", "ndcg@10>=0.9"]) == 1
    assert "not published: ndcg@10 is 0." in capsys.readouterr().err
    assert not models.exists()
    assert build_model.main([*command, "--require", "ndcg@10>=0.06", "--require", "coverage@10>0.12"]) == 0
    published = (models / store.CURRENT).resolve()
    model = store.load(published)
    assert model.multipliers.size
    assert model.card["read"] == {"rows_read": len(films), "rows_dropped": 0}
    assert all(model.card["self_checks"].values())
    assert model.card["fields"]["directors"]["movies_with_it"] == 0
    assert model.card["fields"]["year"]["movies_with_it"] > 0.99
    figure = model.card["evaluation"]["ndcg@10"]
    assert figure["value"] >= 0.06
    assert figure["low"] < figure["value"] < figure["high"]
    assert build_model.main([*command, "--against", str(published)]) == 0
    assert "churn      0.000 of the first ten neighbours" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        build_model.main([*command, "--require", "beauty>1"])
    assert "'beauty>1' is not a requirement such as ndcg@10>=0.09; there are ndcg@10," in capsys.readouterr().err


def test_a_model_with_other_neighbours_has_churn(few: list[Movie]) -> None:
    model = build(few[:200], source="csv", neighbours=10)
    other = build([replace(movie, keywords=(), genres=()) for movie in few[:200]], source="csv", neighbours=10)
    assert gate.churn(model, model) == 0
    assert 0.1 < gate.churn(model, other) < 1


def test_a_model_that_changes_more_lists_than_allowed_is_not_published(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The churn against the model in use can be bounded, without ratings; without a model to compare it cannot."""
    catalogue, models = tmp_path / "films.csv", tmp_path / "models"
    films = [f"{i},Film {i},{'robot war' if i % 3 else 'wedding cow'} {'night' if i % 2 else 'day'}" for i in range(60)]
    others = [f"{i},Film {i},{'robot war' if i % 5 else 'wedding cow'} {'sea' if i % 7 else 'day'}" for i in range(60)]
    command = ["--source", "csv", "--input", str(catalogue), "--output", str(models), "--quiet"]
    bounded = [*command, "--against", str(models / store.CURRENT), "--require", "churn<=0.3"]
    catalogue.write_text("\n".join(["movie_id,title,overview", *films]))
    assert build_model.main(command) == 0
    assert build_model.main(bounded) == 0
    published = (models / store.CURRENT).resolve()
    catalogue.write_text("\n".join(["movie_id,title,overview", *others]))
    capsys.readouterr()
    assert build_model.main(bounded) == 1
    assert re.search(r"not published: churn is 0\.\d{4}, and churn<=0\.3 is required\.", capsys.readouterr().err)
    assert (models / store.CURRENT).resolve() == published
    with pytest.raises(SystemExit):
        build_model.main([*command, "--require", "churn<=0.3"])
    assert "--require churn needs --against: the model to compare" in capsys.readouterr().err


def test_where_keywords_are_missing_likes_follow_the_overview(films: list[Movie], rated: ratings.Ratings) -> None:
    """The weight that goes to the overview of a catalogue without keywords makes its recommendations better."""
    without = [replace(movie, keywords=()) for movie in films]
    near, before = (
        evaluation.next_likes(halves.subject(without, replace(SHIPPED, stand_in=part), rated), rated).figures
        for part in (SHIPPED.stand_in, 0.0)
    )
    alone, balanced = evaluation.SIMILARITY, "balanced"
    assert near[alone]["ndcg@10"].value > 1.05 * before[alone]["ndcg@10"].value
    assert near[balanced]["ndcg@10"].value > 0.97 * before[balanced]["ndcg@10"].value
