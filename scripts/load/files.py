"""The files of a report: JSON, and CSV as it goes; each appears under its name only when it is whole."""
from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from scripts.load.measured import Period

_COLUMNS = ("second", "requests", "errors", "bytes", "p50_ms", "p95_ms", "p99_ms")


def write(path: Path, text: str) -> None:
    """Write a file beside its name, and then under it."""
    with _whole(path) as file:
        file.write(text)


@contextmanager
def seconds_to(path: Path | None) -> Iterator[Callable[[Period], None]]:
    """Takes the seconds of a run one by one into a CSV file, or nowhere."""
    if path is None:
        yield lambda second: None
        return
    with _whole(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)

        def add(second: Period) -> None:
            figures = ("" if value is None else f"{value:.3f}" for value in second.quantiles())
            writer.writerow([second.begin, second.requests, second.errors, second.size, *figures])

        yield add


@contextmanager
def _whole(path: Path) -> Iterator[IO[str]]:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
