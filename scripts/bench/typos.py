"""Mistyped queries: one slip of the hand in each."""
from __future__ import annotations

import random
import string
from collections.abc import Iterator, Sequence
from typing import NamedTuple

SHORTEST = 6
"""Letters that a title has at least: in a shorter one a slip often makes the title of another film."""


class Typo(NamedTuple):
    """What is typed, and the title that is meant."""

    query: str
    title: str


def typos(titles: Sequence[str], known: frozenset[str], seed: int = 3) -> Iterator[Typo]:
    """Endless titles, each with one slip, in folded text: a letter left out, put in, taken for another, or two swapped.

    The first letter is right, as people mostly get it. A slip that makes another of the `known` titles is drawn again:
    nobody can know what was meant.
    """
    draw = random.Random(seed)
    while True:
        title = draw.choice(titles)
        if len(title) >= SHORTEST and (query := _slip(title, draw)) not in known and query.strip() == query:
            yield Typo(query, title)


def _slip(title: str, draw: random.Random) -> str:
    at, letter = draw.randrange(1, len(title) - 1), draw.choice(string.ascii_lowercase)
    before, here, after = title[:at], title[at], title[at + 1 :]
    return draw.choice((before + after, before + letter + here + after, before + letter + after,
                        before + after[0] + here + after[1:]))  # fmt: skip
