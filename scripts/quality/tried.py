"""What else a field could have been: every transform that was tried, on both halves, those that lost too."""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

import numpy as np
from scipy.sparse import csr_array, diags_array, hstack
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

from recsys_api.catalog import Movie
from recsys_api.model.fields import FIELDS
from recsys_api.text import fold, prose
from scripts.quality import evaluation, halves, learn
from scripts.quality.evaluation import SIMILARITY, Subject
from scripts.quality.ratings import Ratings

Rows = dict[str, csr_array]

_BM25_K, _BM25_B = 1.2, 0.75


def outcomes(movies: Sequence[Movie], ratings: Ratings, *, seed: int) -> list[list[str]]:
    """A row for each transform: its name, and nDCG@10 of the similarity alone and balanced, and coverage, both ways.

    Fields are learned anew for each; nothing is made up for missing fields and hubs are not held back, so that the
    transforms alone differ.
    """
    shipped = learn.fields_alone(movies, {field.name: halves.thin_of(field.name) for field in FIELDS})
    ways = ratings.halves(seed)
    told = []
    for name, change in _CHANGES.items():
        rows = change(dict(shipped), movies)
        near = learn.similarities(rows)
        figures = [_figures(movies, rows, near, *way) for way in (ways, ways[::-1])]
        means = np.mean(figures, axis=0)
        told.append([name, *(f"{value:.4f}" for value in means[:2]), f"{means[2]:.3f}"])
    return told


def _figures(
    movies: Sequence[Movie], rows: Rows, near: learn.Similarities, learned_on: Ratings, reported_on: Ratings
) -> list[float]:
    weights = learn.learn(near, learned_on)
    scaled = hstack([rows[name] * np.float32(np.sqrt(weight)) for name, weight in weights.items()], format="csr")
    subject = Subject(movies, csr_array(scaled.astype(np.float32)), halves.factors_of(learned_on))
    told = evaluation.next_likes(subject, reported_on).figures
    return [
        told[SIMILARITY]["ndcg@10"].value, told["balanced"]["ndcg@10"].value, told["balanced"]["coverage@10"].value,
    ]  # fmt: skip


def _unit(counts: csr_array, *, uses_idf: bool = True, saturate: bool = True) -> csr_array:
    return csr_array(TfidfTransformer(sublinear_tf=saturate, use_idf=uses_idf).fit_transform(counts))


def _counts(lists: Sequence[Sequence[str]]) -> csr_array:
    return csr_array(CountVectorizer(analyzer=list, dtype=np.float32).fit_transform(lists))


def _keywords_thin(thin: float) -> Callable[[Rows, Sequence[Movie]], Rows]:
    def change(rows: Rows, movies: Sequence[Movie]) -> Rows:
        return rows | {"keywords": learn.fields_alone(movies, _thin_with("keywords", thin))["keywords"]}

    return change


def _thin_with(name: str, thin: float) -> dict[str, float]:
    return {field.name: halves.thin_of(field.name) for field in FIELDS} | {name: thin}


def _bm25(rows: Rows, movies: Sequence[Movie]) -> Rows:
    """Saturated counts by Robertson and Zaragoza's BM25 instead of 1 + ln tf, in the overview."""
    counts = _counts([prose(movie.overview) for movie in movies])
    lengths = np.asarray(counts.sum(axis=1)).ravel()
    relative = 1 - _BM25_B + _BM25_B * lengths / max(lengths.mean(), 1)
    places = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    counts.data = counts.data * (_BM25_K + 1) / (counts.data + _BM25_K * relative[places])
    return rows | {"overview": _unit(counts, saturate=False)}


def _years(*spans: int) -> Callable[[Rows, Sequence[Movie]], Rows]:
    def change(rows: Rows, movies: Sequence[Movie]) -> Rows:
        lists = [
            [f"{span} {movie.year - i}" for span in spans for i in range(span)] if movie.year else []
            for movie in movies
        ]
        return rows | {"year": _unit(_counts(lists), uses_idf=False)}

    return change


def _no_year(rows: Rows, movies: Sequence[Movie]) -> Rows:
    return {name: block for name, block in rows.items() if name != "year"}


def _cast_decay(rows: Rows, movies: Sequence[Movie]) -> Rows:
    """The second name half as much as the first, the third a third."""
    counts = _counts([[fold(name) for name in movie.cast[:5]] for movie in movies])
    rank = {(i, fold(name)): place for i, movie in enumerate(movies) for place, name in enumerate(movie.cast[:5], 1)}
    names = CountVectorizer(analyzer=list).fit([[fold(name) for name in movie.cast[:5]] for movie in movies])
    terms = names.get_feature_names_out()
    places = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    decay = [1 / rank[int(i), terms[column]] for i, column in zip(places, counts.indices, strict=True)]
    block = TfidfTransformer(norm=None, sublinear_tf=True).fit_transform(counts)
    block = csr_array((block.data * np.array(decay, dtype=np.float32), block.indices, block.indptr), shape=block.shape)
    return rows | {"cast": _to_one(block)}


def _to_one(block: csr_array) -> csr_array:
    squares = np.asarray(block.multiply(block).sum(axis=1)).ravel()
    return csr_array(diags_array(1 / np.sqrt(np.maximum(squares, np.finfo(np.float32).tiny))) @ block)


def _franchises(rows: Rows, movies: Sequence[Movie]) -> Rows:
    """Instead of the words of a title, its beginnings of two words and more that other titles have, too."""
    lists = []
    for movie in movies:
        words = fold(movie.title).removeprefix("the ").split()
        lists.append([" ".join(words[:length]) for length in range(2, min(len(words), 5) + 1)])
    frequent = Counter(beginning for beginnings in lists for beginning in beginnings)
    return rows | {"title": _unit(_counts([[one for one in found if frequent[one] > 1] for found in lists]))}


def _genre_pairs(rows: Rows, movies: Sequence[Movie]) -> Rows:
    lists = [["+".join(pair) for pair in combinations(sorted(movie.genres), 2)] for movie in movies]
    return rows | {"genre pairs": _unit(_counts(lists))}


def _related_keywords(rows: Rows, movies: Sequence[Movie]) -> Rows:
    """Each movie gets a share of the ten keywords that most go with its own (by pointwise mutual information)."""
    counts = _counts([[fold(keyword) for keyword in movie.keywords] for movie in movies])
    together = (counts.T @ counts).toarray()
    alone = np.maximum(together.diagonal(), 1)
    np.fill_diagonal(together, 0)
    surprise = np.where(together >= 3, together * counts.shape[0] / alone[:, None] / alone[None, :], 1)
    related = np.maximum(np.log(surprise), 0)
    tenth = -np.partition(-related, 9, axis=1)[:, 9:10]
    related[related < tenth] = 0
    spread = _to_one(csr_array(related.astype(np.float32)))
    own = _unit(counts)
    return rows | {"keywords": _to_one(csr_array(own + 0.3 * (own @ spread)))}


def _as_it_is(rows: Rows, movies: Sequence[Movie]) -> Rows:
    return rows


_CHANGES: Mapping[str, Callable[[Rows, Sequence[Movie]], Rows]] = {
    "as shipped": _as_it_is,
    "keywords count in full, however few": _keywords_thin(0),
    "half of the keywords' weight by 4 rare ones": _keywords_thin(4),
    "half of the keywords' weight by 16 rare ones": _keywords_thin(16),
    "keywords with related keywords": _related_keywords,
    "overview saturated by BM25": _bm25,
    "cast decaying by rank": _cast_decay,
    "titles by their beginnings": _franchises,
    "genres and pairs of genres": _genre_pairs,
    "spans of 15 years": _years(15),
    "spans of 4 and 15 years": _years(4, 15),
    "no year": _no_year,
}

