"""wikipedia-movie-data: JSON lists of films by decade, with the opening of each film's article."""
from __future__ import annotations

import gzip
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from recsys_api.catalog.movie import Movie
from recsys_api.catalog.readers import clean
from recsys_api.catalog.readers.duplicates import DUPLICATE_ID, richness
from recsys_api.catalog.readers.report import ReadReport
from recsys_api.catalog.readers.rows import readable
from recsys_api.errors import CatalogError
from recsys_api.text import fold

_GENRES = {"Animated": "Animation", "Historical": "History", "Sport": "Sports"}
_PARENTHESES = re.compile(r"\s*\([^()]*\)?|[()\[\]]")
_SCRAPS = frozenset(
    {"and", "voices", "voices of", "voice of", "voice", "narrator", "nominee", "director", "the", "with", "cast",
     "screenplay", "jr", "sr"}
)
# Footnote marks, links to other Wikipedias and style sheets that got into titles with the text of a table's cell.
_MARKUP = re.compile(r"(?<=\S)\s*\[\w{1,3}\]$|\s*\.mw-parser-output[^{}]*\{[^{}]*\}")
_QUALIFIER = re.compile(r"_\([^()]*\)$")

_NAME_WORD = r"(?:(?:[A-Z]\.)+|(?:St|Jr|Sr|Wm|Chas|Geo|Dr)\.|[A-Z][\w'’-]*)"
_PARTICLE = r"(?:de|del|della|di|da|du|van|von|der|den|la|le|ten|ter|af|al|bin|ibn)"
_NAME = rf"{_NAME_WORD}(?:\s+(?:{_PARTICLE}\s+)*{_NAME_WORD})+(?:,\s(?:Jr|Sr)\.)?"
_PAIR = rf"(?:[A-Z][\w'’-]+\sand\s{_NAME}|{_NAME})"  # "Peter and Bobby Farrelly"
_DIRECTED = re.compile(
    r"\b[Dd]irected(?:,?\s(?:and\s)?(?:co-)?(?:written|produced|edited|scored|photographed|animated|narrated|shot"
    r"|filmed|composed)(?:,|\sand)?)*\s(?:solely\s)?by(?:\sand\s(?:starring|featuring))?\s(?:the\s)?"
    r"(?:(?:[\w-]+\s){0,3}(?:film-?maker|director|brothers)\s)?"
    rf"(?P<names>{_PAIR}(?:(?:,\s(?:and\s)?|\sand\s|\s&\s){_NAME})*)"
)
_BETWEEN_NAMES = re.compile(r",\s(?!(?:Jr|Sr)\.)(?:and\s)?|\sand\s|\s&\s")
_MOST_DIRECTORS = 4


def read(path: Path, report: ReadReport, columns: Mapping[str, str]) -> list[Movie]:
    """The films of one JSON file or of a folder of them, gzipped or not, the best known first.

    There are no votes; the fuller the opening of its article, the better known a film tends to be, and of films of one
    title nearly always. A movie_id is made from the article's name, so that a later version of the data keeps it.
    """
    kept: dict[str, list[tuple[Movie, str]]] = defaultdict(list)
    for entry, place in _entries(path):
        report.read += 1
        mended = partial(report.repair, place=place)
        if not isinstance(entry, dict) or not clean.optional(entry.get("title")):
            report.drop("no title" if isinstance(entry, dict) else "not an object", place)
            continue
        key, movie = _movie(entry, mended)
        kept[key].append((movie, place))
    movies = [movie for group in _one_film_each(kept, report) for movie in group]
    movies.sort(key=lambda movie: (-len(movie.overview), movie.movie_id))
    return movies


def directors_in(extract: str) -> tuple[str, ...]:
    """The names after "directed by" in the opening of an article."""
    match = _DIRECTED.search(extract)
    if not match:
        return ()
    found = [name.strip().removesuffix("'s").removesuffix("’s") for name in _BETWEEN_NAMES.split(match["names"])]
    if len(found) > 1 and " " not in found[0]:
        found[0] += " " + found[1].rpartition(" ")[2]
    return tuple(dict.fromkeys(name for name in found if " " in name))[:_MOST_DIRECTORS]


def _entries(path: Path) -> Iterator[tuple[Any, str]]:
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.name.endswith((".json", ".json.gz")))
        if not files:
            raise CatalogError(f"{path} holds no .json or .json.gz file; give the folder of the decades' files.")
    else:
        files = [path]
    for file in files:
        with readable(str(file)):
            content = file.read_bytes()
            if content[:2] == b"\x1f\x8b":
                content = gzip.decompress(content)
        try:
            entries = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise CatalogError(f"{file} is not JSON ({error}).") from error
        if not isinstance(entries, list):
            raise CatalogError(f"{file} holds no list of films; give the files of wikipedia-movie-data.")
        for number, entry in enumerate(entries, 1):
            yield entry, f"{file.name}:{number}"


def _movie(entry: Mapping[str, Any], mended: clean.Mended) -> tuple[str, Movie]:
    """A film and what identifies it."""
    written_title = clean.text(entry["title"])
    title = clean.text(_MARKUP.sub(" ", written_title))
    if title != written_title:
        mended("markup removed from title")
    year = clean.release_date(entry.get("year"), mended)
    extract = clean.optional(entry.get("extract"))
    written = [clean.text(name) for name in _list(entry.get("cast"), "cast", mended)]
    cast = clean.names(cleaned for name in written if (cleaned := _person(name)))
    if len(cast) != len(written) or any(name not in written for name in cast):
        mended("scraps removed from cast")
    genres = (clean.text(genre) for genre in _list(entry.get("genres"), "genres", mended))
    key = _key(entry, title, year)
    return key, Movie(
        movie_id=clean.stable_id(key),
        title=title,
        release_date=year,
        genres=clean.names(_GENRES.get(genre, genre) for genre in genres),
        overview=extract,
        directors=directors_in(extract),
        cast=cast[: clean.MOST_CAST],
    )


def _key(entry: Mapping[str, Any], title: str, year: str) -> str:
    """What identifies the film in every version of the data.

    The article's name, where the article is about this film: a few rows point to an article about something else that
    several films share. Otherwise title and year.
    """
    href = clean.text(entry.get("href"))
    if href and fold(_QUALIFIER.sub("", href).replace("_", " ")) == fold(title):
        return href
    return f"{fold(title)}\n{year}"


def _list(value: object, what: str, mended: clean.Mended) -> list[object]:
    if value is None:
        return []
    if not isinstance(value, list):
        mended(f"unreadable {what} left empty")
        return []
    return value


def _person(name: str) -> str:
    cleaned = _PARENTHESES.sub("", name).strip(" ,;.:*–-")
    for beginning in ("and ", "voices of ", "voice of "):
        cleaned = cleaned.removeprefix(beginning)
    if cleaned.lower() in _SCRAPS or not any(letter.isalpha() for letter in cleaned):
        return ""
    if cleaned.islower() and "." not in cleaned:  # such as "writer"; will.i.am is a name
        return ""
    return cleaned + "." if name.endswith(("Jr.", "Sr.")) and not cleaned.endswith(".") else cleaned


def _one_film_each(
    groups: Mapping[str, list[tuple[Movie, str]]], report: ReadReport
) -> Iterator[list[Movie]]:
    """The films of each key: rows of one film become the richest of them, different films all stay."""
    for group in groups.values():
        films: list[tuple[Movie, str]] = []
        for movie, place in sorted(group, key=_whatever_the_order, reverse=True):
            if any(_are_one(movie, film) for film, _ in films):
                report.drop(DUPLICATE_ID, place)
            else:
                films.append((movie, place))
        yield [_renumbered(movie, number) for number, (movie, _) in enumerate(films)]


def _are_one(movie: Movie, other: Movie) -> bool:
    """Whether two rows of one title that share an article, or have none, are one film and not a film and its remake."""
    if movie.cast and other.cast:
        return bool(set(movie.cast) & set(other.cast))
    return abs(movie.year - other.year) <= 1


def _whatever_the_order(pair: tuple[Movie, str]) -> tuple[Any, ...]:
    movie = pair[0]
    return richness(movie), movie.release_date, movie.cast, movie.genres, movie.overview, movie.title


def _renumbered(movie: Movie, number: int) -> Movie:
    if number == 0:
        return movie
    says = (fold(movie.title), movie.release_date, *movie.cast)
    return replace(movie, movie_id=clean.stable_id("\n".join(says)))
