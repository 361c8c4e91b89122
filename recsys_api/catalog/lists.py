"""Movies as JSON, alone and in lists, put together by compiled code."""
from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt
import orjson
from numba import njit, types

from recsys_api.catalog.packed import MOST_ADDED, OFFSETS, OUT, TEXT, Bytes, Offsets, expand

Rows = npt.NDArray[np.int32]
Scores = npt.NDArray[np.float32]

_FIRST_ROOM = 1 << 16
_CACHE_LINE = 64
_BEFORE_SCORE = np.frombuffer(b',"similarity":', dtype=np.uint8)
_OPENING, _CLOSING, _COMMA, _END = (ord(mark) for mark in "[],}")
_MARKS = 4
"""At most so many of these stand around one object."""


def write_list(blob: Bytes, offsets: Offsets, rows: Rows, scores: Scores | None = None) -> bytes:
    """A JSON list of the objects in `rows`, with their similarities where there are `scores`.

    `blob` has all objects, packed, which begin at `offsets`. There is at least one row. A similarity has the fewest
    digits that tell it from any other float32, so that what is ordered as equal looks equal.
    """
    digits = b"" if scores is None else orjson.dumps(scores, option=orjson.OPT_SERIALIZE_NUMPY)
    while not (size := _write(blob, offsets, rows, digits, _room.bytes)):
        _room.grow()
    return _room.bytes[:size].tobytes()


def write_object(blob: Bytes, first: int, last: int) -> bytes:
    """The JSON object that is packed in `blob` from `first` to before `last`."""
    while last - first + MOST_ADDED > _room.bytes.size:
        _room.grow()
    room = _room.bytes
    return room[: expand(blob, first, last, room, 0)].tobytes() + b"}"


class _Room(threading.local):
    """Where a thread writes, as large as the longest list so far needed."""

    def __init__(self) -> None:
        self.bytes = np.empty(_FIRST_ROOM, dtype=np.uint8)

    def grow(self) -> None:
        """Make twice as much of it."""
        self.bytes = np.empty(2 * self.bytes.size, dtype=np.uint8)


_room = _Room()


_ROWS, _DIGITS = types.Array(types.int32, 1, "C", readonly=True), types.Bytes(types.uint8, 1, "C")


@njit(types.int64(TEXT, OUT, types.int64), nogil=True, cache=True)
def _copy(text: Bytes, out: Bytes, place: int) -> int:
    """Copy `text` to a `place` in `out`; returns the place behind it."""
    for i in range(text.size):
        out[place + i] = text[i]
    return place + text.size


@njit(types.int64(TEXT, OFFSETS, _ROWS), nogil=True, cache=True)
def _fetch(blob: Bytes, offsets: Offsets, rows: Rows) -> int:
    """Touch all that is to be copied: memory that is far away comes sooner if it need not come in order."""
    touched = 0
    for row in rows:
        for place in range(offsets[row], offsets[row + 1], _CACHE_LINE):
            touched += blob[place]
    return touched


@njit(types.int64(TEXT, OFFSETS, _ROWS, _DIGITS, OUT), nogil=True, cache=True)
def _write(blob: Bytes, offsets: Offsets, rows: Rows, scores: bytes, out: Bytes) -> int:
    """Fill `out` with the list; returns its length, 0 without room.

    The similarities are those of the JSON list `scores`; where it is empty there are none.
    """
    if _fetch(blob, offsets, rows) < 0:  # never, but what is not looked at would not be read
        return 0
    place = digit = 0
    for row in rows:
        first, last = offsets[row], offsets[row + 1]
        if place + last - first + MOST_ADDED + _BEFORE_SCORE.size + len(scores) + _MARKS > out.size:
            return 0
        out[place] = _COMMA if place else _OPENING
        place = expand(blob, first, last, out, place + 1)
        if len(scores) > 0:
            place = _copy(_BEFORE_SCORE, out, place)
            digit += 1  # over the bracket or the comma
            while scores[digit] != _COMMA and scores[digit] != _CLOSING:
                out[place] = scores[digit]
                place += 1
                digit += 1
        out[place] = _END
        place += 1
    out[place] = _CLOSING
    return place + 1
