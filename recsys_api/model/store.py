"""The model on disk: plain files under a manifest, written beside their target and renamed, mapped when opened.

    models/
      1f0c9a7be2d4/            one model, named by its content
        manifest.json          what it is, and the size and sha256 of every other file
        card.json, catalog.*, index.*, kin.*, mood.*, neighbours.*, titles.*, vocabulary.*
      current -> 1f0c9a7be2d4  replaced in one step
"""
from __future__ import annotations

import hashlib
import mmap
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from recsys_api.catalog import Catalog
from recsys_api.errors import ArtifactError
from recsys_api.model.kernel import Int32s, SimilarityIndex, Table
from recsys_api.model.title_kernel import TitleArrays
from recsys_api.model.titles import TitleIndex
from recsys_api.model.vocabulary import Vocabulary

FORMAT = "recsys-model"
FORMAT_VERSION = 7
CURRENT = "current"
MANIFEST = "manifest.json"

_CATALOG_ARRAYS = (
    "movie_ids", "years", "votes", "ratings", "popular_rows", "offsets", "genre_offsets", "genre_ids",
    "genre_row_offsets", "genre_rows", "language_ids",
)  # fmt: skip
_INDEX_ARRAYS = tuple(field.name for field in fields(SimilarityIndex) if field.name != "_scratch")
_TITLE_ARRAYS = tuple(name for name in TitleArrays._fields if name != "years")  # those are the catalogue's
_BLOB, _GENRES, _LANGUAGES = "catalog.blob", "catalog.genres.json", "catalog.languages.json"
_TERMS = "vocabulary.json"
_CARD = "card.json"
_MULTIPLIERS, _IDF = "mood.multipliers.npy", "vocabulary.idf.npy"
_COPIES, _FRANCHISES = "kin.copies.npy", "kin.franchises.npy"
_REBUILD = "Build it again with scripts/build_model.py."


@dataclass(frozen=True, slots=True)
class Model:
    """A catalogue with all that is needed to answer from it."""

    catalog: Catalog
    index: SimilarityIndex
    neighbours: Table
    """Every row's best in the default mood; see SimilarityIndex."""
    multipliers: npt.NDArray[np.float32]
    """float32 [moods, N], or [moods, 0] where nobody voted: what each mood multiplies similarities by; see mood."""
    copies: Int32s
    """int32 [N]: one number for the rows that are near-duplicates of each other, -1 for the others; see kin."""
    franchises: Int32s
    """int32 [N]: one number for the rows of one series, -1 for the others; see kin."""
    titles: TitleIndex
    terms: Mapping[str, list[str]]
    """Each field's terms in the order of its columns."""
    vocabulary: Vocabulary
    source: str
    settings: Mapping[str, Any]
    """What the model was built with."""
    card: Mapping[str, Any]
    """What it is, for people; see card.describe."""
    version: str = ""
    """Derived from the content; empty until saved."""
    built_at: str = ""
    """ISO 8601, UTC."""


def save(model: Model, models: Path) -> Path:
    """Write `model` under the folder `models` and make it the current one; returns its folder.

    Nothing of an existing model is touched, and an interrupted save leaves nothing behind. A model of the same content
    is kept as it is. Raises ArtifactError where the folder cannot be written.
    """
    try:
        models.mkdir(parents=True, exist_ok=True)
        with _beside(models) as folder:
            _write_files(model, folder)
            manifest = _describe(model, folder)
            _write(folder / MANIFEST, orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
            target = models / str(manifest["model_version"])
            _put(folder, target)
        _point(models / CURRENT, target.name)
    except OSError as error:
        raise ArtifactError(f"Cannot write the model to {models}: {error.strerror or error}.") from error
    return target


def load(path: Path) -> Model:
    """The model in the folder `path` (or behind the link `path`), mapped read-only, after a check of every byte.

    Raises ArtifactError naming the file and the reason where anything is missing, truncated, altered or foreign.
    """
    folder = path.resolve()  # once: the link may move to another model while this one is being read
    if not folder.is_dir():
        raise ArtifactError(f"There is no model at {path}. {_REBUILD}")
    manifest = _read_manifest(folder)
    for name, expected in manifest["files"].items():
        _check_file(folder / name, expected)
    try:
        return _open_files(folder, manifest)
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"The model at {folder} is not complete ({error}). {_REBUILD}") from error


def _arrays(model: Model) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    for prefix, holder, names in (
        ("catalog", model.catalog, _CATALOG_ARRAYS),
        ("index", model.index, _INDEX_ARRAYS),
        ("titles", model.titles.arrays, _TITLE_ARRAYS),
        ("neighbours", model.neighbours, Table._fields),
    ):
        for name in names:
            yield f"{prefix}.{name}.npy", getattr(holder, name)
    yield _MULTIPLIERS, model.multipliers
    yield _COPIES, model.copies
    yield _FRANCHISES, model.franchises
    yield _IDF, model.vocabulary.idf


def _write_files(model: Model, folder: Path) -> None:
    for name, array in _arrays(model):
        with _flushed(folder / name) as file:
            np.save(file, array, allow_pickle=False)
    _write(folder / _BLOB, model.catalog.blob.data)
    _write(folder / _GENRES, orjson.dumps(model.catalog.genres))
    _write(folder / _LANGUAGES, orjson.dumps(model.catalog.languages))
    _write(folder / _TERMS, orjson.dumps(dict(model.terms)))
    _write(folder / _CARD, orjson.dumps(dict(model.card), option=orjson.OPT_INDENT_2))


def _describe(model: Model, folder: Path) -> dict[str, Any]:
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": _sha256(path)} for path in sorted(folder.iterdir())
    }
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "model_version": _version(model.source, model.settings, files),
        "source": model.source,
        "built_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": dict(model.settings),
        "total_movies": len(model.catalog),
        "vocabulary_size": len(model.vocabulary),
        "files": files,
    }


def _version(source: str, settings: Mapping[str, Any], files: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits of what the model holds: the same input gives the same version."""
    content = [FORMAT_VERSION, source, dict(settings), dict(files)]
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        raise ArtifactError(f"There is no model at {folder}: it has no {MANIFEST}. {_REBUILD}") from None
    except (OSError, orjson.JSONDecodeError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}). {_REBUILD}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ArtifactError(f"{path} does not describe a model of this service. {_REBUILD}")
    if manifest.get("format_version") != FORMAT_VERSION:
        raise ArtifactError(
            f"The model at {folder} has the format version {manifest.get('format_version')}; "
            f"this service reads {FORMAT_VERSION}. {_REBUILD}"
        )
    try:
        version = _version(manifest["source"], manifest["settings"], manifest["files"])
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is not complete ({error}). {_REBUILD}") from error
    if version != manifest.get("model_version"):
        raise ArtifactError(f"{path} was altered: its content does not give its model_version. {_REBUILD}")
    return manifest


def _check_file(path: Path, expected: Mapping[str, Any]) -> None:
    try:
        size = path.stat().st_size
        if size != expected["bytes"]:
            raise ArtifactError(f"{path} has {size:,} bytes and should have {expected['bytes']:,}. {_REBUILD}")
        if _sha256(path) != expected["sha256"]:
            raise ArtifactError(f"{path} was altered: its sha256 is not that of the manifest. {_REBUILD}")
    except FileNotFoundError:
        raise ArtifactError(f"{path} is missing. {_REBUILD}") from None
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}.") from error


def _open_files(folder: Path, manifest: Mapping[str, Any]) -> Model:
    def arrays(prefix: str, names: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
        return {name: _map_array(folder / f"{prefix}.{name}.npy") for name in names}

    catalog = Catalog(
        **arrays("catalog", _CATALOG_ARRAYS),
        blob=_map_bytes(folder / _BLOB),
        genres=tuple(orjson.loads((folder / _GENRES).read_bytes())),
        languages=tuple(orjson.loads((folder / _LANGUAGES).read_bytes())),
    )
    terms = orjson.loads((folder / _TERMS).read_bytes())
    return Model(
        catalog=catalog,
        index=SimilarityIndex.from_arrays(**arrays("index", _INDEX_ARRAYS)),
        neighbours=Table(**arrays("neighbours", Table._fields)),
        multipliers=_map_array(folder / _MULTIPLIERS),
        copies=_map_array(folder / _COPIES),
        franchises=_map_array(folder / _FRANCHISES),
        titles=TitleIndex.from_arrays(**arrays("titles", _TITLE_ARRAYS), years=catalog.years),
        terms=terms,
        vocabulary=Vocabulary.from_terms(terms, _map_array(folder / _IDF), manifest["settings"]["field_weights"]),
        source=manifest["source"],
        settings=manifest["settings"],
        card=orjson.loads((folder / _CARD).read_bytes()),
        version=manifest["model_version"],
        built_at=manifest["built_at"],
    )


def _map_array(path: Path) -> npt.NDArray[Any]:
    # A plain view: numba and indexing are slow on the memmap subclass.
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def _map_bytes(path: Path) -> npt.NDArray[np.uint8]:
    with path.open("rb") as file:
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), dtype=np.uint8)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _beside(models: Path) -> Iterator[Path]:
    """A new folder in `models`, gone at the end unless it was renamed."""
    folder = Path(tempfile.mkdtemp(prefix=".building-", dir=models))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _flushed(path: Path) -> Iterator[Any]:
    with path.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _write(path: Path, content: bytes | memoryview) -> None:
    with _flushed(path) as file:
        file.write(content)


def _put(folder: Path, target: Path) -> None:
    """Give the finished `folder` its name, unless a sound model has it already."""
    folder.chmod(0o755)  # mkdtemp's folders are closed to others, and the service may run as another user
    if target.exists():
        try:
            load(target)
            return
        except ArtifactError:
            broken = Path(tempfile.mkdtemp(prefix=".broken-", dir=target.parent))
            target.rename(broken / target.name)
            folder.rename(target)
            shutil.rmtree(broken, ignore_errors=True)
    else:
        folder.rename(target)
    _sync_folder(target.parent)


def _point(link: Path, name: str) -> None:
    """Make `link` lead to `name` in one step."""
    if link.exists() and not link.is_symlink():
        raise ArtifactError(f"{link} is a folder and not a link to a model; move it away and build again.")
    with tempfile.TemporaryDirectory(prefix=".link-", dir=link.parent) as folder:
        new = Path(folder) / name
        new.symlink_to(name)
        new.replace(link)
    _sync_folder(link.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
