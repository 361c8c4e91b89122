"""Where rows come from: text files and archives, with the line that each row begins on."""
from __future__ import annotations

import csv
import gzip
import io
import sys
import zipfile
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from recsys_api.errors import CatalogError

csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # credits of one movie can be longer than csv's default


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table."""

    place: str
    """`file:line`, for the report."""
    cells: dict[str, str]
    fits: bool
    """Whether it had as many cells as the header."""

    @property
    def is_blank(self) -> bool:
        return not any(cell.strip() for cell in self.cells.values())


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
        """The rows of the CSV file `name`; raises CatalogError where it or one of the `required` columns is missing."""
        if name not in self:
            raise CatalogError(f"{self._path} has no {name}; give the folder or zip archive that holds it.")
        return table(self._open(name), f"{self._path}/{name}", name, required)

    def _open(self, name: str) -> BinaryIO:
        if self._archive is None:
            return Path(self._names[name]).open("rb")
        return self._archive.open(self._names[name])  # type: ignore[return-value]  # it reads as a BinaryIO does


def table(file: BinaryIO, shown: str, name: str, required: Sequence[str] = ()) -> Generator[Row, None, None]:
    """The rows of a CSV file with a header; closes it."""
    with file, readable(shown):
        lines = io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline="")
        reader = csv.reader(line.replace("\0", "") for line in lines)
        header = [column.strip() for column in next(reader, [])]
        for column in required:
            if column not in header:
                raise CatalogError(f"{shown} has no column {column!r}; it has {', '.join(header) or 'none'}.")
        begins = reader.line_num + 1
        for cells in reader:
            padded = cells + [""] * (len(header) - len(cells))
            fits = len(cells) == len(header)
            yield Row(f"{name}:{begins}", dict(zip(header, padded, strict=False)), fits or not any(cells))
            begins = reader.line_num + 1


@contextmanager
def readable(shown: str) -> Iterator[None]:
    """Turns what a damaged file makes the readers of the standard library raise into one sentence."""
    try:
        yield
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, csv.Error, UnicodeError, gzip.BadGzipFile) as error:
        raise CatalogError(f"{shown} cannot be read ({error}); is it whole?") from error
