"""From movies to one sparse matrix of weighted features. Build time only: a worker never imports scikit-learn."""
from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, diags_array, hstack
from sklearn.feature_extraction.text import TfidfTransformer

from recsys_api.catalog import Movie
from recsys_api.catalog.numbering import numbers
from recsys_api.model.fields import FIELDS, MAX_FEATURES, Field
from recsys_api.model.weights import SHIPPED, Weights

_SMALL = 20
"""A term that so few movies have is never too common, however small the catalogue."""
_TOLD_EVERY = 1000
_LEAST_NEAR = 0.05
"""A movie that is like nothing gains no more by that than one with this share of the median similarity."""


@dataclass(frozen=True, slots=True)
class Features:
    """The fitted features of a catalogue."""

    matrix: csr_array
    """float32 [N, F], rows of norm at most 1: a field has the norm sqrt(weight), less where little is told of it
    and more where other fields are missing."""
    terms: dict[str, list[str]]
    """Each field's terms in the order of its columns; the blocks follow the table of fields."""
    idf: npt.NDArray[np.float32]
    """float32 [F]: inverse document frequency, 1 where a field does not use it."""
    weights: Weights
    """What the fields are worth in this catalogue."""


def fit(
    movies: Iterable[Movie],
    *,
    max_features: int = MAX_FEATURES,
    weights: Weights = SHIPPED,
    progress: Callable[[int], None] | None = None,
) -> Features:
    """TF-IDF features of `movies` [N], at most `max_features` over all fields, each field with its weight, the
    overview with more where keywords are missing.

    Term frequencies are damped to 1 + ln(tf), document frequencies smoothed as if one more movie held every term
    (scikit-learn's TfidfTransformer). The movies are read once, one by one. `progress` is told how many have been.
    """
    total, fitted = _fitted(movies, max_features, progress)
    weights = weights.for_catalogue(lacking=_without_keywords(fitted))
    terms = {field.name: fitted[field.name].terms if field.name in fitted else [] for field in FIELDS}
    if not fitted:
        return Features(csr_array((total, 0), dtype=np.float32), terms, np.zeros(0, dtype=np.float32), weights)
    rows = _weighted(fitted, weights)
    matrix = _scaled(hstack(list(rows.values()), format="csr"), _made_up_for(rows, weights))
    matrix = csr_array(_scaled(matrix, _damped(matrix, weights.damping)))
    idf = np.concatenate([block.idf for block in fitted.values()])
    return Features(matrix.astype(np.float32), terms, idf.astype(np.float32), weights)


def blocks(
    movies: Iterable[Movie], *, weights: Weights, max_features: int = MAX_FEATURES
) -> dict[str, csr_array]:
    """The rows of each field that any movie has, float32 [N, terms], before anything is made up for: to learn from."""
    _, fitted = _fitted(movies, max_features, None)
    return {name: csr_array(rows.astype(np.float32)) for name, rows in _weighted(fitted, weights).items()}


class _Block(NamedTuple):
    """One field of all movies."""

    terms: list[str]
    idf: npt.NDArray[np.float64]
    rows: csr_array
    """TF-IDF, of any norm."""
    squares: npt.NDArray[np.float64]
    """The squared norm of each row, with what the budget left out where that counts."""


def _fitted(
    movies: Iterable[Movie], max_features: int, progress: Callable[[int], None] | None
) -> tuple[int, dict[str, _Block]]:
    """How many movies there are, and every field that any of them has."""
    counters = {field.name: _Counter(field) for field in FIELDS}
    total = 0
    for total, movie in enumerate(movies, 1):
        for counter in counters.values():
            counter.add(movie)
        if progress is not None and total % _TOLD_EVERY == 0:
            progress(total)
    counted = {name: counter.counts() for name, counter in counters.items()}
    budgets = spend({name: len(terms) for name, (terms, _) in counted.items()}, max_features)
    fitted = {}
    for field in FIELDS:
        terms, counts = counted[field.name]
        columns = _most_shared(terms, counts, budgets[field.name])
        if columns.size:
            transformer = TfidfTransformer(norm=None, sublinear_tf=True, use_idf=field.uses_idf)
            rows = csr_array(transformer.fit_transform(counts[:, columns]))
            idf = transformer.idf_ if field.uses_idf else np.ones(columns.size)
            whole = csr_array(transformer.fit_transform(counts)) if field.whole else rows
            names = [terms[column] for column in columns.tolist()]
            fitted[field.name] = _Block(names, idf, rows, _squared_norms(whole))
    return total, fitted


def _without_keywords(fitted: Mapping[str, _Block]) -> float:
    """The share of the movies with an overview of which no keyword is kept."""
    if "overview" not in fitted:
        return 0.0
    told = np.diff(fitted["overview"].rows.indptr) > 0
    named = np.diff(fitted["keywords"].rows.indptr) > 0 if "keywords" in fitted else np.zeros_like(told)
    return float(1 - named[told].mean())


def _weighted(fitted: Mapping[str, _Block], weights: Weights) -> dict[str, csr_array]:
    """Each field's rows, their norms by its weight."""
    worth = weights.fields
    return {name: _normed(block, worth[name].weight, worth[name].thin) for name, block in fitted.items()}


def _normed(block: _Block, weight: float, thin: float) -> csr_array:
    """The rows of `block` with the squared norm weight * mass / (mass + thin), but for what the budget left out.

    The mass of a row is its squared norm in units of the rarest possible term: about how many rare terms it has. So a
    movie of which little is told is not as near to its namesakes in that little as one of which much is told.
    """
    rarest = (np.log((1 + block.rows.shape[0]) / 2) + 1) ** 2
    return _scaled(block.rows, np.sqrt(weight / np.maximum(block.squares + thin * rarest, np.finfo(float).tiny)))


def _made_up_for(blocks: Mapping[str, csr_array], weights: Weights) -> npt.NDArray[np.float64]:
    """What each row is multiplied by, so that a movie is neither nearer nor farther for the fields that it lacks.

    What it lacks is what its missing fields typically bring, of all that the fields of the catalogue bring; a field
    that no movie has counts for nothing. No row gets a norm over 1.
    """
    typical = {name: weights.fields[name].typical for name in blocks}
    squares = {name: _squared_norms(block) for name, block in blocks.items()}
    there = np.sum([typical[name] * (squares[name] > 0) for name in blocks], axis=0)
    whole = sum(typical.values())
    gain = np.where(there > 0, whole / np.where(there > 0, there, 1), 1.0) ** weights.compensation
    return _at_most_one(np.sqrt(gain), np.sum(list(squares.values()), axis=0))


def _damped(matrix: csr_array, damping: float) -> npt.NDArray[np.float64]:
    """What each row is multiplied by, so that a movie that is a little like everything is less in the way of others.

    The mean similarity to all movies over the median movie's, to the power of -damping: hubs are what sums over several
    seeds would favour (Radovanović, Nanopoulos and Ivanović, "Hubs in space", 2010). No row gets a norm over 1.
    """
    near = np.asarray(matrix @ np.asarray(matrix.mean(axis=0)).ravel())
    median = np.median(near[near > 0]) if (near > 0).any() else 1.0
    return _at_most_one(np.maximum(near / median, _LEAST_NEAR) ** -damping, _squared_norms(matrix))


def _at_most_one(
    scales: npt.NDArray[np.float64], squares: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """`scales`, less for rows with the squared norms `squares` that would get a norm over 1."""
    return np.minimum(scales, 1 / np.sqrt(np.maximum(squares, np.finfo(float).tiny)))


def _squared_norms(block: csr_array) -> npt.NDArray[np.float64]:
    return np.asarray(block.multiply(block).sum(axis=1), dtype=np.float64).ravel()


def _scaled(block: csr_array, by: npt.NDArray[np.float64]) -> csr_array:
    return diags_array(by) @ block


def columns_of(name: str, terms: Mapping[str, Sequence[str]]) -> range:
    """The columns of the field `name`; `terms` are those of all fields, in the order of their columns."""
    first = 0
    for field in FIELDS:
        if field.name == name:
            break
        first += len(terms[field.name])
    return range(first, first + len(terms[name]))


def spend(wanted: Mapping[str, int], budget: int) -> dict[str, int]:
    """How many of its `wanted` features each field gets of `budget`.

    Each field gets up to its share; what some leave unused is shared out again among those that want more, so that
    one field's many terms never push out another's.
    """
    granted = dict.fromkeys(wanted, 0)
    open_fields = [field for field in FIELDS if wanted[field.name]]
    left = budget
    while open_fields and left:
        total = sum(field.share for field in open_fields)
        grants = {field.name: int(left * field.share / total) for field in open_fields}
        if not any(grants.values()):
            grants[open_fields[0].name] = left
        for name, grant in grants.items():
            taken = min(grant, wanted[name] - granted[name])
            granted[name] += taken
            left -= taken
        open_fields = [field for field in open_fields if granted[field.name] < wanted[field.name]]
    return granted


class _Counter:
    """Counts the terms of one field, movie by movie."""

    def __init__(self, field: Field) -> None:
        self._field = field
        self._numbers = numbers()
        self._seen = array("i")
        self._ends = array("q", [0])

    def add(self, movie: Movie) -> None:
        """Count what the next movie has."""
        self._seen.extend(map(self._numbers.__getitem__, self._field.values(movie)))
        self._ends.append(len(self._seen))

    def counts(self) -> tuple[list[str], csr_array]:
        """The terms in alphabetical order, and float32 [N, terms]: how often each movie has each.

        Without those that too many movies have.
        """
        terms_of = [self._field.terms(value) for value in self._numbers]
        terms = sorted(set(chain.from_iterable(terms_of)))
        column_of = {term: column for column, term in enumerate(terms)}
        columns = np.fromiter(map(column_of.__getitem__, chain.from_iterable(terms_of)), dtype=np.int32)
        by_value = _ones(columns, np.cumsum([0, *map(len, terms_of)]), len(terms))
        seen, ends = np.frombuffer(self._seen, dtype=np.int32), np.frombuffer(self._ends, dtype=np.int64)
        counts = csr_array(_ones(seen, ends, len(terms_of)) @ by_value)
        counts.sort_indices()
        told_apart = np.flatnonzero(_movies_with(counts) <= max(self._field.most_common * counts.shape[0], _SMALL))
        return [terms[column] for column in told_apart.tolist()], counts[:, told_apart]


def _ones(columns: npt.NDArray[np.int32], ends: npt.NDArray[np.int64], width: int) -> csr_array:
    """A one for each of `columns`, of which each row has those from one of the `ends` to the next."""
    return csr_array((np.ones(columns.size, dtype=np.float32), columns, ends), shape=(ends.size - 1, width))


def _most_shared(terms: list[str], counts: csr_array, budget: int) -> npt.NDArray[np.int64]:
    """The columns of the `budget` terms that most movies have, in the alphabetical order of the terms."""
    by_use = np.lexsort((np.arange(len(terms)), -_movies_with(counts)))
    return np.sort(by_use[:budget])


def _movies_with(counts: csr_array) -> npt.NDArray[np.int64]:
    return np.bincount(counts.indices, minlength=counts.shape[1])
