"""How one number is kept in a worker's file: prometheus_client's format, written with one store to memory.

prometheus_client's own value looks for a changed process id and packs two doubles at every increment, which is most of
the cost of counting. Here the process is told when it becomes another one, and a value knows its place in the mapping.
"""
from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from prometheus_client.mmap_dict import MmapedDict, mmap_key

_DOUBLE_BYTES = 8


class _File:
    """One file of the process: a dict of doubles, mapped."""

    def __init__(self, path: Path) -> None:
        self._dict: Any = MmapedDict(str(path))  # type: ignore[no-untyped-call]  # half typed
        self._mapped: Any = None
        self.doubles: memoryview[float]
        """The whole file as doubles; another one after the file has grown."""
        self._map()

    def value(self, key: str) -> tuple[int, float]:
        """The place of a value among the doubles, and what it is; made if it is not there yet."""
        value, _ = self._dict.read_value(key)
        self._map()
        return self._dict._positions[key] // _DOUBLE_BYTES, value

    def _map(self) -> None:
        if self._mapped is not self._dict._m:
            self._mapped = self._dict._m
            self.doubles = memoryview(self._mapped).cast("d")


class Values:
    """All values of this process, in files of `folder` that are named by `owner`."""

    def __init__(self, folder: Path, owner: str) -> None:
        self._folder = folder
        self._owner = owner
        self._files: dict[str, _File] = {}
        self._values: list[Value] = []
        self.lock = threading.Lock()
        """Held for every change; a value is changed by one thread at a time."""

    def become(self, owner: str) -> None:
        """After a fork: from here on the values are those of `owner`, carried on from its files."""
        self.lock = threading.Lock()  # the parent's may have been held when it forked
        self._owner = owner
        self._files = {}
        for value in self._values:
            value.open(self)

    def add(self, value: Value) -> None:
        """A new value, in its file from now on."""
        with self.lock:
            self._values.append(value)
            value.open(self)

    def change(self, changes: Iterable[tuple[Value, float]]) -> None:
        """Add to several values at once."""
        with self.lock:
            for value, amount in changes:
                value._value += amount
                value._file.doubles[value._place] = value._value

    def file(self, prefix: str) -> _File:
        """The file of one kind of values."""
        file = self._files.get(prefix)
        if file is None:
            path = self._folder / f"{prefix}_{self._owner}.db"
            try:
                file = _File(path)
            except Exception:  # noqa: BLE001 - whatever is wrong with it, a new file serves
                path.replace(path.with_suffix(".broken"))
                file = _File(path)
            self._files[prefix] = file
        return file

    def value_class(self) -> type[Value]:
        """What prometheus_client is to make its values of."""
        return type("Value", (Value,), {"owner": self})


class Value:
    """A double in a file: the interface that prometheus_client's metrics expect of a value."""

    owner: Values
    _multiprocess = True

    def __init__(
        self, typ: str, metric_name: str, name: str, labelnames: Sequence[str], labelvalues: Sequence[str],
        help_text: str, multiprocess_mode: str = "", **_: object,
    ) -> None:  # fmt: skip
        self._prefix = f"{typ}_{multiprocess_mode}" if typ == "gauge" else typ
        self._key = mmap_key(metric_name, name, list(labelnames), list(labelvalues), help_text)
        self._value = 0.0
        self.owner.add(self)

    def open(self, values: Values) -> None:
        """Find the place of this value in the file of the process."""
        self._file = values.file(self._prefix)
        self._place, self._value = self._file.value(self._key)

    def inc(self, amount: float) -> None:
        with self.owner.lock:
            self._value += amount
            self._file.doubles[self._place] = self._value

    def set(self, value: float, timestamp: float | None = None) -> None:
        with self.owner.lock:
            self._value = value
            self._file.doubles[self._place] = value

    def get(self) -> float:
        with self.owner.lock:
            return self._value

    def set_exemplar(self, exemplar: object) -> None:
        """Files have no room for exemplars."""

    def get_exemplar(self) -> None:
        return None
