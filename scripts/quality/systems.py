"""What recommends: a model in each of its moods, and the baselines that it is measured beside."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import TfidfVectorizer

from recsys_api.catalog import Movie
from recsys_api.model.kernel import WEIGHT_ONE, SimilarityIndex
from recsys_api.text import prose

Scores = npt.NDArray[np.float32]

_SOUP_FEATURES = 10_000
_KNN_NEIGHBOURS, _KNN_SHRINK = 50, 10.0
_EASE_RIDGE = 100.0
_EASE_MOST = 12_000
"""EASE has a matrix of all movies that anybody liked; above this many it is left out."""


@dataclass(frozen=True, slots=True)
class System:
    """Something that recommends."""

    name: str
    score: Callable[[csr_array], Scores]
    """From seeds, float32 [Q, N] with a 1 for each movie liked, to scores float32 [Q, N], higher is better."""


def content(name: str, rows: csr_array, *, factors: npt.NDArray[np.float32] | None = None) -> System:
    """Summed similarity to the seeds, the dot product of `rows` float32 [N, F], times `factors` [N]."""
    columns = rows.T.tocsr()

    def score(seeds: csr_array) -> Scores:
        scores: Scores = ((seeds @ rows) @ columns).toarray().astype(np.float32)
        return scores if factors is None else scores * factors

    return System(name, score)


def matrix_of(index: SimilarityIndex) -> csr_array:
    """The rows of a model's index, float32 [N, F]: what its similarities are dot products of."""
    weights = index.row_weights.astype(np.float32) / WEIGHT_ONE
    return csr_array((weights, index.row_features, index.row_offsets), shape=index.shape)


def one_soup(movies: Sequence[Movie]) -> csr_array:
    """TF-IDF rows of all text in one: overview three times, cast, keywords twice; uni- and bigrams, 10,000 features.

    What most content-based recommenders do (see for instance github.com/quocdat22/mlops-movie-recommendation).
    """
    documents = [
        " ".join([*prose(movie.overview) * 3, *_joined(movie.cast), *_joined(movie.keywords) * 2]) for movie in movies
    ]
    vectorizer = TfidfVectorizer(
        tokenizer=str.split, token_pattern=None, ngram_range=(1, 2), max_features=_SOUP_FEATURES, min_df=2, max_df=0.8,
        sublinear_tf=True,
    )  # fmt: skip
    try:
        return csr_array(vectorizer.fit_transform(documents).astype(np.float32))
    except ValueError:  # no term is in two movies
        return csr_array((len(movies), 1), dtype=np.float32)


def _joined(names: Sequence[str]) -> list[str]:
    return [name.lower().replace(" ", "") for name in names]


def at_random(movies: int, *, seed: int = 0) -> System:
    """Any movie as good as any other."""

    def score(seeds: csr_array) -> Scores:
        return np.random.default_rng(seed).random((seeds.shape[0], movies), dtype=np.float32)

    return System("random", score)


def popularity(counts: npt.NDArray[np.int64]) -> System:
    """The movies that most people rated, `counts` int64 [N], whoever asks."""

    def score(seeds: csr_array) -> Scores:
        return np.broadcast_to(counts.astype(np.float32), (seeds.shape[0], counts.size)).copy()

    return System("popularity", score)


def item_knn(likes: csr_array) -> System:
    """Who liked this also liked: shrunk cosines between the columns of `likes` float32 [users, N], the nearest fifty.

    similarity = c / sqrt(a b) * c / (c + 10), with c the people who liked both, a and b those who liked either (after
    Bell and Koren, "Scalable collaborative filtering with jointly derived neighborhood interpolation weights", 2007).
    """
    together = shrunk_cosine(likes, _KNN_SHRINK)
    size = together.shape[0]
    kept = min(_KNN_NEIGHBOURS, size - 1)
    nearest = np.argpartition(-together, kept, axis=1)[:, :kept]
    rows = np.zeros_like(together)
    np.put_along_axis(rows, nearest, np.take_along_axis(together, nearest, 1), 1)
    similar = csr_array(rows)
    return System("item-kNN", lambda seeds: (seeds @ similar).toarray().astype(np.float32))


def shrunk_cosine(likes: csr_array, shrink: float) -> npt.NDArray[np.float32]:
    """float32 [N, N], 0 on the diagonal: the cosine of two columns of `likes`, less where few people tell."""
    together = liked_together(likes)
    alone = np.sqrt(np.maximum(together.diagonal(), 1))
    np.fill_diagonal(together, 0)
    shrunk: npt.NDArray[np.float32] = together / (together + np.float32(shrink))
    return (shrunk * together / alone[:, None] / alone[None, :]).astype(np.float32)


def liked_together(likes: csr_array) -> npt.NDArray[np.float32]:
    """float32 [N, N]: how many people liked both."""
    dense = likes.toarray()
    return np.asarray(dense.T @ dense, dtype=np.float32)


def ease(likes: csr_array) -> System | None:
    """The linear model with a zero diagonal in closed form (Steck, "Embarrassingly shallow autoencoders", 2019).

    None where more movies were liked than there is room for a matrix of them.
    """
    liked = np.flatnonzero(np.bincount(likes.indices, minlength=likes.shape[1]))
    if liked.size > _EASE_MOST:
        return None
    few = likes[:, liked].toarray().astype(np.float64)
    if few.shape[0] < liked.size:  # the same inverse over people instead of movies (Woodbury's identity)
        inner = np.linalg.inv(few @ few.T + _EASE_RIDGE * np.eye(few.shape[0]))
        inverse = (np.eye(liked.size) - few.T @ inner @ few) / _EASE_RIDGE
    else:
        inverse = np.linalg.inv(few.T @ few + _EASE_RIDGE * np.eye(liked.size))
    weights = (-inverse / inverse.diagonal()).astype(np.float32)
    np.fill_diagonal(weights, 0)

    def score(seeds: csr_array) -> Scores:
        scores = np.zeros(seeds.shape, dtype=np.float32)
        scores[:, liked] = seeds[:, liked] @ weights
        return scores

    return System("EASE", score)
