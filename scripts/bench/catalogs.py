"""Catalogues of any size for measurements: real films, and beyond their number new ones made of parts of real ones."""
from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

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
        parts, draw = _Parts(films), random.Random(seed)
        for number, (mould, title) in enumerate(_moulds(total - len(real), films, seed), len(real)):
            yield parts.recombined(draw, mould, movie_id=_movie_id(number), title=title)


def scaled_titles(total: int, films: Sequence[Movie], seed: int = 36_273) -> Iterator[tuple[str, str]]:
    """The titles and original titles of that catalogue, in a fraction of its time."""
    real = _real(total, films, seed)
    for movie in real:
        yield movie.title, movie.original_title
    for mould, title in _moulds(total - len(real), films, seed):
        yield title, title if mould.original_title else ""


def _real(total: int, films: Sequence[Movie], seed: int) -> Sequence[Movie]:
    return random.Random(seed).sample(films, total) if total < len(films) else films


def _movie_id(number: int) -> int:
    return (number + 1) * _SPREAD % 2**32


def _moulds(count: int, films: Sequence[Movie], seed: int) -> Iterator[tuple[Movie, str]]:
    """The real films that `count` new ones are made after, each with the new one's title."""
    chance = random.Random(seed + 1).random
    said = [[(word, fold(word) not in STOP_WORDS) for word in movie.title.split()] for movie in films]
    telling = [word for title in said for word, is_telling in title if is_telling]
    for _ in range(count):
        place = int(chance() * len(films))
        words = [telling[int(chance() * len(telling))] if is_telling else word for word, is_telling in said[place]]
        yield films[place], " ".join(words)


class _Parts:
    """What real films are made of, kept where it can be drawn in proportion to how often it is met."""

    def __init__(self, films: Sequence[Movie]) -> None:
        self._phrases: dict[str, list[tuple[str, ...]]] = defaultdict(list)
        self._cast: dict[int, list[str]] = defaultdict(list)
        self._directors: dict[int, list[str]] = defaultdict(list)
        for movie in films:
            words = movie.overview.split()
            runs = [tuple(words[i : i + _PHRASE]) for i in range(0, len(words), _PHRASE)]
            self._phrases[_genre(movie)].extend(runs)
            self._cast[_decade(movie)].extend(movie.cast)
            self._directors[_decade(movie)].extend(movie.directors)

    def recombined(self, draw: random.Random, mould: Movie, *, movie_id: int, title: str) -> Movie:
        """A new movie in the mould of a real one."""
        chance = draw.random
        words, phrases = len(mould.overview.split()), self._phrases[_genre(mould)]
        overview: list[str] = []
        while len(overview) < words:
            overview += phrases[int(chance() * len(phrases))]
        cast, directors = self._cast[_decade(mould)], self._directors[_decade(mould)]
        return replace(
            mould,
            movie_id=movie_id,
            title=title,
            original_title=title if mould.original_title else "",
            overview=" ".join(overview[:words]),
            cast=_drawn(draw, cast, len(mould.cast)),
            directors=_drawn(draw, directors, len(mould.directors)),
        )


def _drawn(draw: random.Random, names: Sequence[str], count: int) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names[int(draw.random() * len(names))] for _ in range(count)))


def _genre(movie: Movie) -> str:
    return movie.genres[0] if movie.genres else ""


def _decade(movie: Movie) -> int:
    return movie.year // 10
