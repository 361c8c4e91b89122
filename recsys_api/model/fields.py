"""Which fields of a movie count, and how each becomes terms; how much each counts stands in weights.toml."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from recsys_api.catalog import Movie
from recsys_api.text import fold, prose

MAX_FEATURES = 20_000
"""Default budget of features over all fields together."""

_FAR, _FAR_STEP = 15, 5


@dataclass(frozen=True, slots=True)
class Field:
    """One block of features; the similarity of two movies is the weighted sum of the cosines of their blocks."""

    name: str
    share: float
    """Share of the feature budget; what a field leaves unused goes to the others."""
    values: Callable[[Movie], Iterable[str]]
    """What a movie has of it, as it stands there: words, names, phrases."""
    terms: Callable[[str], Sequence[str]]
    """What one of these values is counted as; most are met many times, and are cut only once."""
    why: str
    is_text: bool = False
    """Terms are word stems, so that prose can be matched against them; otherwise whole phrases."""
    whole: bool = False
    """Terms that the budget leaves out still take their share: one known name of five is no more than a fifth."""
    uses_idf: bool = True
    most_common: float = 1.0
    """Terms that more than this share of the movies have are left out: they tell none apart and cost the most time."""
    in_queries: float = 0.0
    """How much a text query that speaks to this field is worth; 0 where a text cannot speak to it."""


def _folded(value: str) -> Sequence[str]:
    return [folded] if (folded := fold(value)) else []


def _told(movie: Movie) -> list[str]:
    """The words of the overview but for the movie's own year, which is a field of its own."""
    overview, year = movie.overview, str(movie.year)
    if year not in overview and overview.isascii():
        return overview.split()
    return [part for word in overview.split() for part in _but_for(year, word)]


def _but_for(year: str, word: str) -> Sequence[str]:
    """`word` as it stands where it cannot hold the year, else its folded parts that are not the year."""
    if year not in word and word.isascii():
        return (word,)
    return [part for part in fold(word).split() if part != year]


def _year_spans(told: str) -> list[str]:
    """The spans of 2, of 4 and, every five years, of 15 years that a year lies in, the shortest told twice.

    So the cosine of two years falls fast at first and then slowly: 1 for the same year, about 0.7 for the next, 0.35 at
    three years, 0.15 at five; films of the same two years were seen by the same people in the same cinemas.
    """
    year = int(told)
    if not year:
        return []
    last = year // _FAR_STEP * _FAR_STEP
    return [
        *_spans(year, 2) * 2,
        *_spans(year, 4),
        *(f"{first}-{first + _FAR - 1}" for first in range(last - _FAR + _FAR_STEP, last + 1, _FAR_STEP)),
    ]


def _spans(year: int, length: int) -> list[str]:
    return [f"{first}-{first + length - 1}" for first in range(year - length + 1, year + 1)]


FIELDS = (
    Field("overview", 0.40, _told, prose, is_text=True, most_common=0.10, in_queries=0.30,
          why="What happens, where and to whom; the only field that every source fills."),
    Field("keywords", 0.17, lambda m: m.keywords, _folded, in_queries=0.25,
          why="Themes and devices in few words; sharing a rare one says more than sharing a genre."),
    Field("genres", 0.02, lambda m: m.genres, _folded, in_queries=0.10,
          why="Mood and promise; films without a genre in common are seldom wanted together."),
    Field("title", 0.12, lambda m: m.title.split(), prose, is_text=True, in_queries=0.03,
          why="Sequels and remakes carry their name."),
    Field("cast", 0.18, lambda m: m.cast[:5], _folded, whole=True, in_queries=0.15,
          why="The leading five; below them a name no longer brings an audience."),
    Field("year", 0.01, lambda m: (str(m.year),), _year_spans, uses_idf=False,
          why="Audiences stay near a period, and so do ways of telling a story."),
    Field("directors", 0.09, lambda m: m.directors, _folded, whole=True, in_queries=0.10,
          why="A director's films resemble each other more than their cast or their genre tells."),
    Field("collection", 0.01, lambda m: (m.collection,), _folded,
          why="The series, where the source names it."),
)  # fmt: skip
"""The table of fields."""
