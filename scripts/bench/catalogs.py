"""Catalogues of any size for measurements: real films, and beyond their number new ones made of parts of real ones."""
from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from recsys_api.catalog import Movie
from recsys_api.text import STOP_WORDS, fold

_PHRASE = 8
"""Words of an overview that stay together."""
_SPREAD = 0x9E3779B1
"""An odd number: times it modulo 2**32 is a permutation, so that rows are in no order of age or of fame."""


def scaled_catalog(total: int, films: Sequence[Movie], seed: int = 36_273) -> Iterator[Movie]:
    """`total` movies, one by one, the best known first; the same for the same `films` and `seed`.

    First the `films` themselves, or a sample of them where fewer are wanted. A new one has the year, the genres, the
    number of words and of people of one real film; its words come in short runs from films of its genre, its people
    from films of its decade, and its title is the real one with words of other titles in place of all but those that
    are in many. So features a film and how often each feature is met stay as they are, and no film is a near copy of
    another. Memory does not grow with `total`.
    """
    real = _real(total, films, seed)
    for number, movie in enumerate(real):
        yield replace(movie, movie_id=_movie_id(number))
    if total > len(real):
        moulds, chance = _moulds(films), random.Random(seed).random
        for number, (place, title) in enumerate(_titles(total - len(real), films, seed), len(real)):
            yield moulds[place].recombined(chance, movie_id=_movie_id(number), title=title)


def scaled_titles(total: int, films: Sequence[Movie], seed: int = 36_273) -> Iterator[tuple[str, str]]:
    """The titles and original titles of that catalogue, in a fraction of its time."""
    real = _real(total, films, seed)
    for movie in real:
        yield movie.title, movie.original_title
    for place, title in _titles(total - len(real), films, seed):
        yield title, title if films[place].original_title else ""


def _real(total: int, films: Sequence[Movie], seed: int) -> Sequence[Movie]:
    return random.Random(seed).sample(films, total) if total < len(films) else films


def _movie_id(number: int) -> int:
    return (number + 1) * _SPREAD % 2**32


def _titles(count: int, films: Sequence[Movie], seed: int) -> Iterator[tuple[int, str]]:
    """The places among `films` of those that `count` new ones are made after, each with the new one's title."""
    chance = random.Random(seed + 1).random
    said = [[(word, fold(word) not in STOP_WORDS) for word in movie.title.split()] for movie in films]
    telling = [word for title in said for word, is_telling in title if is_telling]
    for _ in range(count):
        place = int(chance() * len(films))
        yield place, " ".join(
            [telling[int(chance() * len(telling))] if is_telling else word for word, is_telling in said[place]]
        )


class _Mould(NamedTuple):
    """A real film as new ones are made after it, and what they are made of: drawn as often as it is met."""

    fields: dict[str, Any]
    """All of the film's."""
    words: int
    """Of its overview."""
    phrases: list[str]
    """Of all films of its genre."""
    cast: list[str]
    directors: list[str]
    """Of all films of its decade."""

    def recombined(self, chance: Callable[[], float], *, movie_id: int, title: str) -> Movie:
        """A new movie."""
        phrases, missing = self.phrases, self.words
        overview: list[str] = []
        while missing > 0:
            phrase = phrases[int(chance() * len(phrases))]
            overview.append(phrase)
            missing -= phrase.count(" ") + 1
        if missing:
            overview[-1] = " ".join(overview[-1].split(" ")[:missing])
        return Movie(
            **self.fields
            | {
                "movie_id": movie_id,
                "title": title,
                "original_title": title if self.fields["original_title"] else "",
                "overview": " ".join(overview),
                "cast": _drawn(chance, self.cast, len(self.fields["cast"])),
                "directors": _drawn(chance, self.directors, len(self.fields["directors"])),
            }
        )


def _moulds(films: Sequence[Movie]) -> list[_Mould]:
    phrases: dict[str, list[str]] = defaultdict(list)
    cast: dict[int, list[str]] = defaultdict(list)
    directors: dict[int, list[str]] = defaultdict(list)
    moulds = []
    for movie in films:
        genre, decade = movie.genres[0] if movie.genres else "", movie.year // 10
        words = movie.overview.split()
        phrases[genre].extend(" ".join(words[i : i + _PHRASE]) for i in range(0, len(words), _PHRASE))
        cast[decade].extend(movie.cast)
        directors[decade].extend(movie.directors)
        fields = {name: getattr(movie, name) for name in Movie.__slots__}
        moulds.append(_Mould(fields, len(words), phrases[genre], cast[decade], directors[decade]))
    return moulds


def _drawn(chance: Callable[[], float], names: Sequence[str], count: int) -> tuple[str, ...]:
    return tuple(dict.fromkeys([names[int(chance() * len(names))] for _ in range(count)]))
