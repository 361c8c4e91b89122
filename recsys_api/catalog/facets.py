"""Which movies meet what was asked of them: genres, years, language, votes."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from rapidfuzz import fuzz, process

from recsys_api.catalog.catalog import Catalog
from recsys_api.catalog.widths import Ids
from recsys_api.errors import UnknownValue
from recsys_api.text import fold

_MOST_NEAREST = 5


class Filters(NamedTuple):
    """What a movie has to be, as a client says it; what is left empty or 0 is not asked for."""

    genre: tuple[str, ...] = ()
    """It has all of these."""
    exclude_genre: tuple[str, ...] = ()
    """It has none of these."""
    year_min: int = 0
    year_max: int = 0
    """Its year is known and within these, both included."""
    language: str = ""
    """Its original language."""
    min_votes: int = 0
    min_rating: float = 0.0


EVERYTHING = Filters()
"""No filter at all."""


class Facets:
    """The properties of a catalogue that filters ask for."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._genres = {fold(name): i for i, name in enumerate(catalog.genres)}
        self._languages = {fold(name): i for i, name in enumerate(catalog.languages)}

    def allowed(self, filters: Filters) -> npt.NDArray[np.bool_]:
        """Which rows meet `filters`: bool [N]. Raises UnknownValue for a genre or a language that no movie has."""
        catalog = self._catalog
        allowed = np.ones(len(catalog), dtype=np.bool_)
        for name in filters.genre:
            having = np.zeros(len(catalog), dtype=np.bool_)
            having[self._rows_of_genre(name, "genre")] = True
            allowed &= having
        for name in filters.exclude_genre:
            allowed[self._rows_of_genre(name, "exclude_genre")] = False
        if filters.year_min or filters.year_max:
            allowed &= catalog.years >= max(filters.year_min, 1)
        if filters.year_max:
            allowed &= catalog.years <= filters.year_max
        if filters.language:
            language = _place(filters.language, self._languages, catalog.languages, "language")
            allowed &= catalog.language_ids == language
        if filters.min_votes:
            allowed &= catalog.votes >= filters.min_votes
        if filters.min_rating:
            allowed &= catalog.ratings >= np.float32(filters.min_rating)
        return allowed

    def _rows_of_genre(self, name: str, field: str) -> Ids:
        return self._catalog.rows_of_genre(_place(name, self._genres, self._catalog.genres, field))


def _place(value: str, places: Mapping[str, int], known: Sequence[str], field: str) -> int:
    """The place of `value` among those `known`, in whatever case it is written."""
    place = places.get(fold(value))
    if place is None:
        nearest = process.extract(fold(value), list(places), scorer=fuzz.WRatio, limit=_MOST_NEAREST)
        raise UnknownValue(field, value, [known[places[name]] for name, _, _ in nearest])
    return place
