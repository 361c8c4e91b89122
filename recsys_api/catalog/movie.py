"""What a movie is."""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Movie:
    """One movie, as clients see it: the field names are those of the HTTP contract.

    Text is Unicode NFC. A field that the source does not know is empty or zero, never None.
    """

    movie_id: int
    title: str
    release_date: str = ""
    """`YYYY-MM-DD`, `YYYY` where only the year is known, or empty."""
    vote_average: float = 0.0
    """Mean vote, 0 to 10."""
    vote_count: int = 0
    genres: tuple[str, ...] = ()
    overview: str = ""
    original_title: str = ""
    original_language: str = ""
    """ISO 639-1 code."""
    directors: tuple[str, ...] = ()
    cast: tuple[str, ...] = ()
    """Leading first, at most ten."""
    keywords: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    """ISO 3166-1 alpha-2 codes of the countries of origin."""
    collection: str = ""
    """The series that the movie belongs to."""
    imdb_id: str = ""
    """IMDb's id, as in `tt0114709`."""

    @property
    def year(self) -> int:
        """Year of release, 0 if unknown."""
        return int(self.release_date[:4]) if self.release_date else 0
