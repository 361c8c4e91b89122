"""A bounded cache whose misses are computed once, however many threads ask. It knows nothing of what it holds."""
from __future__ import annotations

import fcntl
import mmap
import os
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Generic, Literal, NamedTuple, TypeVar

import cachetools

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

CacheEvent = Literal["hit", "miss", "eviction"]

_COUNT_BYTES = 8
_MISSING: Any = object()


class CacheState(NamedTuple):
    """How full a cache is."""

    currsize: int
    generation: int
    """The one in which it was last emptied."""


class Cache(Generic[K, V]):
    """Least recently used, at most `maxsize` entries, safe to share between threads.

    A look-up that waits for another thread's computation of the same key is a hit: nothing was computed for it. What
    `compute` raises reaches every thread that waited, and is not kept. When `generation` changes, everything is
    forgotten before the next look-up.
    """

    def __init__(self, maxsize: int, *, generation: Callable[[], int] = lambda: 0) -> None:
        self.on_event: Callable[[CacheEvent, CacheState], None] = lambda event, state: None
        """Hears of every hit, miss and eviction, outside the lock, and of the state then."""
        self._entries = cachetools.LRUCache[K, V](maxsize)
        self._pending: dict[K, _Computation[V] | None] = {}
        """What is being computed: None until a second thread asks and has something to wait for."""
        self._lock = threading.Lock()
        self._generation = generation
        self._generation_seen = generation()

    @property
    def maxsize(self) -> int:
        """The most entries that are kept."""
        return int(self._entries.maxsize)

    @property
    def currsize(self) -> int:
        """How many entries are kept now."""
        with self._lock:
            self._forget_if_told()
            return len(self._entries)

    def get(self, key: K, compute: Callable[[], V]) -> V:
        """The value of `key`, computed if it is not there."""
        awaited = None
        with self._lock:
            self._forget_if_told()
            value: V = self._entries.get(key, _MISSING)
            pending = self._pending
            is_ours = value is _MISSING and key not in pending
            if is_ours:
                pending[key] = None
            else:
                state = self._state()
                if value is _MISSING:
                    awaited = pending[key] = pending[key] or _Computation()
        if is_ours:
            return self._fill(key, compute, pending)
        self.on_event("hit", state)
        return value if awaited is None else awaited.result()

    def _fill(self, key: K, compute: Callable[[], V], pending: dict[K, _Computation[V] | None]) -> V:
        try:
            value = compute()
        except BaseException as error:
            with self._lock:
                awaited = pending.pop(key)
                state = self._state()
            if awaited is not None:
                awaited.fail(error)
            self.on_event("miss", state)
            raise
        evicts = False
        with self._lock:
            self._forget_if_told()
            awaited = pending.pop(key)
            if pending is self._pending:  # it is another one when all was forgotten meanwhile
                evicts = len(self._entries) == self._entries.maxsize
                self._entries[key] = value
            state = self._state()
        if awaited is not None:
            awaited.finish(value)
        self.on_event("miss", state)
        if evicts:
            self.on_event("eviction", state)
        return value

    def _state(self) -> CacheState:
        return CacheState(len(self._entries), self._generation_seen)

    def _forget_if_told(self) -> None:
        if (generation := self._generation()) != self._generation_seen:
            self._generation_seen = generation
            self._entries = cachetools.LRUCache[K, V](self._entries.maxsize)
            self._pending = {}


class _Computation(Generic[V]):
    """A value that one thread computes and others wait for; a fraction of what a Future costs."""

    __slots__ = ("_error", "_going_on", "_value")

    def __init__(self) -> None:
        self._error: BaseException | None = None
        self._value: V
        self._going_on = threading.Lock()
        self._going_on.acquire()

    def finish(self, value: V) -> None:
        """What was computed."""
        self._value = value
        self._going_on.release()

    def fail(self, error: BaseException) -> None:
        """Why nothing could be computed."""
        self._error = error
        self._going_on.release()

    def result(self) -> V:
        """Wait for the value; raises what the computation raised."""
        with self._going_on:
            if self._error is not None:
                raise self._error
            return self._value


class SharedGeneration:
    """A number in a file that all workers see: whoever raises it empties every worker's cache."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with _locked(path) as file:
            if file.seek(0, os.SEEK_END) < _COUNT_BYTES:
                file.truncate(_COUNT_BYTES)
            self._shared = memoryview(mmap.mmap(file.fileno(), _COUNT_BYTES)).cast("q")

    def __call__(self) -> int:
        """The number now."""
        return self._shared[0]

    def advance(self) -> None:
        """Raise the number by one."""
        with _locked(self._path):
            self._shared[0] += 1


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO]:
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield file
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # a mapping made meanwhile keeps the file open, and so would keep the lock
