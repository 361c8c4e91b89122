"""Worker slots: small numbers that name the workers' metric files, so that a new worker carries on in a dead one's.

With one file set per process id, files pile up with every worker that is recycled or killed, and none may ever be
deleted. A slot has one live worker at a time: the master forks into the lowest free one and frees it when it has
reaped the worker, so there are never more slots than workers alive at once (twice their number during a reload).
"""
from __future__ import annotations

import mmap
import os
import resource
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, Literal, NamedTuple

from prometheus_client import values

from recsys_api.metrics.catalogue import MERGES
from recsys_api.metrics.files import BrokenFile, check, read
from recsys_api.metrics.values import Value, Values

MASTER = "master"
MOST_SLOTS = 4096

Farewell = Literal["exit", "recycled"]
Ending = Literal["exit", "recycled", "timeout", "killed"]

FILE_BYTES = {"counter": 1 << 18, "histogram": 1 << 19, **{f"gauge_{mode}": 1 << 16 for mode in MERGES}}
"""Each file of a slot with its size; prometheus_client doubles one that becomes too small."""
_BYTES_PER_SLOT = sum(FILE_BYTES.values())
_WORDS_PER_SLOT = 4
_PID, _FAREWELL, _CACHE, _MODEL = range(_WORDS_PER_SLOT)
_EXPECTED = MOST_SLOTS * _WORDS_PER_SLOT
_WORD_BYTES = 8
_NOTE_BYTES, _MOST_NOTES = 256, 129  # a worker has one thread more than requests it can have in progress
_LEAVING = -1
_NO_MODEL, _HAS_MODEL = 1, 2
_FAREWELLS: tuple[Ending, ...] = ("killed", "exit", "recycled")
_CACHE_SIZE_BITS = 32


class LiveWorker(NamedTuple):
    """A worker that lives now."""

    slot: int
    pid: int


class Slots:
    """Who holds which slot, in memory that the master and all workers share. To be made before the first fork.

    A process that counts alone holds slot 0. Every field is one word with one writer at a time, so that no reader ever
    sees half of one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._slot = 0
        self._values = _values_in_files(folder)
        self.counts_with_others = self._values is not None
        """Whether several processes share the metrics."""
        self.change: Callable[[Iterable[tuple[Any, float]]], None] = (
            self._values.change if self._values is not None else _change_each
        )
        """Add to several values at once."""
        self.started_at = time.time()
        self._words = memoryview(mmap.mmap(-1, (_EXPECTED + 1) * _WORD_BYTES)).cast("q")
        self._notes = mmap.mmap(-1, MOST_SLOTS * _MOST_NOTES * _NOTE_BYTES)  # only what is written takes memory
        self._thread = threading.local()
        self._threads = count()
        self._children_seconds = _children_seconds()
        self.expected = 1
        if not self.counts_with_others:
            self.begin()

    @property
    def expected(self) -> int:
        """How many workers there should be; the master sets it."""
        return self._words[_EXPECTED]

    @expected.setter
    def expected(self, workers: int) -> None:
        self._words[_EXPECTED] = workers

    def forget_earlier_run(self) -> None:
        """For the master, before the first fork: forget what an earlier run left about workers that live no more."""
        for path in self._folder.glob("gauge_live*.db"):
            path.unlink(missing_ok=True)

    def reserve(self, taken: Iterable[int]) -> int:
        """For the master, before a fork: the lowest slot that is not `taken`, its files in order for a new worker."""
        in_use = set(taken)
        slot = next(slot for slot in range(len(in_use) + 1) if slot not in in_use)
        if slot >= MOST_SLOTS:
            raise RuntimeError(f"there can be at most {MOST_SLOTS} workers")
        _tidy(slot, self._folder)
        _allocate(slot, self._folder)
        return slot

    def take(self, slot: int) -> None:
        """For a new worker: from here on this process counts in the slot's files. Nobody sees it before `begin`."""
        self._slot = slot
        if self._values is not None:
            self._values.become(str(slot))
        first = slot * _WORDS_PER_SLOT
        self._words[first + _FAREWELL] = self._words[first + _CACHE] = self._words[first + _MODEL] = 0
        first_note = slot * _MOST_NOTES * _NOTE_BYTES
        for place in range(first_note, first_note + _MOST_NOTES * _NOTE_BYTES, _NOTE_BYTES):
            if self._notes[place]:
                self._notes[place] = 0

    def begin(self) -> None:
        """For a new worker that has described itself: it is live from here on."""
        self._words[self._slot * _WORDS_PER_SLOT + _PID] = os.getpid()

    def note(self, text: bytes) -> None:
        """For a thread of a worker: what it is answering, should the worker not live to tell; nothing at the end."""
        try:
            place: int = self._thread.place
        except AttributeError:
            number = next(self._threads) % _MOST_NOTES
            place = self._thread.place = (self._slot * _MOST_NOTES + number) * _NOTE_BYTES
        text = text[: _NOTE_BYTES - 1]
        self._notes[place + 1 : place + 1 + len(text)] = text
        self._notes[place] = len(text)

    def noted(self, slot: int) -> list[str]:
        """For the master: what the worker of `slot` was answering when it ended."""
        first = slot * _MOST_NOTES * _NOTE_BYTES
        places = range(first, first + _MOST_NOTES * _NOTE_BYTES, _NOTE_BYTES)
        texts = [self._notes[place + 1 : place + 1 + self._notes[place]] for place in places if self._notes[place]]
        return [text.decode(errors="replace") for text in texts]

    def say_farewell(self, reason: Farewell) -> None:
        """For a worker that ends by itself: why."""
        self._words[self._slot * _WORDS_PER_SLOT + _FAREWELL] = _FAREWELLS.index(reason)

    def leave(self, slot: int) -> tuple[Ending, float]:
        """For the master, when it has reaped a worker: how that ended, and the seconds of processor time it took.

        Until `free` the slot is neither live nor free, so that no scrape sees that time twice or not at all.
        """
        first = slot * _WORDS_PER_SLOT
        self._words[first + _PID] = _LEAVING
        seconds_before, self._children_seconds = self._children_seconds, _children_seconds()
        return _FAREWELLS[self._words[first + _FAREWELL]], self._children_seconds - seconds_before

    def free(self, slot: int) -> None:
        """For the master: the slot may have its next worker. Its counts stay, what described one alive goes."""
        _tidy(slot, self._folder)
        self._words[slot * _WORDS_PER_SLOT + _PID] = 0

    def note_cache(self, size: int, generation: int) -> None:
        """For a worker: its cache holds `size` entries, and was last emptied in `generation`."""
        self._words[self._slot * _WORDS_PER_SLOT + _CACHE] = generation << _CACHE_SIZE_BITS | size

    def cached(self, generation: int) -> int:
        """The entries of all live workers' caches; those that were not emptied in `generation` are about to be."""
        words = [self._words[slot * _WORDS_PER_SLOT + _CACHE] for slot, _ in self.live()]
        size = (1 << _CACHE_SIZE_BITS) - 1
        return sum(word & size for word in words if word >> _CACHE_SIZE_BITS == generation)

    def note_model(self, *, loaded: bool) -> None:
        """For a worker: whether it has a model."""
        self._words[self._slot * _WORDS_PER_SLOT + _MODEL] = _HAS_MODEL if loaded else _NO_MODEL

    def all_have_models(self) -> bool:
        """Whether there are live workers and all have a model; those that have only just begun do not count yet."""
        words = {self._words[slot * _WORDS_PER_SLOT + _MODEL] for slot, _ in self.live()}
        return _HAS_MODEL in words and _NO_MODEL not in words

    def live(self) -> list[LiveWorker]:
        """The workers that live now."""
        return [LiveWorker(slot, pid) for slot, pid in enumerate(self._pids()) if pid > 0]

    def leaving(self) -> set[int]:
        """The slots whose workers have ended and are being accounted for."""
        return {slot for slot, pid in enumerate(self._pids()) if pid == _LEAVING}

    def _pids(self) -> list[int]:
        return self._words[_PID:_EXPECTED:_WORDS_PER_SLOT].tolist()


def in_use() -> bool:
    """Whether this process counts in files by slot already, as at a reload."""
    return issubclass(values.ValueClass, Value)


def will_fork() -> None:
    """For the configuration of a server whose hooks give each worker its slot, before any metric exists."""
    _Server.forks = True


class _Server:
    forks = False


def unusable(folder: Path, workers: int) -> str:
    """Why that many workers cannot count together in files in `folder`; empty where they can."""
    needed = _BYTES_PER_SLOT * (2 * workers + 1)  # a reload doubles them for a while
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, needed)
            with mmap.mmap(file.fileno(), mmap.PAGESIZE) as mapped:
                mapped[:1] = b"x"
                mapped.flush()
    except (OSError, ValueError) as error:
        return str(getattr(error, "strerror", None) or error)
    return ""


def _tidy(slot: int, folder: Path) -> None:
    """Take away what described the slot's last worker, and put aside counts that cannot be carried on."""
    for path in folder.glob(f"*_{slot}.db"):
        if path.name.startswith("gauge_live"):
            path.unlink(missing_ok=True)
            continue
        try:
            check(read(path))
        except BrokenFile:
            with suppress(OSError):
                path.rename(path.with_suffix(".broken"))


def _allocate(slot: int, folder: Path) -> None:
    """Reserve the space of the slot's files: a disk that fills up later would kill whoever writes to their mappings."""
    for name, size in FILE_BYTES.items():
        path = folder / f"{name}_{slot}.db"
        with suppress(OSError), path.open("ab") as file:
            if file.tell() < size:
                os.posix_fallocate(file.fileno(), 0, size)


def _values_in_files(folder: Path) -> Values | None:
    """Make prometheus_client keep its values in files named by slot; None if it keeps them in this process alone."""
    chosen: Any = values.ValueClass
    if issubclass(chosen, Value):
        owner: Values = chosen.owner
        return owner
    if not (_Server.forks and chosen._multiprocess):
        values.ValueClass = values.MutexValue  # nobody would give the processes slots, so each counts for itself
        return None
    in_files = Values(folder, MASTER)
    values.ValueClass = in_files.value_class()
    return in_files


def _change_each(changes: Iterable[tuple[Any, float]]) -> None:
    for value, amount in changes:
        value.inc(amount)


def _children_seconds() -> float:
    """Processor time of all processes that this one has reaped."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
