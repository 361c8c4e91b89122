"""Why a movie is in a list: what each shared term brings to the similarity, exactly, and one sentence of it."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter

import numpy as np

from recsys_api.catalog import Movie
from recsys_api.model import seeds
from recsys_api.model.fields import FIELDS
from recsys_api.model.kernel import UNIT
from recsys_api.model.mood import MOODS
from recsys_api.model.similar import Answer, Lookup
from recsys_api.model.store import Model
from recsys_api.text import fold, prose

_MOST_CLAUSES, _MOST_NAMED = 3, 3
_TEXT_FIELDS = tuple(field.name for field in FIELDS if field.is_text)
_CONTRIBUTION = attrgetter("contribution")
_NUMBERS = "no one two three four five six seven eight nine ten".split()
_MARKS = "\"'.,;:!?()[]\u2013\u2014\u2026\u201c\u201d\u2018\u2019"

Spelling = dict[tuple[str, str], str]
"""How a term of a field is spelt where it comes from: terms themselves are folded, and words of prose stemmed."""


@dataclass(frozen=True, slots=True)
class Term:
    """One thing that a movie has in common with what was asked about."""

    term: str
    contribution: float
    """Its part in the similarity; negative where only what is unliked has it."""


@dataclass(frozen=True, slots=True)
class FieldReason:
    """What one field brings."""

    field: str
    contribution: float
    terms: list[Term]
    """The greatest first."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a movie is where it is."""

    sentence: str
    fields: list[FieldReason]
    """The greatest first; they add up to the similarity."""
    multiplier: float
    """What the mood makes of the movie's votes."""
    score: float
    """The similarity times the multiplier: what the list is in the order of, where there is no diversity."""
    place_without_diversity: int | None
    """Where the movie would be in the list, from 1, where there is diversity."""


class Reasons:
    """Explains lists of one model's movies; threads share it."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._fields = [field.name for field in FIELDS for _ in model.terms[field.name]]
        self._terms = [term for field in FIELDS for term in model.terms[field.name]]

    def of(self, answer: Answer, lookup: Lookup) -> list[Reason]:
        """The reason for each movie of `answer`, which `lookup` asked for."""
        if not answer.rows.size:
            return []
        catalog = self._model.catalog
        query = seeds.query(self._model, lookup.seeds)
        weights = np.zeros(len(self._terms), dtype=np.int64)
        weights[query.features] = query.weights
        liked = [catalog.movie(row) for row in lookup.seeds.likes]
        spelling = dict(_spelling(Movie(0, lookup.seeds.text, overview=lookup.seeds.text)))
        for movie in (*liked, *map(catalog.movie, lookup.seeds.unlikes)):
            spelling.update(_spelling(movie))
        factors = self._model.multipliers[MOODS.index(lookup.mood)]
        alone = liked[0] if len(liked) == 1 and not lookup.seeds.text else None
        reasons = []
        for i, (row, similarity) in enumerate(zip(answer.rows.tolist(), answer.scores.tolist(), strict=True)):
            features, own = self._model.index.features_of(row)
            parts = weights[features] * own * (UNIT * query.scale)
            if query.scale > 1 and (whole := float(parts.sum())) > 1:
                parts *= similarity / whole  # the similarity was cut off at 1
            shared = np.flatnonzero(parts)
            if lookup.seeds.text:  # which may have found a name by a part of it
                spelling = {**dict(_spelling(catalog.movie(row))), **spelling}
            fields = self._by_field(features[shared].tolist(), parts[shared].tolist(), spelling)
            multiplier = float(factors[row]) if factors.size else 1.0
            reasons.append(
                Reason(
                    sentence=_sentence(fields, alone, int(catalog.years[row])),
                    fields=fields,
                    multiplier=multiplier,
                    score=similarity * multiplier,
                    place_without_diversity=None if answer.variety is None else int(answer.variety.places[i]) + 1,
                )
            )
        return reasons

    def _by_field(self, columns: Sequence[int], parts: Sequence[float], spelling: Spelling) -> list[FieldReason]:
        """The parts by field; a field's columns follow each other."""
        by_field: dict[str, list[Term]] = {}
        for column, part in zip(columns, parts, strict=True):
            name, term = self._fields[column], self._terms[column]
            by_field.setdefault(name, []).append(Term(spelling.get((name, term), term), part))
        fields = []
        for name, terms in by_field.items():
            terms.sort(key=_CONTRIBUTION, reverse=True)
            fields.append(FieldReason(name, sum(map(_CONTRIBUTION, terms)), terms))
        return sorted(fields, key=_CONTRIBUTION, reverse=True)


def _spelling(movie: Movie) -> Iterator[tuple[tuple[str, str], str]]:
    """Every term of `movie` as it is spelt there."""
    for name in _TEXT_FIELDS:
        for word in getattr(movie, name).split():
            for stem, spelt in _stems(word):
                yield (name, stem), spelt
    for name in ("genres", "keywords", "directors", "cast"):
        for value in getattr(movie, name):
            yield (name, fold(value)), value
    yield ("collection", fold(movie.collection)), movie.collection


@lru_cache(maxsize=50_000)
def _stems(word: str) -> tuple[tuple[str, str], ...]:
    """The stems of a word between two spaces, each with its spelling: "brother's-in-law," has two."""
    stems = prose(word)
    if len(stems) == 1:
        return ((stems[0], word.strip(_MARKS).removesuffix("'s").removesuffix("\u2019s")),)
    return tuple((stem, folded) for folded in fold(word).split() for stem in prose(folded))


def _sentence(fields: Sequence[FieldReason], seed: Movie | None, year: int) -> str:
    """The strongest reasons in plain words; `seed` is the one movie that was asked about, where it was one."""
    found = {field.field: _names(field.terms) for field in fields if field.contribution > 0}
    if "keywords" in found:
        found.pop("overview", None)  # a keyword says better what a movie is about than a word of its story does
    clauses = [clause for field, names in found.items() if (clause := _clause(field, names, seed, year))]
    return "; ".join(clauses[:_MOST_CLAUSES]) or "nothing in common that the model knows of"


def _clause(field: str, names: Sequence[str], seed: Movie | None, year: int) -> str:
    both = "both " if seed else ""
    named = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    if field == "year":
        return _years_apart(seed.year if seed else 0, year)
    return {
        "overview": f"{both}about {named}",
        "keywords": f"{both}about {named}",
        "directors": f"same director{'s' if len(names) > 1 else ''} {named}" if seed else f"directed by {named}",
        "cast": f"{both}with {named}",
        "genres": f"{both}{named}",
        "title": f"{named} in {'both titles' if seed else 'the title'}",
        "collection": f"same series {named}" if seed else f"of the series {named}",
    }[field]


def _names(terms: Sequence[Term]) -> list[str]:
    """The greatest of `terms`, each spelling once."""
    return list(dict.fromkeys(term.term for term in terms if term.contribution > 0))[:_MOST_NAMED]


def _years_apart(first: int, second: int) -> str:
    if not first or not second:
        return ""
    apart = abs(first - second)
    if apart == 0:
        return f"both from {first}"
    return f"{_NUMBERS[apart] if apart < len(_NUMBERS) else apart} year{'' if apart == 1 else 's'} apart"
