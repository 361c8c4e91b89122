"""The files of a report: JSON and HTML at the end, CSV as it goes; each appears under its name when it is whole."""
from __future__ import annotations

import csv
import os
from pathlib import Path
from types import TracebackType
from typing import IO

from scripts.load.measured import Period

_COLUMNS = ("second", "requests", "errors", "bytes", "p50_ms", "p95_ms", "p99_ms")


class Unwritable(Exception):
    """A file cannot be written; the text says which, and why."""


class File:
    """A text file that is written beside its name and renamed when whole; a pipe or a device is written at once."""

    def __init__(self, path: Path) -> None:
        """Open it; raises Unwritable."""
        self._path = path
        try:
            special = path.exists() and not path.is_file()
            self._whole = path if special else path.resolve()
            self._beside = path if special else self._whole.with_name(f".load_test-{os.getpid()}")
            self._file: IO[str] = self._beside.open("w", encoding="utf-8")
        except OSError as error:
            raise self._unwritable(error) from error
        if not special:
            _partial.add(self._beside)

    def write(self, text: str) -> None:
        """Add to it; raises Unwritable."""
        try:
            self._file.write(text)
        except OSError as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        """It is whole; raises Unwritable."""
        try:
            with self._file:
                self._file.flush()
                if self._beside in _partial:
                    os.fsync(self._file.fileno())
            if self._beside in _partial:
                self._beside.replace(self._whole)
        except OSError as error:
            raise self._unwritable(error) from error
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Leave nothing of it, unless it is whole."""
        if self._beside in _partial:
            self._beside.unlink(missing_ok=True)
            _partial.discard(self._beside)

    def _unwritable(self, error: OSError) -> Unwritable:
        self.abandon()
        return Unwritable(f"{self._path} cannot be written: {error.strerror}.")


_partial: set[Path] = set()


def forget() -> None:
    """Remove what is not whole; for an end that leaves no time for more."""
    for beside in list(_partial):
        beside.unlink(missing_ok=True)


def write(path: Path, text: str) -> None:
    """Write a whole file; raises Unwritable."""
    file = File(path)
    file.write(text)
    file.close()


class Seconds:
    """Takes the seconds of a run one by one into a CSV file, or nowhere; a context manager.

    A disk that is full does not end the run: `failed` then says so.
    """

    def __init__(self, path: Path | None) -> None:
        self.failed = ""
        self._file = None if path is None else File(path)

    def __enter__(self) -> Seconds:
        self._write(list(_COLUMNS))
        return self

    def add(self, second: Period) -> None:
        """Write its line."""
        figures = ("" if value is None else f"{value:.3f}" for value in second.quantiles())
        self._write([second.begin, second.requests, second.errors, second.size, *figures])

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is None or self.failed:
            return
        if error is not None:
            self._file.abandon()
            return
        try:
            self._file.close()
        except Unwritable as unwritable:
            self.failed = str(unwritable)

    def _write(self, row: list[object]) -> None:
        if self._file is None or self.failed:
            return
        try:
            csv.writer(self._file, lineterminator="\n").writerow(row)
        except Unwritable as unwritable:
            self.failed = str(unwritable)
