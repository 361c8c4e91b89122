"""How good lists are, and how sure that is."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

DEPTH = 100
"""How far down a list is looked for the first hit."""
K, RECALL_K = 10, 20
RESAMPLES = 1000
_SURE = (2.5, 97.5)

Lists = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Estimate(NamedTuple):
    """A figure with the interval that holds it with a confidence of 95 %."""

    value: float
    low: float
    high: float


def hits(lists: Lists, relevant: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.bool_]:
    """Which places of each list hold a relevant row, bool [Q, DEPTH]."""
    return np.array([np.isin(rows, wanted) for rows, wanted in zip(lists, relevant, strict=True)])


def ndcg(found: npt.NDArray[np.bool_], relevant: Sequence[npt.NDArray[np.int64]], k: int = K) -> Floats:
    """Normalised discounted cumulative gain at `k` with gains of 0 and 1 (Järvelin and Kekäläinen 2002), per list."""
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.array([discounts[: max(1, min(k, wanted.size))].sum() for wanted in relevant])
    shown = found[:, :k]
    return np.asarray(shown @ discounts[: shown.shape[1]] / ideal, dtype=np.float64)


def per_list(lists: Lists, relevant: Sequence[npt.NDArray[np.int64]]) -> dict[str, Floats]:
    """The metrics that are means over lists."""
    found = hits(lists, relevant)
    first = np.where(found.any(axis=1), found.argmax(axis=1) + 1, np.inf)
    sizes = np.array([max(1, wanted.size) for wanted in relevant])
    return {
        f"ndcg@{K}": ndcg(found, relevant),
        f"recall@{RECALL_K}": found[:, :RECALL_K].sum(axis=1) / sizes,
        "mrr": 1 / first,
        f"hit rate@{K}": found[:, :K].any(axis=1).astype(np.float64),
    }


def diversity(lists: Lists, rows: csr_array) -> Floats:
    """Per list, 1 less the mean similarity of its first ten to each other, similarity the dot product of `rows`."""
    shown = lists[:, :K]
    count, size = shown.shape
    ones = np.ones(shown.size, dtype=np.float32)
    members = csr_array((ones, shown.ravel(), np.arange(0, shown.size + 1, size)), shape=(count, rows.shape[0]))
    # the pairs of a sum squared, less each with itself
    together, alone = _squares(members @ rows), _squares(rows)[shown].sum(axis=1)
    apart: Floats = 1 - (together - alone) / max(1, size * (size - 1))
    return apart


def _squares(rows: csr_array) -> Floats:
    return np.asarray(rows.multiply(rows).sum(axis=1), dtype=np.float64).ravel()


def coverage(shown: npt.NDArray[np.int64]) -> float:
    """The share of movies that anybody is shown; `shown` int64 [N] counts in how many lists each is."""
    return float(np.count_nonzero(shown) / shown.size)


def gini(shown: npt.NDArray[np.int64]) -> float:
    """How unequally movies are shown: 0 where all are alike, near 1 where one is in every list."""
    ordered = np.sort(shown).astype(np.float64)
    total = ordered.sum()
    if not total:
        return 0.0
    ranks = np.arange(1, ordered.size + 1)
    return float((2 * ranks - ordered.size - 1) @ ordered / (ordered.size * total))


def mean(values: Floats, *, seed: int = 0) -> Estimate:
    """The mean of `values` [Q] with the percentile bootstrap's interval over lists (Efron 1979)."""
    means = draws(values.size, seed) @ values / values.size
    low, high = np.percentile(means, _SURE)
    return Estimate(float(values.mean()), float(low), float(high))


def ratio(values: Floats, others: Floats, *, seed: int = 0) -> Estimate:
    """How many times the mean of `others` the mean of `values` is, both about the same people."""
    drawn = draws(values.size, seed)
    ratios = (drawn @ values) / np.maximum(drawn @ others, np.finfo(float).tiny)
    low, high = np.percentile(ratios, _SURE)
    return Estimate(float(values.mean() / max(others.mean(), np.finfo(float).tiny)), float(low), float(high))


def of_all(lists: Lists, movies: int, figure: Callable[[npt.NDArray[np.int64]], float], *, seed: int = 0) -> Estimate:
    """A figure of all lists together, with the bootstrap's interval over lists.

    Drawn with replacement some lists are missing, so that fewer movies are seen than in truth; the interval is moved by
    the difference between the mean of the draws and the figure (the bias that the bootstrap itself estimates).
    """
    top = lists[:, :K]
    value = figure(np.bincount(top.ravel(), minlength=movies))
    of_draws = np.array(
        [
            figure(np.bincount(top.ravel(), weights=np.repeat(counts, top.shape[1]), minlength=movies).astype(np.int64))
            for counts in draws(len(lists), seed, RESAMPLES // 5)
        ]
    )
    low, high = np.percentile(of_draws, _SURE) + value - of_draws.mean()
    return Estimate(value, float(low), float(high))


@lru_cache(maxsize=4)
def draws(size: int, seed: int, resamples: int = RESAMPLES) -> Floats:
    """float64 [resamples, size]: how often each of `size` things is drawn."""
    chances = np.full(size, 1 / size)
    return np.random.default_rng(seed).multinomial(size, chances, resamples).astype(np.float64)
