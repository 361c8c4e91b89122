"""Whether a model is good enough to be published: against figures that are required, and against the one in use."""
from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from recsys_api.catalog import Catalog, Movie
from recsys_api.errors import CatalogError
from recsys_api.metrics.catalogue import QUALITY
from recsys_api.model import mood
from recsys_api.model.store import Model
from scripts.quality import evaluation, ratings
from scripts.quality.evaluation import SIMILARITY, Figures, Subject

_TOP, _PERSISTENCE = 10, 0.9
_REQUIREMENT = re.compile(r"\s*(?P<metric>[a-z][a-z@ 0-9]*?)\s*(?P<sign>>=|<=|>|<)\s*(?P<bound>\d+(?:\.\d+)?)\s*")
_SIGNS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
}  # fmt: skip
CHURN = "churn"


class Requirement(NamedTuple):
    """What a figure has to be."""

    metric: str
    sign: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Requirement:
        """The requirement in words such as `ndcg@10>=0.09`; raises ValueError with what is possible."""
        possible = (*QUALITY, CHURN)
        match = _REQUIREMENT.fullmatch(text)
        if match is None or match["metric"] not in possible:
            raise ValueError(f"{text!r} is not a requirement such as ndcg@10>=0.09; there are {', '.join(possible)}")
        return cls(match["metric"], match["sign"], float(match["bound"]))

    def refusal(self, values: Mapping[str, float]) -> str:
        """Why a model with these values of the metrics is refused; empty where it is not."""
        value = values[self.metric]
        if _SIGNS[self.sign](value, self.bound):
            return ""
        return f"{self.metric} is {value:.4f}, and {self.metric}{self.sign}{self.bound:g} is required"


def measured(model: Model, path: Path, *, links: Path | None) -> Figures:
    """The figures of the next likes, in the default mood where the model has votes."""
    asked_of = ratings.read(path, model.catalog, links=links)
    one = evaluation.next_likes(Subject.of_model(model), asked_of)
    if not one.cases:
        raise CatalogError(f"Nobody in {path} liked five of the model's movies; rating 4 and above is a like.")
    return one.figures[mood.DEFAULT if mood.DEFAULT in one.figures else SIMILARITY]


def churn(model: Model, other: Model) -> float:
    """How much the first ten neighbours of the movies in both models differ: 0 not at all, 1 entirely.

    1 less the mean rank-biased overlap with persistence 0.9, cut and normalised at ten places (Webber, Moffat and Zobel
    2010). 1 where the models have no movie in common.
    """
    shared = np.intersect1d(model.catalog.movie_ids, other.catalog.movie_ids)
    weights = _PERSISTENCE ** np.arange(_TOP)
    overlaps = [
        float(weights @ _agreement(*(_ten(one, int(movie_id)) for one in (model, other))) / weights.sum())
        for movie_id in shared
    ]
    return 1 - float(np.mean(overlaps)) if overlaps else 1.0


def with_votes(movies: Sequence[Movie], path: Path, *, links: Path | None) -> list[Movie]:
    """The movies with the number and the mean of their ratings as votes; raises CatalogError where they have votes."""
    if any(movie.vote_count for movie in movies):
        raise CatalogError("--votes is for a catalogue without votes, and this one has its own.")
    catalog = Catalog.from_movies(movies)
    votes, means = ratings.read(path, catalog, links=links).votes()
    rows = [catalog.row(movie.movie_id) for movie in movies]
    return [
        replace(movie, vote_count=int(votes[row]), vote_average=round(float(means[row]), 2))
        for movie, row in zip(movies, rows, strict=True)
    ]


def _agreement(first: Sequence[int], second: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([len(set(first[:depth]) & set(second[:depth])) / depth for depth in range(1, _TOP + 1)])


def _ten(model: Model, movie_id: int) -> list[int]:
    rows = model.neighbours.rows[model.catalog.row(movie_id)][:_TOP]
    return [int(found) for found in model.catalog.movie_ids[rows[rows < len(model.catalog)]]]
