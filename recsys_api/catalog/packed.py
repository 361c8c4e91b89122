"""Movies' JSON in less room: the keys, which are the same in each, as single bytes that JSON has nowhere.

A third of a movie's JSON is keys and the marks around them. JSON has no byte below 0x20 in it, so that each of these
can stand for one such fragment; to write the fragments out takes no longer than to copy what has them, since less is
read. A general compressor with a dictionary would halve the rest once more, and take several times as long to undo.

A packed blob begins with the table of its fragments, so that it can be read whatever keys a movie gets later.

What packs and what writes lists out of it stand in one module, since numba keeps compiled code for as long as the file
that it is of stays the same: code of another file that was compiled into it would stay, too.
"""
from __future__ import annotations

import re
import threading
from array import array
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from recsys_api.catalog.movie import Movie

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int32]
Scores = npt.NDArray[np.float32]

_TEXT, _OFFSETS = (types.Array(kind, 1, "C", readonly=True) for kind in (types.uint8, types.int64))
_OUT = types.uint8[::1]
_ROWS, _DIGITS = types.Array(types.int32, 1, "C", readonly=True), types.Bytes(types.uint8, 1, "C")

_CODES = _SLOT = 32
"""How many fragments there can be, and how many bytes each has in the table, of which the first is its length."""
_TABLE = _CODES * _SLOT
_BLOCK = 32
"""Bytes that are read and written at once, and so many are behind the last object."""
_MOST_ADDED = _CODES * _SLOT
"""Room that an object takes beyond its packed bytes, at most: it has each fragment at most once."""
_FIRST_ROOM = 1 << 16
_CACHE_LINE = 64
_BEFORE_SCORE = np.frombuffer(b',"similarity":', dtype=np.uint8)
_OPENING, _CLOSING, _COMMA, _END = (ord(mark) for mark in "[],}")
_MARKS = 4
"""At most so many of these stand around one object."""
_BETWEEN_VALUES = re.compile(rb'(?<=")(?=")|(?<=\[)(?=\])|\d[.\d]*')
"""Where the values of an object are that has only empty texts, empty lists and numbers."""


def _table() -> Bytes:
    """What every movie has before, between and after its values, but for the closing bracket."""
    fragments = _BETWEEN_VALUES.split(orjson.dumps(Movie(0, ""))[:-1])
    table = np.zeros((_CODES, _SLOT), dtype=np.uint8)
    for code, fragment in enumerate(fragments):
        table[code, : 1 + len(fragment)] = len(fragment), *fragment
    return table.ravel()


def pack(objects: bytearray, ends: array[int], order: npt.NDArray[np.int64]) -> tuple[Bytes, Offsets]:
    """The packed blob of JSON `objects` in an `order`, and where each begins in it, without their closing brackets.

    `objects` are one after the other, and end at all `ends` but the first, which is 0.
    """
    blob = np.empty(_TABLE + len(objects) + _BLOCK, dtype=np.uint8)
    offsets = np.empty(order.size + 1, dtype=np.int64)
    blob[:_TABLE] = _table()
    offsets[0] = _TABLE
    _pack(np.frombuffer(objects, dtype=np.uint8), np.frombuffer(ends, dtype=np.int64), order, blob, offsets)
    blob = blob[: offsets[-1] + _BLOCK]
    blob[-_BLOCK:] = 0
    blob.flags.writeable = False
    return blob, offsets


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
    while last - first + _MOST_ADDED > _room.bytes.size:
        _room.grow()
    room = _room.bytes
    return room[: _expand(blob, first, last, room, 0)].tobytes() + b"}"


class _Room(threading.local):
    """Where a thread writes, as large as the longest list so far needed."""

    def __init__(self) -> None:
        self.bytes = np.empty(_FIRST_ROOM, dtype=np.uint8)

    def grow(self) -> None:
        """Make twice as much of it."""
        self.bytes = np.empty(2 * self.bytes.size, dtype=np.uint8)


_room = _Room()


@njit(types.boolean(_TEXT, _TEXT), nogil=True, cache=True)
def _begins(text: Bytes, fragment: Bytes) -> bool:
    """Whether `text` begins with `fragment`."""
    i = 0
    while i < min(fragment.size, text.size) and text[i] == fragment[i]:
        i += 1
    return i == fragment.size


@njit(types.void(_TEXT, _OFFSETS, _OFFSETS, _OUT, types.int64[::1]), nogil=True, cache=True)
def _pack(objects: Bytes, ends: Offsets, order: Offsets, blob: Bytes, offsets: Offsets) -> None:
    for i in range(order.size):
        source, out = objects[ends[order[i]] : ends[order[i] + 1] - 1], blob[offsets[i] :]  # no closing bracket
        at = place = slot = np.int64(0)
        while at < source.size:
            size = np.int64(blob[slot])  # 0 behind the last one
            if size > 0 and source[at] == blob[slot + 1] and _begins(source[at:], blob[slot + 1 : slot + 1 + size]):
                out[place] = slot // _SLOT
                slot += _SLOT
                at += size
            else:
                out[place] = source[at]
                at += 1
            place += 1
        offsets[i + 1] = offsets[i] + place


def _generate_copy(typing: Any, source: types.Type, at: types.Type, out: types.Type, place: types.Type) -> Any:
    """Copy the 32 bytes of `source` from `at` on to a `place` in `out`, in one go, which a loop cannot say."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        read, written = (
            builder.bitcast(builder.gep(_data(context, builder, signature, arguments, i), [arguments[i + 1]]), _WHOLE)
            for i in (0, 2)
        )
        builder.store(builder.load(read, align=1), written, align=1)
        return context.get_dummy_value()

    return types.void(source, types.int64, out, types.int64), generate


def _generate_codes(typing: Any, source: types.Type, at: types.Type) -> Any:
    """Which of the 32 bytes of `source` from `at` on stand for a fragment: int64, a bit for each."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        read = builder.gep(_data(context, builder, signature, arguments, 0), [arguments[1]])
        block = builder.load(builder.bitcast(read, _WHOLE), align=1)
        are_codes = builder.icmp_unsigned("<", block, ir.Constant(_BYTES, [_CODES] * _BLOCK))
        return builder.zext(builder.bitcast(are_codes, ir.IntType(_BLOCK)), ir.IntType(64))

    return types.int64(source, types.int64), generate


def _generate_lowest_bit(typing: Any, bits: types.Type) -> Any:
    """The number of the lowest bit that is set."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate


def _data(context: Any, builder: Any, signature: Any, arguments: Any, i: int) -> Any:
    """Where the bytes of the array are that is the argument `i`."""
    return context.make_array(signature.args[i])(context, builder, arguments[i]).data


_BYTES = ir.VectorType(ir.IntType(8), _BLOCK)
_WHOLE = _BYTES.as_pointer()
_copy_block: Any = intrinsic(_generate_copy)
_codes: Any = intrinsic(_generate_codes)
_lowest_bit: Any = intrinsic(_generate_lowest_bit)


@njit(types.int64(_TEXT, types.int64, types.int64, _OUT, types.int64), nogil=True, cache=True)
def _expand(blob: Bytes, first: int, last: int, out: Bytes, place: int) -> int:
    """Write what is packed from `first` to before `last` to a `place` in `out`; returns the place behind it.

    What is there and in the next 31 places of `out` is written over, too.
    """
    for block in range(first, last, _BLOCK):
        size = min(_BLOCK, last - block)
        codes = _codes(blob, block) & ((1 << size) - 1)
        done = 0
        while codes:
            code = _lowest_bit(codes)
            codes &= codes - 1
            _copy_block(blob, block + done, out, place)  # what is too much of it is written over by what follows
            place += code - done
            slot = int(blob[np.uint64(block + code)]) * _SLOT  # unsigned places are not looked at for their sign
            _copy_block(blob, slot + 1, out, place)
            place += int(blob[np.uint64(slot)])
            done = code + 1
        _copy_block(blob, block + done, out, place)
        place += size - done
    return place


@njit(types.int64(_TEXT, _OUT, types.int64), nogil=True, cache=True)
def _copy(text: Bytes, out: Bytes, place: int) -> int:
    """Copy `text` to a `place` in `out`; returns the place behind it."""
    for i in range(text.size):
        out[place + i] = text[i]
    return place + text.size


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
    """Fill `out` with the list; returns its length, 0 without room.

    The similarities are those of the JSON list `scores`; where it is empty there are none.
    """
    if _fetch(blob, offsets, rows) < 0:  # never, but what is not looked at would not be read
        return 0
    place = digit = 0
    for row in rows:
        first, last = offsets[row], offsets[row + 1]
        if place + last - first + _MOST_ADDED + _BEFORE_SCORE.size + len(scores) + _MARKS > out.size:
            return 0
        out[place] = _COMMA if place else _OPENING
        place = _expand(blob, first, last, out, place + 1)
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
