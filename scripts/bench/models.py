"""The models that are measured: made once from real films, and kept until the code that makes them changes."""
from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from recsys_api.catalog import Movie
from recsys_api.catalog.readers import read
from recsys_api.model import store
from recsys_api.model.build import build
from scripts.bench.catalogs import scaled_catalog
from scripts.running_service import ROOT

FOLDER = ROOT / "build" / "bench"
"""Where the models are kept; git ignores it, and it may be deleted at any time."""


def real_model() -> Path:
    """The folder of a model of 36,273 real films, or of the bundled ones where the real ones are not at hand."""
    source, path = real_catalog()
    return kept_model(source, lambda: read(source, path)[0], source=source)


def real_catalog() -> tuple[str, Path | None]:
    """The source and the path of the largest real catalogue at hand, as `readers.read` takes them."""
    folder = Path(os.environ.get("RECSYS_TEST_DATA", ROOT.parent / "shared" / "data")) / "wikipedia-movies"
    if folder.is_dir():
        return "wikipedia", folder
    print(
        f"note: {folder} is not there, so the bundled films are measured; set RECSYS_TEST_DATA to the folder that "
        "holds wikipedia-movies for the 36,273 films that the targets are for.",
        file=sys.stderr,
    )
    return "bundled", None


def kept_model(name: str, movies: Callable[[], Iterable[Movie]], *, source: str) -> Path:
    """The folder of the model of `movies`, called `name`: built if it is not there or was built by other code."""
    model = kept(name)
    if model is None:
        folder = place_for(name)
        print(f"building the model {name} ...", file=sys.stderr)
        store.save(build(movies(), source=source), folder)
        model = folder / store.CURRENT
    return model


def scaled_model(total: int) -> Path:
    """The folder of a model of `total` films made of parts of real ones; see catalogs.py."""
    source, path = real_catalog()
    return kept_model(
        scaled_name(total), lambda: scaled_catalog(total, read(source, path)[0]), source=f"{source}, scaled"
    )


def scaled_name(total: int) -> str:
    """What a scaled model is called."""
    return f"scaled_{total}"


def kept(name: str) -> Path | None:
    """The folder of the model `name`, if this code has built it."""
    model = FOLDER / f"{name}-{_code()}" / store.CURRENT
    return model if model.exists() else None


def place_for(name: str) -> Path:
    """Where the model `name` is to be saved: whatever was there before is gone."""
    for outdated in FOLDER.glob(f"{name}-*"):
        shutil.rmtree(outdated)
    return FOLDER / f"{name}-{_code()}"


def _code() -> str:
    """What tells apart the versions of the code that makes models."""
    digest = hashlib.blake2b(digest_size=6)
    for room in ("recsys_api/catalog", "recsys_api/model", "recsys_api/text.py", "scripts/bench/catalogs.py"):
        place = ROOT / room
        for path in sorted(place.rglob("*.[pt]*")) or [place]:
            if path.suffix in {".py", ".toml"}:
                digest.update(path.read_bytes())
    return digest.hexdigest()
