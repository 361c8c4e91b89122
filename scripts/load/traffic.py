"""What the tester asks: requests to every product endpoint, made from movies that the service itself names."""
from __future__ import annotations

import itertools
import json
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

PARTS: dict[str, dict[str, float]] = {
    "recommendations": {
        "GET /recommendations/<int:movie_id>": 85, "POST /recommendations": 10, "POST /recommendations/batch": 5,
    },
    "search": {"GET /search": 90, "POST /search": 10},
    "movies": {"GET /movies/<int:movie_id>": 60, "GET /movies/popular": 25, "GET /movies/random": 15},
    "health": {"GET /health": 1},
    "batch": {"POST /recommendations/batch": 1},
    "popular": {"GET /movies/popular": 1},
    "random": {"GET /movies/random": 1},
    "home": {"GET /": 1},
}  # fmt: skip
"""What can be named in a mix: each name with its endpoints, as `http_requests_total` calls them, and their shares."""

OWED = {
    "GET /recommendations/<int:movie_id>": "recommendations", "POST /recommendations": "recommendations",
    "POST /recommendations/batch": "results", "GET /search": "results", "POST /search": "results",
    "GET /movies/<int:movie_id>": "movie_id", "GET /movies/popular": "", "GET /movies/random": "",
    "GET /health": "model_loaded", "GET /": "version",
}  # fmt: skip
"""A name that every answer of an endpoint has; empty where the answer is a list."""
UNKNOWN_SHARE = 0.01
"""How many of the movies asked for by number do not exist."""
_FIRST_UNKNOWN_ID = 2_000_000_000
_RANDOM_MOVIES = 50
_RANDOM_LISTS = 4
_POPULAR_MOVIES = 100
_BATCHES = 200
_LONGEST_QUERY = 200


@dataclass(frozen=True)
class Asked:
    """One request that can be made, and how often it is among those to its endpoint."""

    path: str
    weight: float
    status: int = 200
    """What a sound service answers: 404 where a movie is asked for that does not exist."""
    body: str | None = None


@dataclass(frozen=True)
class Traffic:
    """All requests of a run by endpoint, from which every user draws."""

    weights: dict[str, float]
    asked: dict[str, list[Asked]]

    def draw(self, chance: random.Random) -> Iterator[tuple[int, int]]:
        """Requests without end: the number of an endpoint, and of a request to it."""
        endpoints = range(len(self.weights))
        cumulative = list(itertools.accumulate(self.weights.values()))
        within = [list(itertools.accumulate(one.weight for one in self.asked[name])) for name in self.weights]
        numbers = [range(len(self.asked[name])) for name in self.weights]
        while True:
            endpoint = chance.choices(endpoints, cum_weights=cumulative)[0]
            yield endpoint, chance.choices(numbers[endpoint], cum_weights=within[endpoint])[0]


def make_traffic(ask: Callable[[str], Any], mix: dict[str, float], *, skew: float, seed: int) -> Traffic:
    """Requests made from movies that `ask(path)` returns as JSON; with `skew` s, the n-th is asked for 1/n^s as often.

    The skew is Zipf's law over the popular movies, best first, followed by random ones. The same `seed` gives the same
    requests.
    """
    chance = random.Random(seed)
    movies = {movie["movie_id"]: movie for movie in ask(f"/movies/popular?top_k={_POPULAR_MOVIES}")}
    for _ in range(_RANDOM_LISTS):
        for movie in ask(f"/movies/random?count={_RANDOM_MOVIES}&seed={chance.randrange(2**31)}"):
            movies.setdefault(movie["movie_id"], movie)
    if not movies:
        raise ValueError("it knows no movie")
    ranked = [(movie, 1 / rank**skew) for rank, movie in enumerate(movies.values(), start=1)]
    weights: defaultdict[str, float] = defaultdict(float)
    for part, share in mix.items():
        total = sum(PARTS[part].values())
        for endpoint, of_part in PARTS[part].items():
            weights[endpoint] += share * of_part / total
    positive = {endpoint: weight for endpoint, weight in weights.items() if weight > 0}
    return Traffic(positive, {endpoint: list(_REQUESTS[endpoint](ranked, chance)) for endpoint in positive})


Ranked = list[tuple[dict[str, Any], float]]


def _unknown(path: str, ranked: Ranked, body: Callable[[int], str] | None = None) -> Iterator[Asked]:
    """Requests for movies that do not exist, at their small share."""
    weight = sum(weight for _, weight in ranked) * UNKNOWN_SHARE / (1 - UNKNOWN_SHARE) / 10
    for movie_id in range(_FIRST_UNKNOWN_ID, _FIRST_UNKNOWN_ID + 10):
        yield Asked(path.format(movie_id), weight, 404, body(movie_id) if body else None)


def _recommendations(ranked: Ranked, chance: random.Random) -> Iterator[Asked]:
    variants = {"": 0.8, "?top_k=20": 0.1, "?min_similarity=0.1": 0.05, "?exclude_same_year=true": 0.05}
    for movie, weight in ranked:
        for query, share in variants.items():
            yield Asked(f"/recommendations/{movie['movie_id']}{query}", weight * share)
    yield from _unknown("/recommendations/{}", ranked)


def _posted_recommendations(ranked: Ranked, chance: random.Random) -> Iterator[Asked]:
    for movie, weight in ranked:
        yield Asked("/recommendations", weight, body=json.dumps({"movie_id": movie["movie_id"]}))
    yield from _unknown("/recommendations", ranked, lambda movie_id: json.dumps({"movie_id": movie_id}))


def _batches(ranked: Ranked, chance: random.Random) -> Iterator[Asked]:
    movies, weights = zip(*ranked, strict=True)
    for _ in range(_BATCHES):
        wanted = chance.choices(movies, weights, k=chance.randint(2, 10))
        movie_ids = list(dict.fromkeys(movie["movie_id"] for movie in wanted))
        if chance.random() < UNKNOWN_SHARE:
            movie_ids.append(_FIRST_UNKNOWN_ID)
        yield Asked("/recommendations/batch", 1, body=json.dumps({"movie_ids": movie_ids}))


def _searches(ranked: Ranked, chance: random.Random) -> Iterator[Asked]:
    for query, weight in _queries(ranked, chance):
        yield Asked(f"/search?query={quote_plus(query)}", weight)


def _posted_searches(ranked: Ranked, chance: random.Random) -> Iterator[Asked]:
    for query, weight in _queries(ranked, chance):
        yield Asked("/search", weight, body=json.dumps({"query": query}))


def _queries(ranked: Ranked, chance: random.Random) -> Iterator[tuple[str, float]]:
    """For every movie its title, the title mistyped, and words of what happens in it."""
    for movie, weight in ranked:
        title = movie["title"].strip()[:_LONGEST_QUERY] or "untitled"
        words = re.findall(r"\w{4,}", movie["overview"]) or title.split()
        yield title, weight * 0.6
        yield misspelt(title, chance), weight * 0.2
        yield " ".join(chance.sample(words, min(3, len(words))))[:_LONGEST_QUERY], weight * 0.2


def misspelt(title: str, chance: random.Random) -> str:
    """The title with one slip of the fingers: two letters changed over, one left out, or one struck twice."""
    if len(title) < 3:
        return title
    at = chance.randrange(1, len(title) - 1)
    before, here, after = title[:at], title[at : at + 2], title[at + 2 :]
    slip = chance.choice([slip for slip in (here[::-1], here[:1], here[:1] + here) if slip != here])
    return (before + slip + after)[:_LONGEST_QUERY].strip()


def _movies(ranked: Ranked, chance: random.Random) -> Iterator[Asked]:
    for movie, weight in ranked:
        yield Asked(f"/movies/{movie['movie_id']}", weight)
    yield from _unknown("/movies/{}", ranked)


def _popular(ranked: Ranked, chance: random.Random) -> Iterator[Asked]:
    yield from (Asked(f"/movies/popular?top_k={top_k}", weight) for top_k, weight in ((20, 0.7), (10, 0.2), (50, 0.1)))


def _random(ranked: Ranked, chance: random.Random) -> Iterator[Asked]:
    yield Asked("/movies/random?count=10", 1)


def _plain(path: str) -> Callable[[Ranked, random.Random], Iterator[Asked]]:
    return lambda ranked, chance: iter([Asked(path, 1)])


_REQUESTS: dict[str, Callable[[Ranked, random.Random], Iterator[Asked]]] = {
    "GET /recommendations/<int:movie_id>": _recommendations,
    "POST /recommendations": _posted_recommendations,
    "POST /recommendations/batch": _batches,
    "GET /search": _searches,
    "POST /search": _posted_searches,
    "GET /movies/<int:movie_id>": _movies,
    "GET /movies/popular": _popular,
    "GET /movies/random": _random,
    "GET /health": _plain("/health"),
    "GET /": _plain("/"),
}
