"""The bundled catalogue: its shape, its vocabularies, and its agreement with what is known elsewhere."""
from __future__ import annotations

import csv
import gzip
import json
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from recsys_api.app import create_app
from recsys_api.catalog import Movie
from recsys_api.catalog.readers import BUNDLED, read
from recsys_api.model.build import build
from recsys_api.model.recommender import Recommender
from recsys_api.settings import Settings
from recsys_api.text import fold

from .conftest import ROOT

GENRES = {
    "Action", "Adventure", "Animation", "Comedy", "Crime", "Documentary", "Drama", "Family", "Fantasy", "History",
    "Horror", "Music", "Mystery", "Romance", "Science Fiction", "Thriller", "War", "Western",
}  # fmt: skip
SHARED_RUN = 8


@pytest.fixture(scope="module")
def bundled() -> list[Movie]:
    movies, report = read("bundled")
    assert (report.kept, report.dropped, report.repaired) == (report.read, {}, {})
    return movies


def test_its_columns_are_facts_and_an_overview_but_no_votes() -> None:
    with BUNDLED.open(encoding="utf-8", newline="") as file:
        assert next(csv.reader(file)) == [
            "movie_id", "title", "original_title", "year", "genres", "directors", "cast", "original_language",
            "countries", "keywords", "overview",
        ]  # fmt: skip


def test_it_spans_the_decades_the_genres_and_the_world(bundled: list[Movie]) -> None:
    assert len(bundled) >= 1000
    decades = Counter(movie.year // 10 * 10 for movie in bundled)
    assert min(decades[decade] for decade in range(1920, 2030, 10)) >= 30
    assert {genre for movie in bundled for genre in movie.genres} == GENRES
    countries = Counter(country for movie in bundled for country in movie.countries)
    assert len(countries) >= 25
    for country in ("VN", "JP", "IN", "KR", "FR", "IR", "NG", "MX", "BR", "SN", "PL", "SE", "IT", "DE", "CN", "AR"):
        assert countries[country] >= 2, country


def test_no_film_is_in_it_twice(bundled: list[Movie]) -> None:
    assert not [film for film, n in Counter((fold(movie.title), movie.year) for movie in bundled).items() if n > 1]
    assert [movie.movie_id for movie in bundled] == list(range(1, len(bundled) + 1))


def test_every_field_is_filled_from_its_vocabulary(bundled: list[Movie]) -> None:
    for movie in bundled:
        assert movie.title, movie
        assert movie.original_title, movie
        assert 1920 <= movie.year <= 2026, movie.title
        assert 1 <= len(movie.genres) <= 4, movie.title
        assert set(movie.genres) <= GENRES, movie.title
        assert movie.directors, movie.title
        assert movie.cast or {"Documentary", "Animation"} & set(movie.genres), movie.title
        assert 5 <= len(movie.keywords) <= 8, movie.title
        assert len({fold(keyword) for keyword in movie.keywords}) == len(movie.keywords), movie.title
        assert re.fullmatch("[a-z]{2}", movie.original_language), movie.title
        assert movie.countries, movie.title
        assert all(re.fullmatch("[A-Z]{2}", country) for country in movie.countries), movie.title


def test_overviews_are_a_sentence_or_two_and_each_its_own(bundled: list[Movie]) -> None:
    for movie in bundled:
        assert 15 <= len(movie.overview.split()) <= 45, movie.title
        assert movie.overview.endswith((".", "!", "?")), movie.title
    openings = Counter(" ".join(fold(movie.overview).split()[:8]) for movie in bundled)
    assert not [opening for opening, n in openings.items() if n > 1]


def test_the_answer_in_the_readme_is_what_the_service_gives(bundled: list[Movie], tmp_path: Path) -> None:
    shown = re.search(
        r"\$ curl 'http://localhost:8000(\S+)'\n```\n```json\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL
    )
    assert shown is not None
    app = create_app(Settings(metrics_dir=tmp_path), recommender=Recommender(build(bundled, source="bundled")))
    answer, told = app.test_client().get(shown[1]).json, json.loads(shown[2])
    assert answer.keys() == told.keys()
    assert answer["recommendations"] == told["recommendations"]


@pytest.fixture(scope="module")
def wikipedia_films(shared_data: Path) -> list[dict[str, Any]]:
    films: list[dict[str, Any]] = []
    for path in sorted((shared_data / "wikipedia-movies").glob("*.json.gz")):
        films.extend(json.loads(gzip.decompress(path.read_bytes())))
    return films


def test_titles_and_years_agree_with_wikipedia(bundled: list[Movie], wikipedia_films: list[dict[str, Any]]) -> None:
    """A film is shared when title and an actor are the same; its year is that of the list or of the article's opening.

    The few that differ are remakes with a common actor and films that were shown years before they were released.
    """
    by_title = defaultdict(list)
    for film in wikipedia_films:
        by_title[fold(film["title"])].append(film)
    shared, differing = 0, []
    for movie in bundled:
        actors = {fold(name) for name in movie.cast}
        same = [film for film in by_title[fold(movie.title)] if actors & {fold(name) for name in film["cast"]}]
        years = {film["year"] for film in same}
        for film in same:
            if stated := re.search(r"\b(?:is|was) an? [^.]*?\b((?:19|20)\d\d)\b", film.get("extract") or ""):
                years.add(int(stated[1]))
        shared += bool(same)
        if same and movie.year not in years:
            differing.append((movie.title, movie.year, years))
    assert shared > 700
    assert len(differing) <= 0.02 * shared, differing


def test_no_overview_repeats_an_article(bundled: list[Movie], wikipedia_films: list[dict[str, Any]]) -> None:
    def runs(text: str) -> set[str]:
        words = fold(text).split()
        return {" ".join(words[i : i + SHARED_RUN]) for i in range(len(words) - SHARED_RUN + 1)}

    ours = {run: movie.title for movie in bundled for run in runs(movie.overview)}
    for film in wikipedia_films:
        common = ours.keys() & runs(film.get("extract") or "")
        assert not common, {ours[run]: run for run in common}
