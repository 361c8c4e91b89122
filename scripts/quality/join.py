"""One catalogue out of several sources: films of TMDB with what MovieLens and Wikipedia know of them."""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from recsys_api.catalog import Movie
from recsys_api.catalog.readers import clean, read
from recsys_api.errors import CatalogError
from recsys_api.text import fold

_OVERVIEW_TIMES, _KEYWORD_TIMES = 3, 2


def joined(tags: Path, movielens: Path) -> list[Movie]:
    """The films of the Parquet file `tags` that MovieLens' links.csv in the folder `movielens` knows.

    `tags` (movie_id, title, tags) gives overview, cast and keywords, MovieLens year, genres and original title; a
    movie_id is TMDB's. Raises CatalogError.
    """
    linked = _linked(movielens)
    movies = [_with(movie, linked[movie.movie_id]) for movie in films_of_tags(tags) if movie.movie_id in linked]
    if not movies:
        raise CatalogError(f"No film of {tags} is in the links.csv of {movielens}.")
    return movies


def with_directors(movies: Iterable[Movie], wikipedia: Path) -> list[Movie]:
    """The movies with the directors that wikipedia-movie-data in the folder `wikipedia` names; raises CatalogError.

    They are those of the article of the same title and nearly the same year, and with some of the same people.
    """
    by_title: defaultdict[str, list[Movie]] = defaultdict(list)
    for article in read("wikipedia", wikipedia)[0]:
        by_title[_key(article.title)].append(article)
    found = []
    for movie in movies:
        same = [article for article in by_title[_key(movie.title)] if _are_one(movie, article)]
        nearest = min(same, key=lambda article: abs(article.year - movie.year), default=None)
        found.append(movie if nearest is None else replace(movie, directors=nearest.directors))
    return found


def of_wikipedia(wikipedia: Path, movielens: Path) -> list[Movie]:
    """The films of wikipedia-movie-data that MovieLens has, too, under MovieLens' movie_id; raises CatalogError.

    They are those of the same title and nearly the same year.
    """
    by_title: defaultdict[str, list[Movie]] = defaultdict(list)
    for article in read("wikipedia", wikipedia)[0]:
        by_title[_key(article.title)].append(article)
    found: dict[int, Movie] = {}
    for film in read("movielens", movielens)[0]:
        same = [article for article in by_title[_key(film.title)] if abs(article.year - film.year) <= 1]
        nearest = min(same, key=lambda article: abs(article.year - film.year), default=None)
        if nearest is not None:
            found.setdefault(nearest.movie_id, replace(nearest, movie_id=film.movie_id))
    return list(found.values())


def films_of_tags(path: Path) -> list[Movie]:
    """The films of a Parquet file whose column `tags` is the overview three times, the cast, the keywords twice."""
    try:
        table = pd.read_parquet(path, columns=["movie_id", "title", "tags"])
    except (OSError, ValueError) as error:
        raise CatalogError(f"{path} is not a Parquet file with movie_id, title and tags ({error}).") from error
    movies = []
    for movie_id, title, tags in table.itertuples(index=False, name=None):
        overview, cast, keywords = taken_apart(str(tags).split())
        movies.append(
            Movie(int(movie_id), clean.text(title), overview=" ".join(overview), cast=cast, keywords=keywords)
        )
    return movies


def taken_apart(tokens: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Overview, cast and keywords: the longest beginning that comes three times, the longest end that comes twice, and
    what is between them.
    """
    overview = _longest_repeated(tokens, _OVERVIEW_TIMES)
    rest = tokens[len(overview) * _OVERVIEW_TIMES :]
    backwards = _longest_repeated(rest[::-1], _KEYWORD_TIMES)
    cast = rest[: len(rest) - len(backwards) * _KEYWORD_TIMES]
    return tuple(overview), tuple(cast), tuple(backwards[::-1])


def _longest_repeated(tokens: Sequence[str], times: int) -> Sequence[str]:
    for length in range(len(tokens) // times, 0, -1):
        if all(tokens[:length] == tokens[length * i : length * (i + 1)] for i in range(1, times)):
            return tokens[:length]
    return ()


def _linked(folder: Path) -> Mapping[int, Movie]:
    """MovieLens' films by TMDB's id."""
    try:
        links = pd.read_csv(folder / "links.csv", usecols=["movieId", "tmdbId"]).dropna().astype("int64")
    except (OSError, ValueError) as error:
        raise CatalogError(f"{folder / 'links.csv'} cannot be read ({error}).") from error
    films = {movie.movie_id: movie for movie in read("movielens", folder)[0]}
    by_tmdb: dict[int, Movie] = {}
    for movie_id, tmdb_id in links.itertuples(index=False, name=None):
        if movie_id in films:
            by_tmdb.setdefault(tmdb_id, films[movie_id])
    return by_tmdb


def _with(movie: Movie, film: Movie) -> Movie:
    return replace(
        movie, release_date=film.release_date, genres=film.genres, original_title=film.original_title,
        imdb_id=film.imdb_id,
    )  # fmt: skip


def _key(title: str) -> str:
    return fold(title).removeprefix("the ")


def _are_one(movie: Movie, article: Movie) -> bool:
    people = {_together(name) for name in movie.cast}, {_together(name) for name in article.cast}
    return abs(movie.year - article.year) <= 1 and (not all(people) or bool(people[0] & people[1]))


def _together(name: str) -> str:
    return fold(name).replace(" ", "")
