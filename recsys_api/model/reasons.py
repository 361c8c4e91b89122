"""Why a movie is in a list: what each shared term brings to the similarity, exactly, and one sentence of it."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np

from recsys_api.catalog import Movie
from recsys_api.model import seeds
from recsys_api.model.fields import FIELDS
from recsys_api.model.kernel import UNIT
from recsys_api.model.mood import MOODS
from recsys_api.model.similar import Answer, Lookup
from recsys_api.model.store import Model
from recsys_api.text import fold, prose, spellings, stem

_MOST_CLAUSES, _MOST_NAMED = 3, 3
_LEAST_TOLD = 0.1
"""A sentence leaves out what brings less than this share of the similarity."""
_PROSE = frozenset(field.name for field in FIELDS if field.is_text)
_PHRASES = ("genres", "keywords", "directors", "cast")
_CONTRIBUTION = attrgetter("contribution")
_CLAUSES = {
    "overview": ("both about {}", "about {}"),
    "keywords": ("both about {}", "about {}"),
    "directors": ("same director{s} {}", "directed by {}"),
    "cast": ("both with {}", "with {}"),
    "genres": ("both {} movies", "of the genre{s} {}"),
    "title": ("{} in both titles", "{} in the title"),
    "collection": ("same series {}", "of the series {}"),
}
"""How what is shared is said, with the one movie that was asked about, and with several or with words."""
_NUMBERS = "no one two three four five six seven eight nine ten".split()


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


class _Spelling:
    """How terms are spelt where they come from: terms themselves are folded, and words of prose stemmed."""

    def __init__(self, movies: Sequence[Movie]) -> None:
        self._movies = movies
        self._words: dict[str, list[tuple[str, str]]] = {}
        self._known = {
            (name, fold(value)): value for movie in movies for name in _PHRASES for value in getattr(movie, name)
        }
        self._known.update({("collection", fold(movie.collection)): movie.collection for movie in movies})

    def of(self, field: str, term: str) -> str:
        """The spelling of a field's `term`, or the term itself where none of the movies has it."""
        spelt = self._known.get((field, term))
        if spelt is None:
            spelt = self._known[field, term] = self._in_prose(field, term) if field in _PROSE else term
        return spelt

    def _in_prose(self, field: str, term: str) -> str:
        if field not in self._words:
            self._words[field] = [pair for movie in self._movies for pair in spellings(getattr(movie, field))]
        begins = term[:-1] or term  # what stays of nearly every word when it is stemmed, and is quick to compare
        for folded, spelt in self._words[field]:
            if folded.startswith(begins) and stem(folded) == term:
                return spelt.removesuffix("'s").removesuffix("\u2019s")
        return term


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
        words = Movie(0, lookup.seeds.text, overview=lookup.seeds.text)
        known = _Spelling([*liked, *map(catalog.movie, lookup.seeds.unlikes), words])
        factors = self._model.multipliers[MOODS.index(lookup.mood)]
        alone = liked[0] if len(liked) == 1 and not lookup.seeds.text else None
        told_elsewhere = _names_in(alone)
        reasons = []
        for i, (row, similarity) in enumerate(zip(answer.rows.tolist(), answer.scores.tolist(), strict=True)):
            features, own = self._model.index.features_of(row)
            parts = weights[features] * own * (UNIT * query.scale)
            if query.scale > 1 and (whole := float(parts.sum())) > 1:
                parts *= similarity / whole  # the similarity was cut off at 1
            shared = np.flatnonzero(parts)
            # words may have found a name by a part of it: then only the movie that was found has it whole
            spelling = _Spelling([catalog.movie(row)]) if lookup.seeds.text else known
            fields = self._by_field(features[shared].tolist(), parts[shared].tolist(), spelling)
            multiplier = float(factors[row]) if factors.size else 1.0
            reasons.append(
                Reason(
                    sentence=_sentence(fields, alone, int(catalog.years[row]), told_elsewhere),
                    fields=fields,
                    multiplier=multiplier,
                    score=similarity * multiplier,
                    place_without_diversity=None if answer.variety is None else int(answer.variety.places[i]) + 1,
                )
            )
        return reasons

    def _by_field(self, columns: Sequence[int], parts: Sequence[float], spelling: _Spelling) -> list[FieldReason]:
        """The parts by field; a field's columns follow each other."""
        by_field: dict[str, list[Term]] = {}
        for column, part in zip(columns, parts, strict=True):
            name, term = self._fields[column], self._terms[column]
            by_field.setdefault(name, []).append(Term(spelling.of(name, term), part))
        fields = []
        for name, terms in by_field.items():
            terms.sort(key=_CONTRIBUTION, reverse=True)
            fields.append(FieldReason(name, sum(map(_CONTRIBUTION, terms)), terms))
        return sorted(fields, key=_CONTRIBUTION, reverse=True)


def _names_in(seed: Movie | None) -> frozenset[str]:
    """The stems of a movie's title, genres and people: in its overview they tell nothing that is not told already."""
    return frozenset(prose(" ".join((seed.title, *seed.genres, *seed.directors, *seed.cast)))) if seed else frozenset()


def _sentence(fields: Sequence[FieldReason], seed: Movie | None, year: int, told_elsewhere: frozenset[str]) -> str:
    """The strongest reasons in plain words; `seed` is the one movie that was asked about, where it was one."""
    least = _LEAST_TOLD * sum(field.contribution for field in fields if field.contribution > 0)
    found = {
        field.field: _names(field.terms, told_elsewhere if field.field == "overview" else frozenset())
        for field in fields
        if field.contribution > least
    }
    if "keywords" in found:
        found.pop("overview", None)  # a keyword says better what a movie is about than a word of its story does
    clauses = []
    for field, names in found.items():
        if not names:
            continue
        clause = _years_apart(seed.year if seed else 0, year) if field == "year" else _clause(field, names, seed)
        if clause:
            clauses.append(clause)
        if len(clauses) == _MOST_CLAUSES:
            break
    return "; ".join(clauses) or "nothing in common that the model knows of"


def _clause(field: str, names: Sequence[str], seed: Movie | None) -> str:
    named = " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
    with_one, of_several = _CLAUSES[field]
    clause = with_one if seed else of_several
    return clause.format(named, s="s" if len(names) > 1 else "")


def _names(terms: Sequence[Term], left_out: frozenset[str]) -> list[str]:
    """The greatest of `terms` but for the stems `left_out`, each spelling once."""
    spelt = dict.fromkeys(term.term for term in terms if term.contribution > 0)
    return [name for name in spelt if not left_out or stem(fold(name)) not in left_out][:_MOST_NAMED]


def _years_apart(first: int, second: int) -> str:
    if not first or not second:
        return ""
    apart = abs(first - second)
    if apart == 0:
        return f"both from {first}"
    return f"{_NUMBERS[apart] if apart < len(_NUMBERS) else apart} year{'' if apart == 1 else 's'} apart"
