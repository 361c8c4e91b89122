"""Real catalogues, faults and all, from the command that builds to the service that answers."""
from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from recsys_api.catalog import Filters
from recsys_api.model import store
from recsys_api.model.kernel import ALONE, WEIGHT_ONE
from recsys_api.model.recommender import Recommender

from .conftest import ROOT, Service, start, stop
from .test_answers import meets


def build(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "scripts/build_model.py", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def wikipedia(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of all of the Wikipedia films."""
    models = tmp_path_factory.mktemp("wikipedia")
    built = build("--source", "wikipedia", "--input", shared_data / "wikipedia-movies", "--output", models)
    assert built.returncode == 0, built.stderr
    return models / store.CURRENT


@pytest.fixture(scope="module")
def service(wikipedia: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """All of the Wikipedia films, served by two workers."""
    running = start(wikipedia, tmp_path_factory.mktemp("metrics"))
    yield running
    stop(running)


def search(service: Service, query: str) -> list[dict[str, object]]:
    return list(service.get("/search", params={"query": query}).json()["results"])


def similar(service: Service, query: str, top_k: int = 10) -> list[object]:
    movie_id = search(service, query)[0]["movie_id"]
    answer = service.get(f"/recommendations/{movie_id}?top_k={top_k}").json()
    return [movie["title"] for movie in answer["recommendations"]]


@pytest.mark.parametrize("query", ["toy story", "Toy Stroy", "TOY STORY 1995"])
def test_toy_story_is_found(service: Service, query: str) -> None:
    first = search(service, query)[0]
    assert (first["title"], str(first["release_date"])[:4]) == ("Toy Story", "1995")


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("toy story", "Toy Story 2"),
        ("the godfather", "The Godfather Part II"),
        ("the matrix", "The Matrix Reloaded"),
        ("halloween 1978", "Halloween II"),
        ("rocky", "Rocky II"),
    ],
)
def test_what_everybody_expects_is_among_the_first_three(service: Service, query: str, wanted: str) -> None:
    assert wanted in similar(service, query, 3)


def test_where_no_film_has_keywords_its_story_counts_for_more_than_its_stars(service: Service) -> None:
    """Of a catalogue without keywords: the voices of a cartoon are in dramas of its year, too."""
    movie_id = search(service, "puss in boots the last wish")[0]["movie_id"]
    found = service.get(f"/recommendations/{movie_id}").json()["recommendations"]
    assert found[0]["title"] == "Puss in Boots"
    assert sum("Animation" in movie["genres"] for movie in found) >= 5


FILTERS = [
    Filters(genre=("science fiction",), year_min=1950),
    Filters(genre=("drama", "crime"), exclude_genre=("Noir",), year_max=1960),
    Filters(exclude_genre=("Drama", "Comedy", "Silent", "Western")),
    Filters(genre=("Found Footage",)),
]


def test_filtered_answers_on_a_large_catalogue_equal_a_scan_of_everything(wikipedia: Path) -> None:
    model = store.load(wikipedia)
    recommender, movies = Recommender(model), list(model.catalog)
    weights = csr_array(
        (model.index.row_weights.astype(np.int64), model.index.row_features, model.index.row_offsets),
        shape=model.index.shape,
    )
    for asked in FILTERS:
        kept = [meets(movie, asked) for movie in movies]
        for row in range(0, len(movies), 9000):
            exact = (weights @ weights[row].toarray().ravel()).astype(np.float32) / np.float32(WEIGHT_ONE**2)
            wanted, copies = [], {int(model.copies[row])} - {ALONE}
            for other in np.argsort(-exact, kind="stable").tolist():
                if other != row and kept[other] and model.copies[other] not in copies:
                    wanted.append(other)
                    copies |= {int(model.copies[other])} - {ALONE}
            answer = recommender.recommend(movies[row].movie_id, top_k=50, filters=asked)
            assert answer.rows.tolist() == wanted[:50]
            assert answer.scores.tolist() == exact[wanted[:50]].tolist()
            assert answer.matched == len(wanted)


def test_content_is_found_by_description(service: Service) -> None:
    titles = [movie["title"] for movie in search(service, "christmas comedy burglars boy left alone")]
    assert titles[0] == "Home Alone"


def test_a_filter_on_a_large_catalogue_still_fills_the_list(service: Service) -> None:
    movie_id = search(service, "toy story")[0]["movie_id"]
    answer = service.get(f"/recommendations/{movie_id}?top_k=50&exclude_same_year=true").json()
    assert len(answer["recommendations"]) == 50
    assert all(movie["release_date"][:4] != "1995" for movie in answer["recommendations"])


@pytest.mark.parametrize("sample", ["kaggle-sample", "kaggle-sample-tmdb-id"])
def test_every_row_of_a_kaggle_sample_is_accounted_for(shared_data: Path, tmp_path: Path, sample: str) -> None:
    built = build("--source", "kaggle", "--input", shared_data / sample, "--output", tmp_path)
    assert built.returncode == 0, built.stderr
    line = re.compile(r"^(?P<what>(?:rows read|kept|dropped: .*?)) +(?P<rows>[\d,]+)(?:  |$)", re.MULTILINE)
    counts = {match["what"]: int(match["rows"].replace(",", "")) for match in line.finditer(built.stdout)}
    dropped = sum(rows for what, rows in counts.items() if what.startswith("dropped"))
    assert counts["rows read"] == counts["kept"] + dropped > 900
    assert len(store.load(tmp_path / store.CURRENT).catalog) == counts["kept"]


def test_strict_refuses_what_has_to_drop_a_row(shared_data: Path, tmp_path: Path) -> None:
    built = build("--source", "kaggle", "--input", shared_data / "kaggle-sample", "--output", tmp_path, "--strict")
    assert built.returncode == 1
    assert "--strict allows none" in built.stderr
    assert list(tmp_path.iterdir()) == []


def test_movielens_and_parquet_build_too(shared_data: Path, tmp_path: Path) -> None:
    built = build("--source", "movielens", "--input", shared_data / "movielens-small", "--output", tmp_path)
    assert built.returncode == 0, built.stderr
    (table,) = (shared_data / "tmdb-top-rated").rglob("*.parquet")
    built = build("--source", "parquet", "--input", table, "--output", tmp_path)
    assert built.returncode == 0, built.stderr
