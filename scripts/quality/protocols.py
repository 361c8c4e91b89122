"""What is asked: the next likes, the neighbours of a movie, and movies that nobody rated yet."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from scripts.quality.metrics import DEPTH, Lists
from scripts.quality.ratings import Ratings, Rows
from scripts.quality.systems import System, liked_together, shrunk_cosine

HELD_OUT = 0.2
_FEWEST_LIKES = 5
TRUTH_SHRINK = 10.0
_TRUE_NEIGHBOURS, _FEWEST_TOGETHER = 10, 2
COLD_FOLDS = 5
_BLOCK = 256


@dataclass(frozen=True, slots=True)
class Case:
    """One list to be asked for, and what it should hold."""

    who: int
    """The user, or the row of the movie."""
    seeds: Rows
    relevant: Rows
    hidden: Rows
    """What must not be in the list: what was seen before."""


def next_likes(ratings: Ratings) -> list[Case]:
    """The last fifth of everybody's likes by time, to be foretold from the likes before; at least one of at least five.

    Whatever was rated before the first of them has been seen.
    """
    cases = []
    for user in ratings.each():
        likes = user.likes
        if likes.size >= _FEWEST_LIKES:
            held_out = int(np.ceil(HELD_OUT * likes.size))
            seeds, relevant = likes[:-held_out], likes[-held_out:]
            first = int(np.flatnonzero(user.rows == relevant[0])[0])
            cases.append(Case(user.user, seeds, relevant, user.rows[:first]))
    return cases


def past(ratings: Ratings) -> Ratings:
    """What was rated before the likes that next_likes() asks for: all that a baseline may learn from."""
    keep = np.ones(len(ratings), dtype=np.bool_)
    hidden = {case.who: case.hidden.size for case in next_likes(ratings)}
    start = 0
    for user in ratings.each():
        if user.user in hidden:
            keep[start + hidden[user.user] : start + user.rows.size] = False
        start += user.rows.size
    return ratings.only(keep)


def neighbours(truth: Ratings, *, count: int = _TRUE_NEIGHBOURS) -> list[Case]:
    """For each movie that at least five people of `truth` liked, the `count` that they most liked with it.

    By the cosine of who liked them, shrunk where few tell (c / sqrt(a b) * c / (c + 10)); at least two liked both.
    """
    likes = likes_of(truth)
    alike = shrunk_cosine(likes, TRUTH_SHRINK)
    alike[liked_together(likes) < _FEWEST_TOGETHER] = 0
    cases = []
    for row in np.flatnonzero(np.bincount(likes.indices, minlength=truth.movies) >= _FEWEST_LIKES):
        best = np.argsort(-alike[row], kind="stable")[:count]
        best = best[alike[row, best] > 0]
        if best.size >= _FEWEST_LIKES:
            itself = np.array([row])
            cases.append(Case(int(row), itself, best.astype(np.int64), itself))
    return cases


def cold(ratings: Ratings, *, seed: int) -> list[tuple[npt.NDArray[np.bool_], list[Case]]]:
    """Five times: a fifth of the movies hidden from all ratings, and for everybody the hidden ones that they liked.

    Foretold from the likes that are not hidden; only hidden movies are in the lists. bool [N] says which are hidden.
    """
    fold_of = np.random.default_rng(seed).permutation(ratings.movies) % COLD_FOLDS
    folds = []
    for fold in range(COLD_FOLDS):
        is_hidden = fold_of == fold
        shown = np.flatnonzero(~is_hidden)
        cases = []
        for user in ratings.each():
            likes = user.likes
            wanted = is_hidden[likes]
            if likes.size >= _FEWEST_LIKES and 0 < wanted.sum() < likes.size:
                cases.append(Case(user.user, likes[~wanted], likes[wanted], shown))
        folds.append((is_hidden, cases))
    return folds


def likes_of(ratings: Ratings) -> csr_array:
    """float32 [users, N]: a 1 for every like."""
    return as_matrix([user.likes for user in ratings.each()], ratings.movies)


def as_matrix(rows: Sequence[Rows], movies: int) -> csr_array:
    """float32 [len(rows), movies] with a 1 in each of the rows named."""
    offsets = np.cumsum([0, *(one.size for one in rows)])
    places = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64)
    matrix = csr_array((np.ones(places.size, dtype=np.float32), places, offsets), shape=(len(rows), movies))
    matrix.sort_indices()
    return matrix


def lists(system: System, cases: Sequence[Case], movies: int, *, seed: int = 0) -> Lists:
    """int64 [cases, DEPTH]: the best rows for every case, best first.

    Ties are broken by lot, the same lot for every system: by movie_id they would favour the old or the new.
    """
    lot = np.random.default_rng(seed).permutation(movies)
    depth = min(DEPTH, movies)
    found = []
    for block in _blocks(cases):
        scores = system.score(as_matrix([case.seeds for case in block], movies))
        for i, case in enumerate(block):
            scores[i, case.hidden] = -np.inf
        order = np.argsort(-scores[:, lot], axis=1, kind="stable")[:, :depth]
        found.append(lot[order])
    return np.concatenate(found) if found else np.zeros((0, depth), dtype=np.int64)


def _blocks(cases: Sequence[Case]) -> Iterable[Sequence[Case]]:
    for start in range(0, len(cases), _BLOCK):
        yield cases[start : start + _BLOCK]
