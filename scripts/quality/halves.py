"""Learned on one half of the users and reported on the other, both ways."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys_api.catalog import Movie
from recsys_api.model import features, mood
from recsys_api.model.fields import FIELDS
from recsys_api.model.weights import Weight, Weights
from scripts.quality import learn
from scripts.quality.evaluation import Asked, Subject, evaluate
from scripts.quality.ratings import Ratings

BY_HAND = {"title": 0.01, "collection": 0.02}
"""Weights that ratings do not tell: few likes hang on a sequel or a remake, and still it belongs beside its film."""
THIN = {"keywords": 8.0}
COMPENSATION, DAMPING, STAND_IN = 0.5, 0.1, 0.5


@dataclass(frozen=True, slots=True)
class Way:
    """One half's report."""

    weights: Weights
    asked: dict[str, Asked]


def thin_of(name: str) -> float:
    """How many of its rarest terms bring a movie half of a field's weight."""
    return THIN.get(name, 0.0)


def weights_from(movies: Sequence[Movie], ratings: Ratings) -> Weights:
    """All that is learned about the fields of `movies` from `ratings`."""
    rows = learn.fields_alone(movies, {field.name: thin_of(field.name) for field in FIELDS})
    learned = learn.learn(learn.similarities(rows), ratings)
    left = 1 - sum(BY_HAND.values())
    told = {field.name: BY_HAND.get(field.name, 0) + left * learned.get(field.name, 0) for field in FIELDS}
    shares = learn.typical(rows, {name: told[name] for name in rows})
    # a movie without a collection is in none, and nearly all have a title: there is nothing to make up for
    lacking = {name: 0.0 if name in BY_HAND else shares.get(name, 0.0) for name in told}
    whole = sum(lacking.values())
    fields = {name: Weight(told[name], lacking[name] / whole, thin_of(name)) for name in told}
    return Weights(fields, COMPENSATION, DAMPING, STAND_IN)


def both_ways(
    movies: Sequence[Movie],
    ratings: Ratings,
    *,
    seed: int,
    learned_with: Sequence[Movie] | None = None,
    done: Callable[[str], None] = lambda what: None,
) -> list[Way]:
    """The two reports on `movies`; fields are learned from `learned_with`, the same movies with more fields, if given.

    Votes come from the half that is learned on, too.
    """
    halves = ratings.halves(seed)
    ways = []
    for learned_on, reported_on in (halves, halves[::-1]):
        done("learning")
        weights = weights_from(learned_with if learned_with is not None else movies, learned_on)
        done("asking")
        ways.append(Way(weights, evaluate(subject(movies, weights, learned_on), reported_on, learned_on=learned_on)))
    return ways


def subject(movies: Sequence[Movie], weights: Weights, voters: Ratings) -> Subject:
    """A model of `movies` with `weights`, its votes those of `voters`."""
    return Subject(movies, features.fit(movies, weights=weights).matrix, factors_of(voters))


def factors_of(voters: Ratings) -> Mapping[str, npt.NDArray[np.float32]]:
    """What similarities are multiplied by, by mood, if every rating is a vote."""
    votes, means = voters.votes()
    multipliers = mood.multipliers(votes.astype(np.int32), means.astype(np.float32))
    return dict(zip(mood.MOODS, multipliers, strict=True))
