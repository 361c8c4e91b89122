"""From free text to the features of a model: the query side of the table of fields."""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from rapidfuzz import process
from rapidfuzz.distance import OSA

from recsys_api.model.fields import FIELDS, Field
from recsys_api.model.kernel import Int32s, Weights, quantise
from recsys_api.text import STOP_WORDS, fold, phrases, prose

_LONGEST_PHRASE = 4
_SHORTEST_MISTYPED, _LONG_WORD = 5, 8
_MOST_PHRASES = 30
"""A word that is part of more phrases than this (a first name) says too little to be matched by itself."""


class Query(NamedTuple):
    """What SimilarityIndex.top_k takes, and its scale.

    The scale of a text makes the best possible score 1, however few fields the text speaks to.
    """

    features: Int32s
    weights: Weights | Int32s
    scale: float


class _Matches(NamedTuple):
    """What a query says to one field."""

    strengths: dict[int, float]
    """Columns, each with a strength in (0, 1]."""
    coverage: float
    """How much of the query was understood, in [0, 1]."""


_NOTHING = _Matches({}, 0.0)


@dataclass(frozen=True, slots=True)
class _Block:
    """One field's terms as a query meets them."""

    field: Field
    norm: float
    """Of a movie's features of the field, where all is told."""
    columns: dict[str, int]
    by_word: dict[str, list[tuple[int, float]]]
    """Phrases by each of their words, with the share that the word has in them: people by surname, themes by a part."""

    def matches_prose(self, stems: Sequence[str]) -> _Matches:
        known = [stem for stem in stems if stem in self.columns]
        if not known:
            return _NOTHING
        return _Matches({self.columns[stem]: 1.0 for stem in known}, len(known) / max(len(stems), 1))

    def matches_phrases(self, words: Sequence[str], runs: Sequence[str]) -> _Matches:
        """Whole phrases first, the longest before the shorter; then single words of what is left.

        `runs` are those of `words` that can be a phrase.
        """
        found: dict[int, float] = {}
        coverage = 0.0
        left = list(words)
        for phrase in [run for run in runs if run in self.columns]:
            inside = phrase.split()
            if all(word in left for word in inside):
                found[self.columns[phrase]] = 1.0
                coverage += len(inside)
                for word in inside:
                    left.remove(word)
        for word in left:
            having = self.by_word.get(word, ())
            if 0 < len(having) <= _MOST_PHRASES:
                coverage += max(share for _, share in having)
                for column, share in having:
                    found[column] = max(share, found.get(column, 0.0))
        if not found:
            return _NOTHING
        said = sum(word not in STOP_WORDS for word in words)
        return _Matches(found, min(coverage / max(said, 1), 1.0))


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Every feature of a model by its term; immutable."""

    idf: npt.NDArray[np.float32]
    """float32 [F]."""
    _blocks: tuple[_Block, ...]
    _names: list[str]
    """The words of names and themes."""
    _names_near: dict[tuple[int, int], tuple[list[str], npt.NDArray[np.uint32]]]
    """Those that a word of a length can be, with so many slips of the hand, and their letters; found when needed."""

    @classmethod
    def from_terms(
        cls, terms: Mapping[str, Sequence[str]], idf: npt.NDArray[np.float32], weights: Mapping[str, float]
    ) -> Vocabulary:
        """The vocabulary of `terms`, each field's in the order of its columns, their `idf` float32 [F], and the
        `weights` of the fields in the similarity.
        """
        blocks, offset = [], 0
        for field in FIELDS:
            columns = {term: offset + i for i, term in enumerate(terms[field.name])}
            offset += len(columns)
            if field.in_queries and weights[field.name]:
                by_word = {} if field.is_text else _by_word(columns)
                blocks.append(_Block(field, math.sqrt(weights[field.name]), columns, by_word))
        names = list(dict.fromkeys(word for block in blocks for word in block.by_word))
        return cls(idf, tuple(blocks), names, {})

    def __len__(self) -> int:
        return int(self.idf.size)

    def corrected(self, text: str) -> str:
        """`text` with each word that is nowhere in the vocabulary replaced by the nearest word of a name or a theme.

        Nearest is one slip of the hand away, or two in a word of eight letters; farther ones stay as they are.
        """
        return " ".join([self._nearest_name(word) for word in fold(text).split()])

    def _nearest_name(self, word: str) -> str:
        if len(word) < _SHORTEST_MISTYPED or any(word in block.by_word for block in self._blocks):
            return word
        slips = 1 if len(word) < _LONG_WORD else 2
        near = self._names_near.get((len(word), slips))
        if near is None:
            names = [name for name in self._names if abs(len(name) - len(word)) <= slips]
            near = self._names_near[len(word), slips] = names, np.array([_letters(name) for name in names], np.uint32)
        names, letters = near
        # a slip takes a letter away, brings one, or both: whoever differs in more is not compared at length
        fitting = np.flatnonzero(np.bitwise_count(letters ^ np.uint32(_letters(word))) <= 2 * slips).tolist()
        nearest = process.extractOne(word, [names[i] for i in fitting], scorer=OSA.distance, score_cutoff=slips)
        return nearest[0] if nearest else word

    def understood(self, text: str) -> Query:
        """`query` of the text as it is or, where nothing of that is known, with its typing mistakes mended."""
        query = self.query(text)
        return query if query.features.size else self.query(self.corrected(text))

    def query(self, text: str) -> Query:
        """The features that `text` speaks of; none where it has no word of the vocabulary.

        Prose is stemmed; people, keywords and genres are found as whole phrases and, more weakly, by one of their
        words. A field counts by its weight in queries and by how much of the text it covers; the score of a movie is
        the mean of its fields' cosines with the text, so weighted.
        """
        stems, words = prose(text), fold(text).split()
        runs = [run for run in phrases(words, _LONGEST_PHRASE) if run not in STOP_WORDS]
        features: list[int] = []
        weights: list[float] = []
        total = 0.0
        for block in self._blocks:
            is_text = block.field.is_text
            strengths, coverage = block.matches_prose(stems) if is_text else block.matches_phrases(words, runs)
            if strengths:
                columns = sorted(strengths)
                part = [strengths[column] * self.idf.item(column) for column in columns]
                worth, norm = block.field.in_queries * coverage, _norm(part)
                # a movie's block has this norm: divided out here, its cosine remains
                weights += [weight * worth / norm / block.norm for weight in part]
                features += columns
                total += worth
        if not features:
            return Query(np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.uint16), 1.0)
        norm = _norm(weights)
        return Query(np.array(features, dtype=np.int32), quantise([weight / norm for weight in weights]), norm / total)


def _norm(weights: Sequence[float]) -> float:
    return math.sqrt(math.fsum([weight * weight for weight in weights]))


def _letters(word: str) -> int:
    """The letters that a word has, as bits."""
    bits = 0
    for letter in word:
        bits |= 1 << (ord(letter) & 31)
    return bits


def _by_word(columns: Mapping[str, int]) -> dict[str, list[tuple[int, float]]]:
    by_word: dict[str, list[tuple[int, float]]] = {}
    for phrase, column in columns.items():
        words = phrase.split()
        if len(words) > 1:
            for word in words:
                if word not in STOP_WORDS:
                    by_word.setdefault(word, []).append((column, 1 / len(words)))
    return by_word
