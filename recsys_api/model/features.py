"""From movies to one sparse matrix of weighted features. Build time only: a worker never imports scikit-learn."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, hstack
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

from recsys_api.catalog import Movie
from recsys_api.model.fields import FIELDS, MAX_FEATURES, Field

_SMALL = 20
"""A term that so few movies have is never too common, however small the catalogue."""


@dataclass(frozen=True, slots=True)
class Features:
    """The fitted features of a catalogue."""

    matrix: csr_array
    """float32 [N, F]: each field's block of a row has the norm sqrt(weight), or is empty."""
    terms: dict[str, list[str]]
    """Each field's terms in the order of its columns; the blocks follow the table of fields."""
    idf: npt.NDArray[np.float32]
    """float32 [F]: inverse document frequency, 1 where a field does not use it."""


def fit(
    movies: Sequence[Movie], *, max_features: int = MAX_FEATURES, progress: Callable[[str], None] | None = None
) -> Features:
    """TF-IDF features of `movies` [N], at most `max_features` over all fields.

    Term frequencies are damped to 1 + ln(tf), document frequencies smoothed as if one more movie held every term
    (scikit-learn's TfidfTransformer). `progress` is told each field's name before it is counted.
    """
    counted: dict[str, tuple[list[str], csr_array]] = {}
    for field in FIELDS:
        if progress is not None:
            progress(field.name)
        counted[field.name] = _count(field, movies)
    budgets = spend({name: len(terms) for name, (terms, _) in counted.items()}, max_features)
    terms_kept: dict[str, list[str]] = {}
    blocks, idfs = [], []
    for field in FIELDS:
        terms, counts = counted[field.name]
        columns = _most_shared(terms, counts, budgets[field.name])
        if not columns.size:
            terms_kept[field.name] = []
            continue
        transformer = TfidfTransformer(sublinear_tf=True, use_idf=field.uses_idf)
        blocks.append(transformer.fit_transform(counts[:, columns]) * np.sqrt(field.weight))
        terms_kept[field.name] = [terms[column] for column in columns]
        idfs.append(transformer.idf_ if field.uses_idf else np.ones(columns.size))
    if not blocks:
        blocks, idfs = [csr_array((len(movies), 0))], [np.zeros(0)]
    matrix = csr_array(hstack(blocks, format="csr", dtype=np.float32))
    return Features(matrix=matrix, terms=terms_kept, idf=np.concatenate(idfs).astype(np.float32))


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


def _count(field: Field, movies: Sequence[Movie]) -> tuple[list[str], csr_array]:
    vectorizer = CountVectorizer(analyzer=field.tokens, dtype=np.float32)
    try:
        counts = vectorizer.fit_transform(movies)
    except ValueError:  # no movie has a token in this field
        return [], csr_array((len(movies), 0), dtype=np.float32)
    counts = csr_array(counts)
    told_apart = _movies_with(counts) <= max(field.most_common * len(movies), _SMALL)
    terms = vectorizer.get_feature_names_out()
    return terms[told_apart].tolist(), counts[:, told_apart]


def _most_shared(terms: list[str], counts: csr_array, budget: int) -> npt.NDArray[np.int64]:
    """The columns of the `budget` terms that most movies have, in the alphabetical order of the terms."""
    by_use = np.lexsort((np.arange(len(terms)), -_movies_with(counts)))
    return np.sort(by_use[:budget])


def _movies_with(counts: csr_array) -> npt.NDArray[np.int64]:
    return np.bincount(counts.indices, minlength=counts.shape[1])
