"""Which movies are the same one twice, and which belong to one series. Build time only."""
from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit, types
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from recsys_api.catalog import Movie
from recsys_api.catalog.numbering import numbers
from recsys_api.model.kernel import ALONE, Int32s, Int64s, SimilarityIndex
from recsys_api.model.titles import fold_title
from recsys_api.text import fold

_NEAR_IN_YEARS = 1
_ALIKE = 0.9
_FEWEST_TERMS = 8
_BANDS, _HASHES_IN_BAND, _SEED = 16, 2, 7
_SUBTITLE = re.compile(r":\s|\s[-\u2013\u2014]\s")
_COUNTED = re.compile(r"(?: (?:part|chapter|episode|vol|volume))? \d{1,2}$")


class Names(NamedTuple):
    """What a movie is called."""

    title: str
    original_title: str
    collection: str

    @classmethod
    def of(cls, movie: Movie) -> Names:
        """Those of `movie`."""
        return cls(movie.title, movie.original_title, movie.collection)


def copies(names: Sequence[Names], years: npt.NDArray[np.int16], index: SimilarityIndex, *, text: range) -> Int32s:
    """One number for all rows that are near-duplicates of each other, ALONE for the others: int32 [N].

    Near-duplicates have the same folded title and years at most one apart, or texts that share nine in ten of their
    terms. `text` are the features of `index` that stand for a movie's text.
    """
    one, other = np.concatenate([_namesakes(names, years), *_alike(index, text)], axis=1)
    joined = coo_array((np.ones(one.size, dtype=np.bool_), (one, other)), shape=(len(names), len(names)))
    return _groups(connected_components(joined, directed=False)[1])


def franchises(names: Sequence[Names]) -> Int32s:
    """One number for all rows of a series, ALONE for the others: int32 [N].

    Of one series are the movies that the source puts into one collection and, where it does not say, those whose titles
    are the same up to a number or a subtitle.
    """
    told = [(_stem(each.title), fold(each.collection)) for each in names]
    collections: dict[str, str] = {}
    for stem, collection in told:
        if collection:
            collections.setdefault(stem, collection)
    of_title, of_collection = numbers(), numbers()
    keys = np.empty(len(names), dtype=np.int64)
    for row, (stem, its_own) in enumerate(told):
        collection = its_own or collections.get(stem, "")
        keys[row] = -1 - of_collection[collection] if collection else of_title[stem]
    return _groups(keys)


def _stem(title: str) -> str:
    """The folded title without its subtitle and its number: all that the titles of most series share."""
    return _COUNTED.sub("", fold_title(_SUBTITLE.split(title)[0])) or fold_title(title)


def _namesakes(names: Sequence[Names], years: npt.NDArray[np.int16]) -> Int64s:
    """Pairs of rows whose folded titles are the same, with the next year: int64 [2, pairs]."""
    number_of = numbers()
    titles = np.fromiter((number_of[fold_title(each.title)] for each in names), dtype=np.int64, count=len(names))
    rows = np.flatnonzero((years > 0) & (titles != number_of[""]))
    rows = rows[np.lexsort((years[rows], titles[rows]))]
    one, other = rows[:-1], rows[1:]
    are = (titles[one] == titles[other]) & (years[other] - years[one] <= _NEAR_IN_YEARS)
    return np.stack([one[are], other[are]])


def _alike(index: SimilarityIndex, text: range) -> Iterator[Int64s]:
    """Pairs of rows whose texts share most of their terms, among those that fall into one bucket of a MinHash.

    Texts of the Jaccard similarity 0.9 share a bucket but for one pair in 10**11: (1 - 0.9**2)**16 (Broder, On the
    resemblance and containment of documents, 1997). Within a bucket each is compared with the next one only.
    """
    kept = (index.row_features >= text.start) & (index.row_features < text.stop)
    begins = np.concatenate([[0], np.cumsum(kept)])[index.row_offsets]
    rows = np.flatnonzero(np.diff(begins) >= _FEWEST_TERMS)
    terms = index.row_features[kept].astype(np.int32) - np.int32(text.start)
    if not rows.size:
        return
    draw = np.random.default_rng(_SEED)
    hashes = np.stack([draw.permutation(len(text)) for _ in range(_BANDS * _HASHES_IN_BAND)], axis=1).astype(np.int32)
    least = np.empty((rows.size, hashes.shape[1]), dtype=np.int32)
    _least_hashes(rows, begins, terms, hashes, least)
    for band in range(0, hashes.shape[1], _HASHES_IN_BAND):
        key = np.zeros(rows.size, dtype=np.int64)
        for i in range(band, band + _HASHES_IN_BAND):
            key = key * len(text) + least[:, i]
        order = np.argsort(key, kind="stable")
        same = np.flatnonzero(key[order][1:] == key[order][:-1])
        one, other = rows[order[same]], rows[order[same + 1]]
        alike = _share_most(one, other, begins, terms)
        yield np.stack([one[alike], other[alike]])


_NUMBERS = types.int64[::1]


_HASHES = types.int32[:, ::1]


@njit(types.void(_NUMBERS, _NUMBERS, types.int32[::1], _HASHES, _HASHES), nogil=True, cache=True)
def _least_hashes(rows: Int64s, begins: Int64s, terms: Int32s, hashes: Int32s, least: Int32s) -> None:
    """Fill `least` with the least of each hash [terms, hashes] of the terms of each of `rows`."""
    for i in range(rows.size):
        least[i] = hashes[terms[begins[rows[i]]]]
        for j in range(begins[rows[i]] + 1, begins[rows[i] + 1]):
            for h in range(hashes.shape[1]):
                least[i, h] = min(least[i, h], hashes[terms[j], h])


@njit(types.boolean[::1](_NUMBERS, _NUMBERS, _NUMBERS, types.int32[::1]), nogil=True, cache=True)
def _share_most(rows: Int64s, others: Int64s, begins: Int64s, terms: Int32s) -> npt.NDArray[np.bool_]:
    """Which of `rows` share so many of their terms with the row at the same place of `others` that they are alike."""
    alike = np.empty(rows.size, dtype=np.bool_)
    for i in range(rows.size):
        one, other = begins[rows[i]], begins[others[i]]
        end, other_end = begins[rows[i] + 1], begins[others[i] + 1]
        different = end - one + other_end - other
        shared = 0
        while one < end and other < other_end:
            term, other_term = terms[one], terms[other]
            shared += term == other_term
            one += term <= other_term
            other += other_term <= term
        alike[i] = shared >= _ALIKE * (different - shared)
    return alike


def _groups(keys: npt.NDArray[np.integer[Any]]) -> Int32s:
    """The lowest row that has the key of each row, ALONE where no other has it."""
    _, lowest, place, sizes = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    return np.where(sizes[place] > 1, lowest[place], ALONE).astype(np.int32)
