"""Top-k similarity is exact, and ordered the same on every machine."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array, csr_matrix
from sparse_dot_topn import sp_matmul_topn

from recsys_api.model.kernel import WEIGHT_ONE, SimilarityIndex, quantise
from recsys_api.model.neighbours import neighbours


def random_index(seed: int, rows: int, features: int) -> tuple[SimilarityIndex, np.ndarray]:
    """An index, and its weights as a dense matrix of whole numbers."""
    draw = np.random.default_rng(seed)
    dense = draw.random((rows, features)) * (draw.random((rows, features)) < 0.2)
    dense /= np.maximum(np.linalg.norm(dense, axis=1, keepdims=True), 1e-9)
    return SimilarityIndex.from_matrix(csr_array(dense)), quantise(dense).astype(np.int64)


def expected(weights: np.ndarray, row: int, k: int, allowed: np.ndarray) -> tuple[list[int], list[float]]:
    scores = (weights @ weights[row]).astype(np.float32) / np.float32(WEIGHT_ONE**2)
    candidates = [other for other in range(len(weights)) if other != row and allowed[other]]
    best = sorted(candidates, key=lambda other: (-scores[other], other))[:k]
    return best, scores[best].tolist()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 40), st.integers(1, 12), st.integers(1, 50), st.booleans())
def test_a_look_up_equals_the_dense_product_with_ties_in_the_order_of_rows(
    seed: int, rows: int, features: int, k: int, masked: bool
) -> None:
    index, weights = random_index(seed, rows, features)
    allowed = np.random.default_rng(seed).random(rows) < 0.5 if masked else np.ones(rows, dtype=bool)
    found = index.top_k(*index.features_of(seed % rows), k, allowed=allowed, excluded=seed % rows)
    best, scores = expected(weights, seed % rows, k, allowed)
    assert found.rows.tolist() == best
    assert found.scores.tolist() == scores


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 40), st.integers(1, 12), st.integers(1, 50), st.booleans())
def test_what_has_any_feature_of_a_query_is_found_as_by_a_look_up_of_all(
    seed: int, rows: int, features: int, k: int, masked: bool
) -> None:
    index, _ = random_index(seed, rows, features)
    allowed = np.random.default_rng(seed).random(rows) < 0.5 if masked else np.zeros(0, dtype=bool)
    for row in (seed % rows, 0):  # twice: nothing of the first is left over for the second
        query = index.features_of(row)
        found, every = (find(*query, k, scale=1.5, allowed=allowed) for find in (index.matching, index.top_k))
        similar = every.scores > 0
        assert found.rows.tolist() == every.rows[similar].tolist()
        assert found.scores.tolist() == every.scores[similar].tolist()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 40), st.integers(1, 50), st.floats(0, 1), st.booleans(), st.booleans())
def test_factors_order_the_floor_leaves_out_and_one_copy_stands_for_all(
    seed: int, rows: int, k: int, lowest: float, unlike: bool, has_copies: bool
) -> None:
    index, weights = random_index(seed, rows, 5)
    draw = np.random.default_rng(seed)
    factors = draw.uniform(0.5, 3, rows).astype(np.float32)
    copies = draw.integers(-1, rows // 3 + 1, rows).astype(np.int32) if has_copies else np.zeros(0, dtype=np.int32)
    query = weights[0] - (weights[-1] // 2 if unlike else 0)
    features = np.flatnonzero(query).astype(np.int32)
    found = index.top_k(
        features, query[features].astype(np.int32), k, lowest=lowest, excluded=0, factors=factors, copies=copies
    )
    similarity = (weights @ query).astype(np.float32) / np.float32(WEIGHT_ONE**2)
    similarity = np.minimum(similarity, np.float32(1))
    group = copies if copies.size else np.full(rows, -1)
    best: list[int] = []
    for row in sorted(range(1, rows), key=lambda row: (-(similarity[row] * factors[row]), row)):
        taken = {group[other] for other in (0, *best)} - {-1}
        if similarity[row] >= np.float32(lowest) and group[row] not in taken:
            best.append(row)
    assert found.rows.tolist() == best[:k]
    assert found.scores.tolist() == similarity[best[:k]].tolist()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(1, 70), st.booleans())
def test_the_table_of_neighbours_equals_one_look_up_after_another(seed: int, rows: int, k: int, plain: bool) -> None:
    index, _ = random_index(seed, rows, 12)
    draw = np.random.default_rng(seed)
    factors = np.ones(rows, dtype=np.float32) if plain else draw.uniform(0.5, 3, rows).astype(np.float32)
    copies = np.full(rows, -1, dtype=np.int32) if plain else draw.integers(-1, rows, rows).astype(np.int32)
    table = neighbours(index, k, factors=factors, copies=copies, threads=2)
    assert table.rows.shape == (rows, min(k, rows - 1))
    for row in range(rows):
        alone = index.top_k(*index.features_of(row), k, excluded=row, factors=factors, copies=copies)
        count = alone.rows[: rows - 1].size
        assert table.rows[row, :count].tolist() == alone.rows[: rows - 1].tolist()
        assert table.scores[row, :count].tolist() == alone.scores[: rows - 1].tolist()
        assert set(table.rows[row, count:].tolist()) <= {rows}


def test_the_table_of_many_rows_with_common_and_rare_features_equals_look_ups() -> None:
    rows, features, each = 40_000, 2_000, 12
    draw = np.random.default_rng(5)
    columns = (features * draw.random((rows, each)) ** 4).astype(np.int32)
    columns[100:200] = 0  # like everything a little, and like each other more
    weights = draw.random((rows, each)) * (draw.random((rows, each)) < 0.9)
    weights[200:210] = 0  # like nothing
    matrix = csr_array((weights.ravel(), columns.ravel(), np.arange(0, weights.size + 1, each)), shape=(rows, features))
    matrix.sum_duplicates()
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    index = SimilarityIndex.from_matrix(csr_array(matrix.multiply(1 / np.maximum(norms, 1e-9)[:, None])))
    factors = draw.uniform(0.5, 3, rows).astype(np.float32)
    copies = np.where(draw.random(rows) < 0.1, draw.integers(0, 1000, rows), -1).astype(np.int32)
    table = neighbours(index, 20, factors=factors, copies=copies)
    for row in [*range(95, 215), *range(0, rows, 331), *range(rows - 20, rows)]:
        alone = index.top_k(*index.features_of(row), 20, excluded=row, factors=factors, copies=copies)
        similar = alone.scores > 0
        assert table.scores[row].tolist() == alone.scores.tolist()
        assert table.rows[row, similar].tolist() == alone.rows[similar].tolist()


def test_scores_agree_with_sparse_dot_topn_on_3000_rows() -> None:
    index, weights = random_index(7, 3000, 400)
    matrix = csr_matrix(weights.astype(np.float64) / WEIGHT_ONE)
    theirs = sp_matmul_topn(matrix, matrix.T.tocsr(), top_n=11, sort=True)
    ours = neighbours(index, 10)
    for row in range(0, 3000, 17):
        others = dict(zip(theirs[row].indices, theirs[row].data, strict=True))
        others.pop(row, None)
        np.testing.assert_allclose(sorted(others.values(), reverse=True)[:10], ours.scores[row], atol=1e-6)


def test_a_row_is_as_similar_to_itself_as_to_its_double_and_never_more_than_one() -> None:
    dense = np.array([[0.6, 0.8, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
    index = SimilarityIndex.from_matrix(csr_array(dense))
    found = index.top_k(*index.features_of(0), 5, excluded=0)
    assert found.rows.tolist() == [1, 2]
    assert 0.9999 < found.scores[0] <= 1.0
    assert found.scores[1] == 0.0


def test_progress_is_told_of_every_row() -> None:
    index, _ = random_index(1, 1500, 20)
    told: list[int] = []
    neighbours(index, 3, threads=2, progress=told.append)
    assert sum(told) == 1500


def test_what_progress_raises_ends_the_work() -> None:
    index, _ = random_index(1, 1500, 20)

    def interrupt(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        neighbours(index, 3, threads=2, progress=interrupt)
