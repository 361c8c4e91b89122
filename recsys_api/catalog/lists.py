"""Lists of movies as JSON, put together by compiled code."""
from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt
import orjson
from numba import njit, types

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int32]
Scores = npt.NDArray[np.float32]

_FIRST_ROOM = 1 << 16
_CACHE_LINE = 64
_BEFORE_SCORE = np.frombuffer(b',"similarity":', dtype=np.uint8)
_OPENING, _CLOSING, _COMMA, _END = (ord(mark) for mark in "[],}")
_MARKS = 4
"""At most so many of these stand around one object."""


def write_list(blob: Bytes, offsets: Offsets, rows: Rows, scores: Scores) -> bytes:
    """A JSON list of the objects in `rows`, each with its similarity; `blob` has all objects, which begin at `offsets`.

    There is at least one row. A similarity has the fewest digits that tell it from any other float32, so that what is
    ordered as equal looks equal.
    """
    digits = orjson.dumps(scores, option=orjson.OPT_SERIALIZE_NUMPY)
    while not (size := _write(blob, offsets, rows, digits, _room.bytes)):
        _room.bytes = np.empty(2 * _room.bytes.size, dtype=np.uint8)
    return _room.bytes[:size].tobytes()


class _Room(threading.local):
    """Where a thread writes, as large as the longest list so far needed."""

    def __init__(self) -> None:
        self.bytes = np.empty(_FIRST_ROOM, dtype=np.uint8)


_room = _Room()


_TEXT, _OFFSETS, _ROWS = (types.Array(kind, 1, "C", readonly=True) for kind in (types.uint8, types.int64, types.int32))
_DIGITS, _OUT = types.Bytes(types.uint8, 1, "C"), types.uint8[::1]


@njit(types.int64(_TEXT, types.int64, types.int64, _OUT, types.int64), nogil=True, cache=True)
def _copy(source: Bytes, first: int, last: int, out: Bytes, place: int) -> int:
    """Copy what `source` has from `first` to before `last` to a `place` in `out`; returns the place behind it."""
    copied, copy = source[first:last], out[place : place + last - first]
    for i in range(copied.size):
        copy[i] = copied[i]
    return place + last - first


@njit(types.int64(_TEXT, _OFFSETS, _ROWS), nogil=True, cache=True)
def _fetch(blob: Bytes, offsets: Offsets, rows: Rows) -> int:
    """Touch all that is to be copied: memory that is far away comes sooner if it need not come in order."""
    touched = 0
    for row in rows:
        for place in range(offsets[row], offsets[row + 1], _CACHE_LINE):
            touched += blob[place]
    return touched


@njit(types.int64(_TEXT, _OFFSETS, _ROWS, _DIGITS, _OUT), nogil=True, cache=True)
def _write(blob: Bytes, offsets: Offsets, rows: Rows, scores: bytes, out: Bytes) -> int:
    """Fill `out` with the list, its similarities out of the JSON list `scores`; returns its length, 0 without room."""
    if _fetch(blob, offsets, rows) < 0:  # never, but what is not looked at would not be read
        return 0
    place = digit = 0
    for row in rows:
        first, last = offsets[row], offsets[row + 1] - 1  # without the closing bracket
        if place + last - first + _BEFORE_SCORE.size + len(scores) + _MARKS > out.size:
            return 0
        out[place] = _COMMA if place else _OPENING
        place = _copy(blob, first, last, out, place + 1)
        place = _copy(_BEFORE_SCORE, 0, _BEFORE_SCORE.size, out, place)
        digit += 1  # over the bracket or the comma
        while scores[digit] != _COMMA and scores[digit] != _CLOSING:
            out[place] = scores[digit]
            place += 1
            digit += 1
        out[place] = _END
        place += 1
    out[place] = _CLOSING
    return place + 1
