"""The files in which workers count: reading one, and merging all of them, whatever state they are in."""
from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from prometheus_client.core import Metric
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

from recsys_api.metrics.catalogue import MERGES

_NAME = re.compile(r"(?P<kind>counter|histogram|summary|gauge)(?:_(?P<mode>[a-z]+))?_(?P<slot>[A-Za-z0-9]+)\.db")
_MODES: dict[str, set[str]] = {"counter": {""}, "histogram": {""}, "summary": {""}, "gauge": set(MERGES)}
_METRIC = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_HEADER_BYTES = 8
_VALUE_BYTES = 16
_SAMPLE_BYTES = 32  # of the first key and the last, to know a file again by; less than any key has
_FIRST_READ = 1 << 16
_ESCAPED = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})
_int = struct.Struct("i").unpack_from

Places = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


class BrokenFile(Exception):
    """A file of metrics is empty, torn or not one at all."""


class Labels(dict[str, str]):
    """The labels of a series, with their form in a scrape, which is made once."""

    def __init__(self, labels: dict[str, str]) -> None:
        super().__init__(labels)
        self.text = rendered(labels)


def rendered(labels: dict[str, str]) -> str:
    """Labels as a scrape shows them."""
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{value.translate(_ESCAPED)}"' for name, value in labels.items()) + "}"


class Merged(NamedTuple):
    """All files of a folder as one."""

    families: list[Metric]
    files: int
    skipped: list[Path]


class Files:
    """The files of a folder. What a key says and where a file has it is remembered from one merge to the next.

    Not to be used by two threads at once.
    """

    def __init__(self, folder: Path, *, leave_out: str) -> None:
        self._folder = folder
        self._leave_out = leave_out
        self._layouts: dict[str, _Layout] = {}
        self._groups: dict[tuple[str, str], _Group] = {}

    def merge(self) -> Merged:
        """The sum of all files, without those that cannot be read.

        Counters and histograms are added up; gauges as their files' names say. Live gauges of the process that is to
        be left out do not count: it creates them all, and is no worker.
        """
        for group in self._groups.values():
            group.clear()
        files, skipped = 0, []
        for path in sorted(self._folder.glob("*.db")):
            match = _NAME.fullmatch(path.name)
            mode = (match["mode"] or "") if match else ""
            if match is None or mode not in _MODES[match["kind"]]:
                skipped.append(path)
                continue
            if mode and match["slot"] == self._leave_out:
                continue
            kind = match["kind"], mode
            if kind not in self._groups:
                self._groups[kind] = _Group(*kind)
            try:
                self._add(path, self._groups[kind])
            except FileNotFoundError:
                continue  # its worker left between the listing and the reading
            except Exception:  # noqa: BLE001 - whatever is wrong with one file, the others count
                self._layouts.pop(path.name, None)
                skipped.append(path)
                continue
            files += 1
        families = [family for group in self._groups.values() for family in group.families()]
        return Merged(families, files, skipped)

    def _add(self, path: Path, group: _Group) -> None:
        data = read(path)
        layout = self._layouts.get(path.name)
        if layout is None or not layout.begins(data):
            layout = self._layouts[path.name] = _Layout()
        layout.extend(data, group)
        group.add(np.frombuffer(data, dtype=np.float64)[layout.places], layout.rows)


def read(path: Path) -> bytes:
    """The part of a file that is in use. Raises BrokenFile, or FileNotFoundError.

    A file is a header with the length in use, then for each series the length of its key, the key padded to eight
    bytes, a value and a time (prometheus_client/mmap_dict.py).
    """
    with path.open("rb", buffering=0) as file:
        data = file.read(_FIRST_READ)
        if len(data) < _HEADER_BYTES:
            raise BrokenFile(f"{path} is empty")
        (used,) = _int(data)
        if used > len(data):
            data += file.read(used - len(data))
    if not 0 <= used <= len(data) or used % _HEADER_BYTES:
        raise BrokenFile(f"{path} is cut off")
    return data[:used]


class Series(NamedTuple):
    """What a key says."""

    metric: str
    sample: str
    labels: dict[str, str]
    help: str


def entries(data: bytes, start: int = _HEADER_BYTES) -> list[tuple[bytes, int]]:
    """Every key from `start` on with the place of its value. Raises BrokenFile."""
    found = []
    place = start
    while place < len(data):
        (length,) = _int(data, place)
        first = place + 4
        place = first + length + 8 - (length + 4) % 8
        if length <= 0 or place + 16 > len(data):
            raise BrokenFile("torn")
        found.append((data[first : first + length], place))
        place += 16
    return found


def series(key: bytes) -> Series:
    """What a key says. Raises BrokenFile where it is not what prometheus_client writes."""
    try:
        metric, sample, labels, text = json.loads(key.decode())
        texts = (metric, sample, text, *labels, *labels.values())
        if not (_METRIC.fullmatch(metric) and _METRIC.fullmatch(sample) and all(isinstance(one, str) for one in texts)):
            raise BrokenFile("a key is not one of a metric")
        float(labels.get("le", 0))
        return Series(metric, sample, labels, text)
    except (ValueError, TypeError, AttributeError) as error:
        raise BrokenFile("a key is not readable") from error


def check(data: bytes) -> None:
    """Raises BrokenFile unless every key of a file can be read."""
    for key, _ in entries(data):
        series(key)


class _Layout:
    """Where one file has its values, which stay where they are while it grows."""

    def __init__(self) -> None:
        self.places: Places = np.zeros(0, dtype=np.int64)
        """int64: of the values, in units of eight bytes."""
        self.rows: Places = np.zeros(0, dtype=np.int64)
        """int64: which series of the group each value belongs to."""
        self._length = _HEADER_BYTES
        self._first_key = self._last_key = b""

    def begins(self, data: bytes) -> bool:
        """Whether `data` is the file that was read before, perhaps grown, and not another of its name."""
        return (
            len(data) >= self._length
            and data[_HEADER_BYTES:].startswith(self._first_key)
            and data[: self._length - _VALUE_BYTES].endswith(self._last_key)
        )

    def extend(self, data: bytes, group: _Group) -> None:
        """Take in what was added to the file since it was read last."""
        if len(data) <= self._length:
            return
        found = entries(data, self._length)
        group.learn(key for key, _ in found)  # all or none: a torn file leaves no trace
        known = [(group.rows[key], place // 8) for key, place in found]
        rows, places = np.array(known, dtype=np.int64).reshape(-1, 2).T
        self.rows = np.concatenate([self.rows, rows])
        self.places = np.concatenate([self.places, places])
        self._first_key = data[_HEADER_BYTES : _HEADER_BYTES + _SAMPLE_BYTES]
        self._last_key = data[max(len(data) - _VALUE_BYTES - _SAMPLE_BYTES, _HEADER_BYTES) : len(data) - _VALUE_BYTES]
        self._length = len(data)


class _Histogram:
    """One histogram's series: its buckets and its sum."""

    def __init__(self, labels: dict[str, str]) -> None:
        self.labels = Labels(labels)
        self._buckets: list[tuple[float, int]] = []
        self._bounds: list[Labels] = []
        self._rows: Places = np.zeros(0, dtype=np.int64)
        self._sum_row = 0

    def take(self, bound: str | None, row: int) -> None:
        """One more series: of the bucket up to `bound`, or of the sum."""
        if bound is None:
            self._sum_row = row
            return
        self._buckets = sorted([*self._buckets, (float(bound), row)])
        self._rows = np.array([row for _, row in self._buckets], dtype=np.int64)
        self._bounds = [Labels({**self.labels, "le": _written(bound)}) for bound, _ in self._buckets]

    def samples(self, name: str, totals: Values) -> Iterator[Sample]:
        """What a scrape shows. Buckets are counted apart in the files; here each includes the lower ones."""
        counts = np.cumsum(totals[self._rows]).tolist()
        for labels, count in zip(self._bounds, counts, strict=True):
            yield Sample(f"{name}_bucket", labels, count)
        yield Sample(f"{name}_count", self.labels, counts[-1] if counts else 0.0)
        yield Sample(f"{name}_sum", self.labels, float(totals[self._sum_row]))


def _written(bound: float) -> str:
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]  # half typed


@dataclass(slots=True)
class _Family:
    """One metric's series, ready to be given values."""

    help: str
    series: list[tuple[str, Labels, int]] = field(default_factory=list)
    """Name, labels and row of each."""
    histograms: dict[tuple[tuple[str, str], ...], _Histogram] = field(default_factory=dict)


class _Group:
    """The series of all files of one kind."""

    def __init__(self, kind: str, mode: str) -> None:
        self._kind = kind
        self.rows: dict[bytes, int] = {}
        """The place of each series among all of this kind, by its key."""
        self._families: dict[str, _Family] = {}
        self._merge: Any = {"": np.add, "livesum": np.add, "livemax": np.maximum}[mode]
        self._nothing = {"livemax": -np.inf}.get(mode, 0.0)
        self._totals: Values = np.zeros(0)
        self._seen = np.zeros(0, dtype=np.bool_)

    def learn(self, keys: Iterable[bytes]) -> None:
        """Make places for the series that are new. Raises BrokenFile, and then makes none."""
        new = {key: series(key) for key in keys if key not in self.rows}
        for key, says in new.items():
            self.rows[key] = row = len(self.rows)
            self._describe(says, row)
        self._totals = np.concatenate([self._totals, np.full(len(new), self._nothing)])
        self._seen = np.concatenate([self._seen, np.zeros(len(new), dtype=np.bool_)])

    def clear(self) -> None:
        """Forget the values, not the series."""
        self._totals[:] = self._nothing
        self._seen[:] = False

    def add(self, values: Values, rows: Places) -> None:
        """Take in the values of one file."""
        self._merge.at(self._totals, rows, values)
        self._seen[rows] = True

    def families(self) -> Iterator[Metric]:
        """The metrics with their values now; without series that no file has any more."""
        totals, seen = self._totals.tolist(), self._seen.tolist()
        for name, family in self._families.items():
            metric = Metric(name, family.help, self._kind)
            metric.samples = [
                Sample(sample, labels, totals[row]) for sample, labels, row in family.series if seen[row]
            ]
            for histogram in family.histograms.values():
                metric.samples.extend(histogram.samples(name, self._totals))
            if metric.samples:
                yield metric

    def _describe(self, says: Series, row: int) -> None:
        family = self._families.setdefault(says.metric, _Family(says.help))
        if self._kind != "histogram":
            family.series.append((says.sample, Labels(says.labels), row))
            return
        labels = {name: value for name, value in says.labels.items() if name != "le"}
        histogram = family.histograms.setdefault(tuple(sorted(labels.items())), _Histogram(labels))
        histogram.take(says.labels.get("le"), row)
