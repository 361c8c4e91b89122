"""MovieLens: movies.csv, with ratings.csv, tags.csv and links.csv where they are."""
from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from recsys_api.catalog.movie import Movie
from recsys_api.catalog.readers import clean
from recsys_api.catalog.readers.duplicates import without_duplicates
from recsys_api.catalog.readers.report import UNCLOSED, ReadReport
from recsys_api.catalog.readers.rows import Folder, readable

_MOST_TAGS = 20
_BEST_RATING, _SCALE = 5, 10
_TITLE = re.compile(r"(?P<title>.*?)\s*\((?P<year>\d{4})(?:[-–]\d{0,4})?\)\s*$")
_ALTERNATIVE = re.compile(r"(?P<title>.+?)\s*\((?:a\.k\.a\.\s*)?(?P<other>[^()]+)\)$")
_ARTICLE_LAST = re.compile(
    r"(?P<title>.+), (?P<article>The|A|An|Le|La|Les|L'|Un|Une|Das|Der|Die|Ein|El|Los|Las|Il|Lo|Gli|I|O|Den|Det)$"
)
_NO_GENRES = "(no genres listed)"


def read(path: Path, report: ReadReport, columns: Mapping[str, str]) -> list[Movie]:
    """The movies of a MovieLens folder or zip archive; a movie_id is MovieLens' movieId."""
    folder = Folder(path)
    keywords = _tags(folder, report)
    imdb_ids = _links(folder, report)
    ratings = _ratings(folder)
    movies: list[tuple[Movie, str]] = []
    for row in folder.table("movies.csv", "movieId", "title", "genres"):
        report.read += 1
        mended = partial(report.repair, place=row.place)
        movie_id = clean.movie_id(row.cells["movieId"])
        title, year, original = split_title(clean.text(row.cells["title"]))
        if row.broken:
            report.drop(UNCLOSED, row.place)
        elif row.is_blank:
            report.drop("blank row", row.place)
        elif movie_id is None:
            report.drop("movieId is not a number", row.place)
        elif not title:
            report.drop("no title", row.place)
        else:
            if row.fault:
                mended(row.fault)
            if not year:
                mended("no year in the title")
            genres = () if row.cells["genres"] == _NO_GENRES else clean.names(row.cells["genres"].split("|"))
            average, votes = ratings.get(movie_id, (0.0, 0))
            movie = Movie(
                movie_id, title, clean.release_date(year, mended), average, votes, genres, original_title=original,
                keywords=keywords.get(movie_id, ()), imdb_id=imdb_ids.get(movie_id, ""),
            )  # fmt: skip
            movies.append((movie, row.place))
    return without_duplicates(movies, report)


def split_title(written: str) -> tuple[str, str, str]:
    """Title, year and other title: "City, The (Ville, La) (1995)" is The City, 1995, La Ville."""
    year = other = ""
    if match := _TITLE.fullmatch(written):
        written, year = match["title"], match["year"]
    if match := _ALTERNATIVE.fullmatch(written):
        written, other = match["title"], match["other"]
    return _article_first(written), year, _article_first(other)


def _article_first(title: str) -> str:
    match = _ARTICLE_LAST.fullmatch(title)
    if not match:
        return title
    between = "" if match["article"].endswith("'") else " "
    return match["article"] + between + match["title"]


def _tags(folder: Folder, report: ReadReport) -> dict[int, tuple[str, ...]]:
    used: defaultdict[int, Counter[str]] = defaultdict(Counter)
    if "tags.csv" in folder:
        for row in folder.table("tags.csv", "movieId", "tag"):
            movie_id, tag = clean.movie_id(row.cells["movieId"]), clean.optional(row.cells["tag"]).lower()
            if movie_id is not None and tag and not row.broken:
                used[movie_id][tag] += 1
            else:
                report.repair("tags.csv row without movieId or tag ignored", row.place)
    return {
        movie_id: tuple(sorted(tags, key=lambda tag: (-tags[tag], tag))[:_MOST_TAGS]) for movie_id, tags in used.items()
    }


def _links(folder: Folder, report: ReadReport) -> dict[int, str]:
    found: dict[int, str] = {}
    if "links.csv" in folder:
        for row in folder.table("links.csv", "movieId", "imdbId"):
            movie_id = clean.movie_id(row.cells["movieId"])
            if movie_id is None or row.broken:
                report.repair("links.csv row without movieId ignored", row.place)
            else:
                found[movie_id] = clean.imdb_id(row.cells["imdbId"])
    return found


def _ratings(folder: Folder) -> dict[int, tuple[float, int]]:
    """Each movie's mean rating, on a scale to 10, and how many rated it."""
    if "ratings.csv" not in folder:
        return {}
    import pandas as pd  # noqa: PLC0415 - slow to import, and only needed where there are millions of ratings

    with folder.open("ratings.csv") as file, readable("ratings.csv"):
        ratings = pd.read_csv(file, dtype=str, usecols=["movieId", "rating"], encoding_errors="replace")
    ratings = ratings.apply(pd.to_numeric, errors="coerce")
    ratings = ratings[ratings["rating"].between(0.5, _BEST_RATING)].dropna()
    told = ratings.groupby("movieId")["rating"].agg(["mean", "size"])
    return {
        int(movie_id): (round(mean * _SCALE / _BEST_RATING, 2), int(votes))
        for movie_id, mean, votes in told.itertuples(name=None)
    }
