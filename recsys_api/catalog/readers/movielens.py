"""MovieLens: movies.csv, with tags.csv where it is."""
from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

from recsys_api.catalog.movie import Movie
from recsys_api.catalog.readers import clean
from recsys_api.catalog.readers.duplicates import without_duplicates
from recsys_api.catalog.readers.report import ReadReport
from recsys_api.catalog.readers.rows import Folder

_MOST_TAGS = 20
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
    movies: list[tuple[Movie, str]] = []
    for row in folder.table("movies.csv", "movieId", "title", "genres"):
        report.read += 1
        movie_id = row.cells["movieId"].strip()
        title, year, original = split_title(clean.text(row.cells["title"]))
        if row.is_blank:
            report.drop("blank row", row.place)
        elif not (movie_id.isascii() and movie_id.isdigit()):
            report.drop("movieId is not a number", row.place)
        elif not title:
            report.drop("no title", row.place)
        else:
            if not year:
                report.repair("no year in the title", row.place)
            genres = () if row.cells["genres"] == _NO_GENRES else clean.names(row.cells["genres"].split("|"))
            movie = Movie(
                int(movie_id), title, year, genres=genres, original_title=original,
                keywords=keywords.get(int(movie_id), ()),
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
            movie_id, tag = row.cells["movieId"].strip(), clean.optional(row.cells["tag"]).lower()
            if movie_id.isascii() and movie_id.isdigit() and tag:
                used[int(movie_id)][tag] += 1
            else:
                report.repair("tags.csv row without movieId or tag ignored", row.place)
    return {
        movie_id: tuple(sorted(tags, key=lambda tag: (-tags[tag], tag))[:_MOST_TAGS]) for movie_id, tags in used.items()
    }
