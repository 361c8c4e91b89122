"""A model and its baselines, asked all that is asked, with all figures and their intervals."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from recsys_api.catalog import Movie
from recsys_api.model import mood
from recsys_api.model.store import Model
from scripts.quality import metrics, protocols, systems
from scripts.quality.metrics import Estimate
from scripts.quality.protocols import Case
from scripts.quality.ratings import Ratings
from scripts.quality.systems import System

NEXT_LIKES, ITEM_TO_ITEM, COLD = "next likes", "item to item", "cold films"
SIMILARITY, ONE_SOUP = "similarity alone", "one soup"
STRATA = ("head", "middle", "tail")

Figures = dict[str, Estimate]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is evaluated."""

    movies: Sequence[Movie]
    """By row."""
    rows: csr_array
    """float32 [N, F]: similarities are their dot products."""
    factors: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    """By mood, what similarities are multiplied by; empty where nobody voted."""

    @classmethod
    def of_model(cls, model: Model) -> Subject:
        """The model as it answers."""
        factors = dict(zip(mood.MOODS, model.multipliers, strict=True)) if model.multipliers.size else {}
        return cls(list(model.catalog), systems.matrix_of(model.index), factors)

    def systems(self) -> list[System]:
        """The similarity alone, and in every mood."""
        moods = [systems.content(name, self.rows, factors=factors) for name, factors in self.factors.items()]
        return [systems.content(SIMILARITY, self.rows), *moods]


@dataclass(frozen=True, slots=True)
class Asked:
    """One protocol's outcome."""

    cases: int
    figures: dict[str, Figures]
    """By system and metric."""
    ndcg: dict[str, npt.NDArray[np.float64]]
    """By system, per case: what ratios are made of."""

    def times(self, system: str, other: str) -> Estimate:
        """How many times the nDCG of `other` that of `system` is."""
        return metrics.ratio(self.ndcg[system], self.ndcg[other])


def evaluate(
    subject: Subject, ratings: Ratings, *, learned_on: Ratings | None = None, seed: int = 0
) -> dict[str, Asked]:
    """Every protocol's outcome for the users of `ratings`, by its name.

    Baselines that learn from ratings learn from what these users rated before, and from `learned_on`, other people.
    """
    soup = systems.content(ONE_SOUP, systems.one_soup(subject.movies))
    return {
        NEXT_LIKES: _next_likes(subject, soup, ratings, learned_on),
        ITEM_TO_ITEM: _item_to_item(subject, soup, ratings, seed),
        COLD: _cold(subject, soup, ratings, seed),
    }


def next_likes(
    subject: Subject, ratings: Ratings, *, learned_on: Ratings | None = None, with_simple: bool = False
) -> Asked:
    """The outcome of the next likes alone, in a fraction of the time; beside the soup and popularity if asked."""
    known = _known(ratings, learned_on)
    counts = known.votes()[0]
    asked = subject.systems()
    if with_simple:
        asked += [systems.content(ONE_SOUP, systems.one_soup(subject.movies)), systems.popularity(counts)]
    return _ask(subject, asked, protocols.next_likes(ratings), counts)


def _next_likes(subject: Subject, soup: System, ratings: Ratings, learned_on: Ratings | None) -> Asked:
    known = _known(ratings, learned_on)
    asked = [soup, *subject.systems(), *_collaborative(known)]
    return _ask(subject, asked, protocols.next_likes(ratings), known.votes()[0])


def _known(ratings: Ratings, learned_on: Ratings | None) -> Ratings:
    past = protocols.past(ratings)
    return past if learned_on is None else past.with_those_of(learned_on)


def _item_to_item(subject: Subject, soup: System, ratings: Ratings, seed: int) -> Asked:
    """Half of the users tell what belongs together, the others are learned from; then the other way round."""
    first, second = ratings.halves(seed)
    ways = []
    for truth, known in ((first, second), (second, first)):
        asked = [soup, *subject.systems(), *_collaborative(known)]
        ways.append(_ask(subject, asked, protocols.neighbours(truth), known.votes()[0]))
    return _merged(ways)


def _cold(subject: Subject, soup: System, ratings: Ratings, seed: int) -> Asked:
    """Hidden movies have no votes, so that a mood tells none of them apart; what learns from ratings draws lots."""
    counts = ratings.votes()[0]
    own = systems.content(SIMILARITY, subject.rows)
    ways = []
    for is_hidden, cases in protocols.cold(ratings, seed=seed):
        known = ratings.only(~is_hidden[ratings.rows])
        ways.append(_ask(subject, [soup, own, *_collaborative(known)], cases, counts))
    return _merged(ways)


def _collaborative(known: Ratings) -> Iterable[System]:
    likes = protocols.likes_of(known)
    yield systems.at_random(known.movies)
    yield systems.popularity(known.votes()[0])
    yield systems.item_knn(likes)
    ease = systems.ease(likes)
    if ease is not None:
        yield ease


def _ask(
    subject: Subject, asked: Iterable[System], cases: Sequence[Case], counts: npt.NDArray[np.int64]
) -> Asked:
    figures: dict[str, Figures] = {}
    per_case: dict[str, npt.NDArray[np.float64]] = {}
    if not cases:
        return Asked(0, figures, per_case)
    movies = len(subject.movies)
    relevant = [case.relevant for case in cases]
    strata = _strata(counts)
    for system in asked:
        lists = protocols.lists(system, cases, movies)
        values = metrics.per_list(lists, relevant)
        told = {name: metrics.mean(of_lists) for name, of_lists in values.items()}
        told["coverage@10"] = metrics.of_all(lists, movies, metrics.coverage)
        told["gini"] = metrics.of_all(lists, movies, metrics.gini)
        told["diversity"] = metrics.mean(metrics.diversity(lists, subject.rows))
        told["mean popularity"] = metrics.mean(counts[lists[:, : metrics.K]].mean(axis=1))
        for name, stratum in zip(STRATA, strata, strict=True):
            told[f"ndcg@10 {name}"] = _of_stratum(lists, relevant, stratum)
        figures[system.name], per_case[system.name] = told, values["ndcg@10"]
    return Asked(len(cases), figures, per_case)


def _strata(counts: npt.NDArray[np.int64]) -> list[npt.NDArray[np.bool_]]:
    """The movies, the most rated first, in three parts that each got a third of all ratings."""
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    part = np.minimum(before * len(STRATA) // max(int(counts.sum()), 1), len(STRATA) - 1)
    masks = []
    for i in range(len(STRATA)):
        mask = np.zeros(counts.size, dtype=np.bool_)
        mask[order[part == i]] = True
        masks.append(mask)
    return masks


def _of_stratum(
    lists: metrics.Lists, relevant: Sequence[npt.NDArray[np.int64]], stratum: npt.NDArray[np.bool_]
) -> Estimate:
    """nDCG@10 where only movies of the stratum are wanted, and wanted by those who liked any of it."""
    wanted = [rows[stratum[rows]] for rows in relevant]
    some = np.array([rows.size > 0 for rows in wanted])
    if not some.any():
        return Estimate(0.0, 0.0, 0.0)
    kept = [rows for rows in wanted if rows.size]
    return metrics.mean(metrics.ndcg(metrics.hits(lists[some], kept), kept))


def _merged(ways: Sequence[Asked]) -> Asked:
    """The outcomes of several draws as one: means weighted by cases, nDCG with the interval over all of them."""
    ways = [way for way in ways if way.cases]
    if not ways:
        return Asked(0, {}, {})
    names = [name for name in ways[0].figures if all(name in way.figures for way in ways)]
    ndcg = {name: np.concatenate([way.ndcg[name] for way in ways]) for name in names}
    shares = np.array([way.cases for way in ways], dtype=np.float64)
    figures: dict[str, Figures] = {}
    for name in names:
        figures[name] = {
            metric: Estimate(*(shares @ np.array([way.figures[name][metric] for way in ways]) / shares.sum()))
            for metric in ways[0].figures[name]
        }
        figures[name]["ndcg@10"] = metrics.mean(ndcg[name])
    return Asked(int(shares.sum()), figures, ndcg)
