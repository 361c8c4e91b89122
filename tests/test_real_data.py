"""Real catalogues, faults and all, from the command that builds to the service that answers."""
from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from recsys_api.model import store

from .conftest import ROOT, Service, start, stop


def build(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "scripts/build_model.py", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def service(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """All of the Wikipedia films, served by two workers."""
    models = tmp_path_factory.mktemp("wikipedia")
    built = build("--source", "wikipedia", "--input", shared_data / "wikipedia-movies", "--output", models)
    assert built.returncode == 0, built.stderr
    running = start(models / store.CURRENT, tmp_path_factory.mktemp("metrics"))
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
