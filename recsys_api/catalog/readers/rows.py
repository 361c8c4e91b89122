"""Where rows come from: text files and archives, with the line that each row begins on."""
from __future__ import annotations

import csv
import gzip
import io
import sys
import zipfile
import zlib
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from recsys_api.errors import CatalogError

csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # credits of one movie can be longer than csv's default


_LONGEST_ROW_LINES = 2000


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table."""

    place: str
    """`file:line`, for the report."""
    cells: dict[str, Any]
    """By column; texts, but for a table that knows other types."""
    fault: str = ""
    """What had to be mended to read it, if anything."""
    broken: bool = False
    """It opens a quote that nothing closes, so that nobody can tell where its cells end."""

    @property
    def is_blank(self) -> bool:
        return not self.broken and not any(cell.strip() for cell in self.cells.values())


class Folder:
    """The files of a folder or of a zip archive, by name, wherever they lie in it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if path.is_dir():
            self._archive = None
            self._names = {file.name: str(file) for file in sorted(path.rglob("*"), reverse=True) if file.is_file()}
            return
        try:
            self._archive = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise CatalogError(f"{path} is neither a folder nor a readable zip archive ({error}).") from error
        self._names = {name.rpartition("/")[2]: name for name in reversed(self._archive.namelist())}

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def table(self, name: str, *required: str) -> Iterator[Row]:
        """The rows of the CSV file `name`; raises CatalogError where it or one of the `required` columns is missing.

        `a|b` requires one of the two.
        """
        if name not in self:
            raise CatalogError(f"{self._path} has no {name}; give the folder or zip archive that holds it.")
        return table(self.open(name), f"{self._path}/{name}", name, required)

    def open(self, name: str) -> BinaryIO:
        """The file `name`, as bytes; raises CatalogError where it cannot be opened."""
        with readable(f"{self._path}/{name}"):
            if self._archive is None:
                return Path(self._names[name]).open("rb")
            return self._archive.open(self._names[name])  # type: ignore[return-value]  # it reads as a BinaryIO does


def table(file: BinaryIO, shown: str, name: str, required: Sequence[str] = ()) -> Generator[Row, None, None]:
    """The rows of a CSV file with a header; closes it."""
    with file, readable(shown):
        lines = io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline="")
        records = _records(line.replace("\0", "") for line in lines)
        header = [column.strip() for column in next(records, _Record(1, [])).cells]
        for column in required:
            if not set(column.split("|")) & set(header):
                wanted = " or ".join(repr(one) for one in column.split("|"))
                raise CatalogError(f"{shown} has no column {wanted}; it has {', '.join(header) or 'none'}.")
        for record in records:
            cells = record.cells + [""] * (len(header) - len(record.cells))
            fault = record.fault
            if not fault and any(record.cells) and len(record.cells) != len(header):
                fault = "row with too few or too many cells"
            if not fault and any("\ufffd" in cell for cell in cells):
                fault = "bytes that are not UTF-8 replaced"
            yield Row(f"{name}:{record.line}", dict(zip(header, cells, strict=False)), fault, record.broken)


class _Record(NamedTuple):
    line: int
    cells: list[str]
    fault: str = ""
    broken: bool = False


def _records(lines: Iterator[str]) -> Iterator[_Record]:
    """The records of a CSV file. A quote that is never closed costs its own line and none of those after it.

    csv.reader by itself reads such a quote to the end of the file, and says nothing.
    """
    waiting: deque[str] = deque()
    number = 0  # of the line after those that are done with

    def following() -> str | None:
        return waiting.popleft() if waiting else next(lines, None)

    while (line := following()) is not None:
        number += 1
        taken = [line]
        while True:
            try:
                cells = next(csv.reader(taken, strict=True), [])
                yield _Record(number, cells)
                break
            except csv.Error as error:
                goes_on = "unexpected end of data" in str(error)
            more = following() if goes_on and len(taken) < _LONGEST_ROW_LINES else None
            if more is not None:
                taken.append(more)
                continue
            if len(taken) == 1 and not goes_on:
                yield _Record(number, next(csv.reader(taken), []), fault="stray quotes kept as text")
                break
            waiting.extendleft(reversed(taken[1:]))
            del taken[1:]
            yield _Record(number, next(csv.reader(taken), []), broken=True)
            break
        number += len(taken) - 1


@contextmanager
def readable(shown: str) -> Iterator[None]:
    """Turns what a damaged file makes the readers of the standard library raise into one sentence."""
    try:
        yield
    except (
        OSError, EOFError, zlib.error, zipfile.BadZipFile, csv.Error, UnicodeError, gzip.BadGzipFile,
        RuntimeError, NotImplementedError,  # an archive that is encrypted, or packed in a way that zipfile cannot read
    ) as error:  # fmt: skip
        raise CatalogError(f"{shown} cannot be read ({error}); is it whole?") from error
