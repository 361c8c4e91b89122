"""From what a cell holds to what a movie has: text, names, lists, dates and numbers; each says when it had to mend."""
from __future__ import annotations

import ast
import hashlib
import html
import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterable
from datetime import date
from typing import Any

FIRST_YEAR, LAST_YEAR = 1870, 2100
MOST_CAST = 10

Mended = Callable[[str], None]
"""Told the reason whenever a value is mended, or left empty because it cannot be."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\ufeff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SPACES = re.compile(r"\s+")
_ISO_DATE = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ].*)?")
_US_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})")
_YEAR = re.compile(r"(\d{4})(?:\.0+)?")
_EMPTY = frozenset({"", "nan", "none", "null", "n/a", "[]", "{}"})
_ID_BITS = 48
_MOST_DIGITS = 16  # below 2**53, which is the most that JavaScript holds exactly
_UNREADABLE = (ValueError, SyntaxError, TypeError, MemoryError, RecursionError)
"""What json.loads and ast.literal_eval raise; TypeError for what cannot be a key."""


def text(value: object) -> str:
    """Unicode NFC, entities resolved, control characters gone, white space collapsed; nothing for null words."""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if not isinstance(value, str):
        return "" if is_null(value) else str(value)
    if value.isascii() and "&" not in value and value.isprintable() and "  " not in value:
        return value.strip()
    if not value.isascii():
        value = _SURROGATE.sub("\ufffd", value)  # half of a pair is no character, and cannot be written as UTF-8
    return _SPACES.sub(" ", _CONTROL.sub("", unicodedata.normalize("NFC", html.unescape(value)))).strip()


def is_null(value: object) -> bool:
    """Whether a cell of any table says nothing: None, NaN, or pandas' NA and NaT."""
    if value is None or type(value).__name__ in {"NAType", "NaTType"}:
        return True
    return isinstance(value, float) and math.isnan(value)


def movie_id(value: object) -> int | None:
    """A movie_id as any table writes it, None where it is none: it has to fit a signed 64-bit word."""
    written = text(value).removesuffix(".0")
    return int(written) if written.isascii() and written.isdigit() and len(written) < _MOST_DIGITS else None


def optional(value: object) -> str:
    """Like `text`, with the words for nothing read as nothing."""
    cleaned = text(value)
    return "" if cleaned.lower() in _EMPTY else cleaned


def release_date(value: object, mended: Mended) -> str:
    """`YYYY-MM-DD` from ISO or US form, `YYYY` from a bare year, empty where there is none or it cannot be."""
    cleaned = optional(value)
    if not cleaned:
        return ""
    if match := _ISO_DATE.fullmatch(cleaned):
        year, month, day = map(int, match.groups())
    elif match := _US_DATE.fullmatch(cleaned):
        month, day, year = map(int, match.groups())
    elif match := _YEAR.fullmatch(cleaned):
        year, month, day = int(match[1]), 0, 0
    else:
        mended("unreadable date left empty")
        return ""
    if FIRST_YEAR <= year <= LAST_YEAR:
        try:
            return date(year, month, day).isoformat() if month else str(year)
        except ValueError:
            pass  # such as the 31st of June
    mended("impossible date left empty")
    return ""


def number(value: object, lowest: float, highest: float, what: str, mended: Mended) -> float:
    """A finite number in the range, 0 where there is none or it is another."""
    cleaned = optional(value)
    if not cleaned:
        return 0.0
    try:
        found = float(cleaned)
    except ValueError:
        found = math.nan
    if not lowest <= found <= highest:
        mended(f"{what} left 0, not a number from {lowest:g} to {highest:g}")
        return 0.0
    return found


def names(values: Iterable[object]) -> tuple[str, ...]:
    """Clean texts without repeats, in order."""
    return tuple(dict.fromkeys(cleaned for value in values if (cleaned := optional(value))))


def literal(value: str, what: str, mended: Mended) -> list[dict[str, Any]]:
    """A list of dicts written as JSON or as a Python literal; empty where it is neither."""
    if value.strip().lower() in _EMPTY or value.strip().lower() == "false":
        return []
    try:
        found = json.loads(value) if value.lstrip().startswith('[{"') else ast.literal_eval(value)
    except _UNREADABLE:
        mended(f"unreadable {what} left empty")
        return []
    if isinstance(found, dict):
        found = [found]
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        mended(f"unreadable {what} left empty")
        return []
    return found


def listed(value: object) -> tuple[str, ...]:
    """A list from a cell of any table: a list already, JSON, a Python literal (of dicts with a name too), or parted
    by `|`, `;` or `,`.
    """
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return names(entry.get("name", "") if isinstance(entry, dict) else entry for entry in value)
    cleaned = optional(value)
    if cleaned.startswith("[") and cleaned.endswith("]"):
        for parse in (json.loads, ast.literal_eval):
            try:
                return listed(parse(cleaned))
            except _UNREADABLE:
                continue
        cleaned = cleaned[1:-1]
    separator = next((mark for mark in "|;," if mark in cleaned), "|")
    return names(cleaned.split(separator))


def imdb_id(value: object) -> str:
    """IMDb's id as IMDb writes it, from that or from its number; empty where it is neither."""
    written = optional(value).removesuffix(".0").removeprefix("tt")
    return f"tt{int(written):07d}" if written.isascii() and written.isdigit() and int(written) else ""


def stable_id(key: str) -> int:
    """A positive movie_id from what identifies a movie, below 2**48, so that JavaScript can hold it exactly."""
    digest = hashlib.blake2b(key.encode(), digest_size=_ID_BITS // 8).digest()
    return int.from_bytes(digest, "big") or 1
