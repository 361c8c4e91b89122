"""Which movies are the same one twice, and which belong to one series. Build time only."""
from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from numba import njit, types

from recsys_api.catalog import Catalog
from recsys_api.model.kernel import ALONE, Int32s, Int64s, SimilarityIndex
from recsys_api.model.titles import fold_title
from recsys_api.text import fold

_NEAR_IN_YEARS = 1
_ALIKE = 0.9
_FEWEST_TERMS = 8
_BANDS, _HASHES_IN_BAND, _SEED = 16, 2, 7
_SUBTITLE = re.compile(r":\s|\s[-\u2013\u2014]\s")
_COUNTED = re.compile(r"(?: (?:part|chapter|episode|vol|volume))? \d{1,2}$")


def copies(movies: Catalog, index: SimilarityIndex, text: range) -> Int32s:
    """One number for all rows that are near-duplicates of each other, ALONE for the others: int32 [N].

    Near-duplicates have the same folded title and years at most one apart, or texts that share nine in ten of their
    terms. `text` are the features of `index` that stand for a movie's text.
    """
    return _groups(len(movies), [*_namesakes(movies), *_alike(index, text)])


def franchises(movies: Catalog) -> Int32s:
    """One number for all rows of a series, ALONE for the others: int32 [N].

    Of one series are the movies that the source puts into one collection and, where it does not say, those whose titles
    are the same up to a number or a subtitle.
    """
    told = [(_stem(movie.title), fold(movie.collection)) for movie in movies]
    collections: dict[str, str] = {}
    for stem, collection in told:
        if collection:
            collections.setdefault(stem, collection)
    by_key: dict[Hashable, list[int]] = defaultdict(list)
    for row, (stem, its_own) in enumerate(told):
        collection = its_own or collections.get(stem, "")
        by_key[("collection", collection) if collection else ("title", stem)].append(row)
    return _groups(len(movies), ((rows[0], row) for rows in by_key.values() for row in rows[1:]))


def _stem(title: str) -> str:
    """The folded title without its subtitle and its number: all that the titles of most series share."""
    return _COUNTED.sub("", fold_title(_SUBTITLE.split(title)[0])) or fold_title(title)


def _namesakes(movies: Catalog) -> Iterator[tuple[int, int]]:
    by_title: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for row, movie in enumerate(movies):
        if movie.year and (title := fold_title(movie.title)):
            by_title[title].append((movie.year, row))
    for found in by_title.values():
        found.sort()
        for (year, row), (next_year, next_row) in pairwise(found):
            if next_year - year <= _NEAR_IN_YEARS:
                yield row, next_row


def _alike(index: SimilarityIndex, text: range) -> Iterator[tuple[int, int]]:
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
    for _ in range(_BANDS):
        key = np.zeros(rows.size, dtype=np.int64)
        for _ in range(_HASHES_IN_BAND):
            key = key * len(text) + _least_hashes(rows, begins, terms, draw.permutation(len(text)))
        order = np.argsort(key, kind="stable")
        same = np.flatnonzero(key[order][1:] == key[order][:-1])
        one, other = rows[order[same]], rows[order[same + 1]]
        alike = _share_most(one, other, begins, terms)
        yield from zip(one[alike].tolist(), other[alike].tolist(), strict=True)


_NUMBERS = types.int64[::1]


@njit(_NUMBERS(_NUMBERS, _NUMBERS, types.int32[::1], _NUMBERS), nogil=True, cache=True)
def _least_hashes(rows: Int64s, begins: Int64s, terms: Int32s, hashes: Int64s) -> Int64s:
    """The least hash of the terms of each of `rows`."""
    least = np.empty(rows.size, dtype=np.int64)
    for i in range(rows.size):
        least[i] = hashes[terms[begins[rows[i]]]]
        for j in range(begins[rows[i]] + 1, begins[rows[i] + 1]):
            least[i] = min(least[i], hashes[terms[j]])
    return least


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


def _groups(size: int, pairs: Iterable[tuple[int, int]]) -> npt.NDArray[np.int32]:
    """The lowest row of each row's group, where groups are what `pairs` join; ALONE in a group of one."""
    parents = list(range(size))

    def root(row: int) -> int:
        while parents[row] != row:
            parents[row] = row = parents[parents[row]]
        return row

    joined: set[int] = set()
    for row, other in pairs:
        low, high = sorted((root(row), root(other)))
        parents[high] = low
        joined.update((row, other))
    groups = np.full(size, ALONE, dtype=np.int32)
    for row in joined:
        groups[row] = root(row)
    return groups
