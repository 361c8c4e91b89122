"""What each field is worth, learned from who liked what: few numbers, found by maximum likelihood.

Two questions are put. Given all other likes of a person, which movie is the one left out (as the next likes are asked
for)? Given one movie, which are liked by the same people (as a single recommendation is)? In both a softmax over the
summed similarity of the fields says how likely each movie is; its weights are not negative, and the problem is convex.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.sparse import csr_array, diags_array

from recsys_api.catalog import Movie
from recsys_api.model import features
from recsys_api.model.weights import Weight, Weights
from scripts.quality import protocols, systems
from scripts.quality.ratings import Ratings

Similarities = Mapping[str, npt.NDArray[np.float32]]
"""By field, float32 [N, N] with zeros on the diagonal."""

PAIRS_SHARE = 0.1
"""How much the second question counts. More would make single recommendations better and the next likes worse."""
_FEWEST_LIKES, _MOST_COUNTED, _MOST_NEIGHBOURS = 5, 50, 20
_RIDGE = 1e-3
_STEPS = 60


class _Question(NamedTuple):
    """Lists of which one movie each is the answer."""

    scores: npt.NDArray[np.float32]
    """float32 [Q, fields, N], each field to a spread of 1."""
    spread: npt.NDArray[np.float32]
    """float32 [fields]: what the scores were divided by."""
    open: npt.NDArray[np.bool_]
    """Which movies may be the answer beside the answers themselves, bool [Q, N]."""
    answers: list[npt.NDArray[np.int64]]
    worth: list[npt.NDArray[np.float64]]
    """For every answer, how much it counts; all add up to 1."""


def fields_alone(movies: Sequence[Movie], thin: Mapping[str, float]) -> dict[str, csr_array]:
    """Each field's rows float32 [N, terms], as if there were no other and its weight were 1."""
    weights = Weights({name: Weight(1.0, thin=value) for name, value in thin.items()}, compensation=0, damping=0)
    return features.blocks(movies, weights=weights)


def similarities(rows: Mapping[str, csr_array]) -> dict[str, npt.NDArray[np.float32]]:
    """Each field's similarities, from its rows."""
    found = {}
    for name, block in rows.items():
        near = (block @ block.T).toarray().astype(np.float32)
        np.fill_diagonal(near, 0)
        found[name] = near
    return found


def learn(near: Similarities, ratings: Ratings, *, pairs_share: float = PAIRS_SHARE) -> dict[str, float]:
    """Each field's weight; they add up to 1."""
    names = list(near)
    next_like = _maximum(_left_out(near, ratings))
    pair = _maximum(_liked_together(near, ratings))
    return dict(zip(names, ((1 - pairs_share) * next_like + pairs_share * pair).tolist(), strict=True))


def typical(rows: Mapping[str, csr_array], weights: Mapping[str, float], *, nearest: int = 10) -> dict[str, float]:
    """Each field's share of what movies have in common with their nearest."""
    scaled = {name: rows[name] * np.float32(np.sqrt(weights[name])) for name in rows}
    near = np.sum([(block @ block.T).toarray() for block in scaled.values()], axis=0)
    np.fill_diagonal(near, -1)
    kept = min(nearest, near.shape[0] - 1)
    best = np.argpartition(-near, kept, axis=1)[:, :kept].ravel()
    source = np.repeat(np.arange(near.shape[0]), kept)
    sums = {name: float(block[source].multiply(block[best]).sum()) for name, block in scaled.items()}
    whole = sum(sums.values())
    return {name: value / whole for name, value in sums.items()}


def _left_out(near: Similarities, ratings: Ratings) -> _Question:
    users = [user for user in ratings.each() if user.likes.size >= _FEWEST_LIKES]
    seeds = protocols.as_matrix([user.likes for user in users], ratings.movies)
    seeds = diags_array(1 / np.array([user.likes.size for user in users], dtype=np.float32)) @ seeds
    is_open = np.ones((len(users), ratings.movies), dtype=np.bool_)
    for i, user in enumerate(users):
        is_open[i, user.rows] = False
    # a like is no neighbour of itself (the diagonal is zero), so that each is foretold by the others
    counted = np.array([min(user.likes.size, _MOST_COUNTED) for user in users], dtype=np.float64)
    worth = [
        np.full(user.likes.size, share / user.likes.size)
        for user, share in zip(users, counted / counted.sum(), strict=True)
    ]
    return _question([seeds @ one for one in near.values()], is_open, [user.likes for user in users], worth)


def _liked_together(near: Similarities, ratings: Ratings) -> _Question:
    cases = protocols.neighbours(ratings, count=_MOST_NEIGHBOURS)
    queries = np.array([case.who for case in cases])
    is_open = np.ones((len(cases), ratings.movies), dtype=np.bool_)
    alike = systems.shrunk_cosine(protocols.likes_of(ratings), protocols.TRUTH_SHRINK)
    answers, worth = [], []
    for i, case in enumerate(cases):
        is_open[i, case.relevant] = False
        is_open[i, case.who] = False
        shares = alike[case.who, case.relevant].astype(np.float64)
        answers.append(case.relevant)
        worth.append(shares / shares.sum() / len(cases))
    return _question([one[queries] for one in near.values()], is_open, answers, worth)


def _question(
    scores: Sequence[npt.NDArray[np.float32]],
    is_open: npt.NDArray[np.bool_],
    answers: list[npt.NDArray[np.int64]],
    worth: list[npt.NDArray[np.float64]],
) -> _Question:
    stacked = np.stack(scores, axis=1)
    spread = stacked.std(axis=(0, 2))
    spread[spread == 0] = np.inf  # what is the same for all movies tells nothing, and gets no weight
    return _Question(stacked / spread[None, :, None], spread, is_open, answers, worth)


def _maximum(question: _Question) -> npt.NDArray[np.float64]:
    """The weights of the fields under which the answers are most likely, with a small ridge; they add up to 1."""

    def loss(weights: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        value, slope = _RIDGE / 2 * float(weights @ weights), _RIDGE * weights
        for scores, is_open, answers, worth in zip(
            question.scores, question.open, question.answers, question.worth, strict=True
        ):
            total = weights.astype(np.float32) @ scores
            top = total.max()
            odds = np.exp(total - top) * is_open
            of_answers = np.exp(total[answers] - top)
            sums = odds.sum() + of_answers
            value -= float(worth @ (total[answers] - top - np.log(sums)))
            expected = ((scores @ odds)[:, None] + scores[:, answers] * of_answers) / sums
            slope = slope - (scores[:, answers] - expected) @ worth
        return value, slope

    fields = question.spread.size
    found = minimize(
        loss, np.full(fields, 0.3), jac=True, method="L-BFGS-B", bounds=[(0, None)] * fields,
        options={"maxiter": _STEPS},
    )  # fmt: skip
    weights = found.x / question.spread
    return np.asarray(weights / weights.sum(), dtype=np.float64)
