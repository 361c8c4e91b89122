"""Exact nearest films beside sparse_dot_topn, scipy and scikit-learn, on the same rows."""
from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.metrics.pairwise import linear_kernel
from sparse_dot_topn import sp_matmul_topn

from recsys_api.model import store
from recsys_api.model.build import NEIGHBOURS
from recsys_api.model.kernel import WEIGHT_ONE, SimilarityIndex
from recsys_api.model.neighbours import neighbours
from scripts.bench.models import scaled_model
from scripts.bench.results import Result
from scripts.bench.timing import milliseconds, p50

_TOP_K, _SEED = 10, 11
_OURS, _TOPN, _SCIPY, _SKLEARN = "the service", "sparse_dot_topn", "scipy", "scikit-learn"
_LARGE = 300_000


def add_options(parser: argparse.ArgumentParser) -> None:
    """Its own options."""
    parser.add_argument("--rows", type=int, help="look-ups of each (default: 200; with --quick 100)")


def run(arguments: argparse.Namespace) -> list[Result]:
    """Milliseconds of a live top-10 look-up at two sizes, and seconds of the table of all rows' nearest."""
    rows = arguments.rows or (100 if arguments.quick else 200)
    index = store.load(arguments.model).index
    results = [*_look_ups(index, rows), *_table(index, 1 if arguments.quick else 2)]
    if not arguments.quick:
        results += _look_ups(store.load(scaled_model(_LARGE)).index, rows // 2)
    return results


def _look_ups(index: SimilarityIndex, count: int) -> list[Result]:
    matrix = _matrix(index)
    transposed = matrix.T.tocsr()
    drawn = np.random.default_rng(_SEED).choice(index.shape[0], count, replace=False).tolist()
    row_of = {row: matrix[row] for row in drawn}

    def ours(row: int) -> list[float]:
        found: list[float] = index.top_k(*index.features_of(row), _TOP_K, excluded=row).scores.tolist()
        return found

    def topn(row: int) -> list[float]:
        found = sp_matmul_topn(row_of[row], transposed, top_n=_TOP_K + 1, sort=True)
        return _first(found.data[found.indices != row])

    def scipy(row: int) -> list[float]:
        found = row_of[row] @ transposed
        return _first(_greatest(found.data[found.indices != row]))

    def sklearn(row: int) -> list[float]:
        found = linear_kernel(row_of[row], matrix)[0]
        found[row] = -1
        return _first(_greatest(found))

    calls: dict[str, Callable[[int], list[float]]] = {_OURS: ours, _TOPN: topn, _SCIPY: scipy, _SKLEARN: sklearn}
    agree = [np.allclose(ours(row), topn(row), atol=1e-5) for row in drawn if len(topn(row)) == _TOP_K]
    taken = milliseconds(calls, drawn)
    medians = {name: p50(samples) for name, samples in taken.items()}
    at = f"at {index.shape[0]:,} films"
    return [
        *(Result(f"live top 10 {at}, {name}, P50", median, "ms") for name, median in medians.items()),
        Result(f"live top 10 {at}, the service, P99", float(np.quantile(taken[_OURS], 0.99)), "ms"),
        *(
            Result(
                f"live top 10 {at}, {name} : the service", medians[name] / medians[_OURS], "x",
                at_least=4 if name == _TOPN else None,
            )
            for name in (_TOPN, _SCIPY, _SKLEARN)
        ),
        Result(f"look-ups {at} with the same similarities as sparse_dot_topn's", 100 * float(np.mean(agree)), "%",
               at_least=100),
    ]  # fmt: skip


def _table(index: SimilarityIndex, rounds: int) -> list[Result]:
    matrix = _matrix(index)
    transposed, threads = matrix.T.tocsr(), os.cpu_count() or 1
    seconds: dict[str, list[float]] = {_OURS: [], _TOPN: []}
    for _ in range(rounds):
        for name, call in (
            (_OURS, lambda: neighbours(index, NEIGHBOURS, threads=threads)),
            (_TOPN, lambda: sp_matmul_topn(matrix, transposed, top_n=NEIGHBOURS + 1, sort=True, n_threads=threads)),
        ):
            print(f"all pairs by {name} ...", file=sys.stderr)
            begun = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - begun)
    what = f"table of the nearest {NEIGHBOURS} of {index.shape[0]:,} films on {threads} threads"
    best = {name: min(taken) for name, taken in seconds.items()}
    return [
        *(Result(f"{what}, {name}", taken, "s") for name, taken in best.items()),
        Result(f"{what}, {_TOPN} : {_OURS}", best[_TOPN] / best[_OURS], "x", at_least=1.4),
    ]


def _matrix(index: SimilarityIndex) -> csr_matrix:
    """The rows of `index` as the others take them."""
    weights = index.row_weights.astype(np.float32) / np.float32(WEIGHT_ONE)
    return csr_matrix((weights, index.row_features, index.row_offsets), shape=index.shape)


def _greatest(scores: np.ndarray) -> np.ndarray:
    found = scores if scores.size <= _TOP_K else scores[np.argpartition(scores, -_TOP_K)[-_TOP_K:]]
    return np.sort(found)[::-1]


def _first(scores: np.ndarray) -> list[float]:
    first: list[float] = np.asarray(scores)[:_TOP_K].tolist()
    return first
