"""The look-up of similar movies: from the table of neighbours where it can be, else by the live kernel."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recsys_api.catalog import EVERYTHING, Facets, Filters
from recsys_api.model import seeds
from recsys_api.model.kernel import ALONE, Int32s, Mask, Scores, TopK, first_neighbours
from recsys_api.model.mood import DEFAULT, MOODS, Mood
from recsys_api.model.seeds import Seeds
from recsys_api.model.store import Model
from recsys_api.model.variety import Varied, Variety

if TYPE_CHECKING:
    from recsys_api.model.reasons import Reason

_ANYTHING = float(np.finfo(np.float32).tiny)
"""The least similarity that is more than none."""
_POOL, _POOL_FOR_EACH = 100, 4
"""The fewest candidates that a varied list is chosen from, and how many for each of its movies."""


class Lookup(NamedTuple):
    """What the answer of a similarity look-up depends on; the key of the cache."""

    seeds: Seeds
    top_k: int
    min_similarity: float
    exclude_same_year: bool
    mood: Mood = DEFAULT
    filters: Filters | None = None
    diversity: float = 0.0


@dataclass(slots=True, eq=False)
class Answer:
    """Movies, best first: `rows` int32 and their similarity or match score, `scores` float32, of one length."""

    rows: Int32s
    scores: Scores
    matched: int = -1
    """How many movies met the filters; counted where there were filters or fewer came than asked for, else -1."""
    variety: Varied | None = None
    """Of a list made with diversity: where its movies would be without, and how much they differ."""
    reasons: Sequence[Reason] = ()
    """Why each movie is there, where that was asked."""
    likes: tuple[int, ...] = ()
    """The rows of the movies that these are like."""
    written: bytes | None = field(default=None, init=False)
    """For whoever gives the answer to clients: as it was written, empty if that was not kept, None before the first."""


class Similar:
    """Looks up movies in one model; threads share it."""

    def __init__(self, model: Model, facets: Facets) -> None:
        self._model = model
        self._table, self._years = model.neighbours, model.catalog.years
        self._facets = facets
        self._variety = Variety(model.index, model.franchises)

    def find(self, lookup: Lookup) -> Answer:
        """The best movies for `lookup`. Raises UnknownValue for a filter that names what the catalogue does not have.

        Best is by similarity times the mood's multiplier, ties by row. Movies that are no nearer than the unliked ones
        push them away, and movies without anything that a text alone asks for, are left out.
        """
        if lookup.diversity:
            return Answer(*self._varied(lookup), likes=lookup.seeds.likes)
        return Answer(*self._ranked(lookup), likes=lookup.seeds.likes)

    def _varied(self, lookup: Lookup) -> tuple[Int32s, Scores, int, Varied]:
        """A choice from as many candidates as it takes: most often the first hundred do."""
        pool = max(_POOL, _POOL_FOR_EACH * lookup.top_k)
        while True:
            rows, scores, matched = self._ranked(lookup._replace(top_k=pool, diversity=0.0))
            factors = self._factors(lookup)
            worth = scores * factors[rows] if factors.size else scores
            varied = self._variety.choose(rows, worth, lookup.top_k, diversity=lookup.diversity)
            if varied.places.size == lookup.top_k or rows.size < pool:
                told = matched if varied.places.size < lookup.top_k or lookup.filters else -1
                return rows[varied.places], scores[varied.places], told, varied
            pool *= _POOL_FOR_EACH

    def _ranked(self, lookup: Lookup) -> tuple[Int32s, Scores, int]:
        (likes, unlikes, text), model = lookup.seeds, self._model
        in_default_mood = lookup.mood == DEFAULT or not model.multipliers.size
        if in_default_mood and len(likes) == 1 and not unlikes and not text and not lookup.filters:
            rows, scores = self._neighbours(lookup)
            if rows.size == lookup.top_k:
                return rows, scores, -1
            if self._are_all(lookup):
                return rows, scores, rows.size
        return self._compute(lookup)

    def _factors(self, lookup: Lookup) -> Scores:
        """What similarities are multiplied by: float32 [N], or [0] where nobody voted."""
        factors: Scores = self._model.multipliers[MOODS.index(lookup.mood)]
        return factors

    def _neighbours(self, lookup: Lookup) -> TopK:
        """What the movie's row of the table has that meets what was asked."""
        rows, scores = np.empty(lookup.top_k, np.int32), np.empty(lookup.top_k, np.float32)
        count = first_neighbours(
            self._table.rows, self._table.scores, lookup.seeds.likes[0], lookup.min_similarity, self._years,
            lookup.exclude_same_year, rows, scores,
        )  # fmt: skip
        return TopK(rows, scores) if count == lookup.top_k else TopK(rows[:count], scores[:count])

    def _are_all(self, lookup: Lookup) -> bool:
        """Whether no movie that is missing in the movie's row of the table can be similar enough."""
        table, row, movies = self._model.neighbours, lookup.seeds.likes[0], len(self._model.catalog)
        last_row, last = table.rows[row, -1], table.scores[row, -1]
        if table.rows.shape[1] == movies - 1 or last_row == movies:
            return True
        least, factors = np.float32(1), self._factors(lookup)
        if factors.size:
            last, least = last * factors[last_row], factors.min()
        return bool(last < np.float32(lookup.min_similarity) * least)

    def _compute(self, lookup: Lookup) -> tuple[Int32s, Scores, int]:
        index, factors = self._model.index, self._factors(lookup)
        allowed = self._allowed(lookup)
        asked = seeds.query(self._model, lookup.seeds)
        lowest = max(lookup.min_similarity, 0.0 if lookup.seeds.likes else _ANYTHING)
        rows, scores = index.top_k(
            asked.features, asked.weights, lookup.top_k,
            scale=asked.scale, lowest=lowest, allowed=allowed, factors=factors, copies=self._model.copies,
        )  # fmt: skip
        if rows.size < lookup.top_k:
            return rows, scores, rows.size
        if not lookup.filters:
            return rows, scores, -1
        if lowest or lookup.seeds.unlikes:
            allowed = index.reaching(asked.features, asked.weights, scale=asked.scale, lowest=lowest, allowed=allowed)
        return rows, scores, self._different(allowed)

    def _different(self, rows: Mask) -> int:
        """How many of the `rows` bool [N] that are true there are, copies of one another counted once."""
        groups = self._model.copies[rows]
        return int(np.count_nonzero(groups == ALONE)) + np.unique(groups[groups != ALONE]).size

    def _allowed(self, lookup: Lookup) -> Mask:
        """Which movies may be in the answer, whatever their similarity: bool [N]."""
        allowed = self._facets.allowed(lookup.filters or EVERYTHING)
        if lookup.exclude_same_year:
            for year in set(self._years[list(lookup.seeds.likes)].tolist()) - {0}:
                allowed &= self._years != year
        given = [*lookup.seeds.likes, *lookup.seeds.unlikes]
        allowed[given] = False
        groups = self._model.copies[given]
        if (groups != ALONE).any():
            allowed &= ~np.isin(self._model.copies, groups[groups != ALONE])
        return allowed
