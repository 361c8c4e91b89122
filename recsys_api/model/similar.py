"""The look-up of similar movies: from the table of neighbours where it can be, else by the live kernel."""
from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from recsys_api.catalog import EVERYTHING, Facets, Filters
from recsys_api.model.kernel import Int32s, Mask, Scores
from recsys_api.model.mood import DEFAULT, MOODS, Mood
from recsys_api.model.store import Model


class Lookup(NamedTuple):
    """What the answer of a similarity look-up depends on; the key of the cache."""

    row: int
    top_k: int
    min_similarity: float
    exclude_same_year: bool
    mood: Mood = DEFAULT
    filters: Filters = EVERYTHING


class Answer(NamedTuple):
    """Movies, best first: `rows` int32 and their similarity or match score, `scores` float32, of one length."""

    rows: Int32s
    scores: Scores
    matched: int = -1
    """How many movies met the filters; counted where there were filters or fewer came than asked for, else -1."""


class Similar:
    """Looks up movies in one model; threads share it."""

    def __init__(self, model: Model, facets: Facets) -> None:
        self._model = model
        self._facets = facets

    def find(self, lookup: Lookup) -> Answer:
        """The best movies for `lookup`. Raises UnknownValue for a filter that names what the catalogue does not have.

        Best is by similarity times the mood's multiplier, ties by row.
        """
        factors = self._model.multipliers[MOODS.index(lookup.mood)]
        if lookup.filters == EVERYTHING and (lookup.mood == DEFAULT or not factors.size):
            rows, scores = self._model.neighbours.rows[lookup.row], self._model.neighbours.scores[lookup.row]
            if not lookup.min_similarity and not lookup.exclude_same_year and lookup.top_k <= rows.size:
                return Answer(rows[: lookup.top_k].copy(), scores[: lookup.top_k].copy())
            chosen = self._kept(lookup, rows, scores)
            if chosen.size == lookup.top_k:
                return Answer(rows[chosen], scores[chosen])
            if self._has_all_of(lookup, rows, scores, factors):
                return Answer(rows[chosen], scores[chosen], chosen.size)
        return self._compute(lookup, factors)

    def _kept(self, lookup: Lookup, rows: Int32s, scores: Scores) -> npt.NDArray[np.intp]:
        """The places in a movie's row of the table that meet what was asked, at most as many as were asked for."""
        keep = scores >= np.float32(lookup.min_similarity)
        years = self._model.catalog.years
        if lookup.exclude_same_year and years[lookup.row]:
            keep &= years[rows] != years[lookup.row]
        return np.flatnonzero(keep)[: lookup.top_k]

    def _has_all_of(self, lookup: Lookup, rows: Int32s, scores: Scores, factors: Scores) -> bool:
        """Whether no movie that is missing in the table's row can be similar enough."""
        if rows.size == len(self._model.catalog) - 1:
            return True
        last, least = scores[-1], np.float32(1)
        if factors.size:
            last, least = last * factors[rows[-1]], factors.min()
        return bool(last < np.float32(lookup.min_similarity) * least)

    def _compute(self, lookup: Lookup, factors: Scores) -> Answer:
        index = self._model.index
        allowed = self._allowed(lookup)
        features, weights = index.features_of(lookup.row)
        rows, scores = index.top_k(
            features, weights, lookup.top_k, lowest=lookup.min_similarity, allowed=allowed, factors=factors
        )
        if rows.size == lookup.top_k and lookup.filters == EVERYTHING:
            return Answer(rows, scores)
        if lookup.min_similarity:
            allowed = index.reaching(features, weights, lowest=lookup.min_similarity, allowed=allowed)
        return Answer(rows, scores, int(np.count_nonzero(allowed)))

    def _allowed(self, lookup: Lookup) -> Mask:
        """Which movies may be in the answer, whatever their similarity: bool [N]."""
        allowed = self._facets.allowed(lookup.filters)
        years = self._model.catalog.years
        if lookup.exclude_same_year and years[lookup.row]:
            allowed &= years != years[lookup.row]
        allowed[lookup.row] = False
        return allowed
