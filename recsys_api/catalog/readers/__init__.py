"""Readers of catalogues: each survives bad rows, and accounts for every one."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from recsys_api.catalog.movie import Movie
from recsys_api.catalog.readers import kaggle, movielens, table, wikipedia
from recsys_api.catalog.readers.report import ReadReport
from recsys_api.errors import CatalogError

BUNDLED = Path(__file__).parent.parent / "movies.csv"

Reader = Callable[[Path, ReadReport, Mapping[str, str]], list[Movie]]

SOURCES: dict[str, Reader] = {
    "bundled": table.read_csv,
    "csv": table.read_csv,
    "kaggle": kaggle.read,
    "movielens": movielens.read,
    "parquet": table.read_parquet,
    "wikipedia": wikipedia.read,
}


def read(
    source: str, path: Path | None = None, *, columns: Mapping[str, str] | None = None
) -> tuple[list[Movie], ReadReport]:
    """The movies of a catalogue, in the order of how well known they are where it tells, and what became of each row.

    `source` is one of SOURCES; `path` is its file, folder or archive (not for `bundled`); `columns` names, for tables
    of other people, their column for each of ours. Raises CatalogError with what to do where nothing can be read.
    """
    if source not in SOURCES:
        raise CatalogError(f"There is no source {source!r}; there are {', '.join(SOURCES)}.")
    if source == "bundled":
        if path is not None:
            raise CatalogError("The bundled catalogue needs no --input; for a file of yours use --source csv.")
        path = BUNDLED
    if path is None:
        raise CatalogError(f"The source {source} needs --input: the file or folder to read.")
    if not path.exists():
        raise CatalogError(f"{path} does not exist.")
    if columns and source not in {"csv", "parquet"}:
        raise CatalogError("--column is for --source csv and --source parquet; the other sources have fixed columns.")
    report = ReadReport(source)
    movies = SOURCES[source](path, report, columns or {})
    report.kept = len(movies)
    if report.read != report.kept + report.rows_dropped:
        raise CatalogError(
            f"{path}: {report.read} rows were read, but {report.kept} kept and {report.rows_dropped} dropped; "
            "this is a fault of the reader, please report it."
        )
    if not movies:
        raise CatalogError(f"{path} holds no movie that can be used.\n" + "\n".join(report.lines()))
    return movies, report
