"""The one way in which text is folded and cut into tokens, for the build and for live queries alike."""
from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

import snowballstemmer

# Letters that Unicode does not decompose into a base letter and a mark.
_UNDECOMPOSED = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "æ": "ae", "œ": "oe", "ß": "ss", "ð": "d", "þ": "th", "ı": "i", "&": " and "}
)
_APOSTROPHES = dict.fromkeys(map(ord, "'’‘ʼ`´"))
_NO_LETTER = re.compile(r"[\W_]")
_SPELT_TOKEN = re.compile(r"[^\W_]+(?:['’‘ʼ`´][^\W_]+)*")

STOP_WORDS = frozenset(
    """
    a about above after again against all also although am among an and any are as at away back be became because
    become becomes been before began begin begins behind being between both but by came can cannot come comes could
    did do does doing done down during each either else even ever every few find finds for found from further gave
    get gets give gives go goes going got had has have having he her here hers herself him himself his how however i
    if in include including into is it its itself just keep last later leave leaves led less let like made make
    makes making many may me might more most much must my near never new next no nor not now of off often on once
    one only onto or other others our out over own part per put rather same set several she should since so some
    soon still such take takes taking than that the their them themselves then there these they this those though
    three through thus to together too took toward towards two under until up upon us use used using very via was
    way we well went were what when where which while who whom whose why will with within without would yet you your
    directed director film films movie movies starring
    """.split()
)

_LONGEST_WORD = 40
_MOST_LETTERS = 20_000
"""Of so many characters it is kept what they fold to: more than a catalogue has."""
_SHORT = 100
_stemmer = snowballstemmer.stemmer("english")
_stemmer_lock = threading.Lock()


def stem(token: str) -> str:
    """The English Snowball stem of a folded token; one that is too long for a word stays as it is."""
    return token if len(token) > _LONGEST_WORD else _stem(token)


@lru_cache(maxsize=50_000)
def _stem(word: str) -> str:
    with _stemmer_lock:  # a stemmer keeps the word it is working on in itself
        return str(_stemmer.stemWord(word))


def fold(text: str) -> str:
    """`text` without case, accents and punctuation, its words parted by one space.

    "L'Été, à Łódź" and "lete a lodz" fold to the same; letters of other scripts are kept.
    """
    return _fold_short(text) if len(text) <= _SHORT else _fold(text)


@lru_cache(maxsize=2048)
def _fold_short(text: str) -> str:
    """A search asks for the same few words, and runs of them, again and again."""
    return _fold(text)


def _fold(text: str) -> str:
    return " ".join(text.translate(_folded_letters).split())


class _FoldedLetters(dict[int, str | None]):
    """What becomes of each character, by its code point: worked out when a text has it, and kept."""

    def __missing__(self, code: int) -> str | None:
        letters = "".join(c for c in unicodedata.normalize("NFKD", chr(code)) if not unicodedata.combining(c))
        letters = letters.translate(_APOSTROPHES).casefold().translate(_UNDECOMPOSED)
        folded = _NO_LETTER.sub(" ", letters) or None
        if len(self) < _MOST_LETTERS:
            self[code] = folded
        return folded


_folded_letters = _FoldedLetters()


def spellings(text: str) -> list[tuple[str, str]]:
    """The words of `text` in order, each folded and as it is spelt."""
    folded, spelt = fold(text).split(), _SPELT_TOKEN.findall(text)
    return list(zip(folded, spelt if len(spelt) == len(folded) else folded, strict=True))


def prose(text: str) -> list[str]:
    """The stems of a passage in order, without stop words and single letters."""
    return [stemmed for token in fold(text).split() if (stemmed := _stem_of_prose(token))]


@lru_cache(maxsize=200_000)
def _stem_of_prose(token: str) -> str:
    """The stem, or nothing for a word that tells nothing."""
    is_letter = len(token) == 1 and not token.isdigit()
    return "" if token in STOP_WORDS or is_letter else stem(token)


def phrases(tokens: Sequence[str], longest: int) -> Iterator[str]:
    """Every run of up to `longest` tokens as one phrase, the longer runs first."""
    for length in range(min(longest, len(tokens)), 0, -1):
        for start in range(len(tokens) - length + 1):
            yield " ".join(tokens[start : start + length])
