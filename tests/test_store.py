"""The model on disk: what is saved is what is loaded, and what is not whole is refused by name and reason."""
from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pytest

from recsys_api.errors import ArtifactError
from recsys_api.model import store
from recsys_api.model.build import build
from recsys_api.model.recommender import Recommender

from .conftest import SIX


def test_a_loaded_model_answers_as_the_saved_one(six: Recommender, six_models: Path) -> None:
    loaded = Recommender(store.load(six_models / store.CURRENT))
    for movie in SIX:
        ours, theirs = six.recommend(movie.movie_id), loaded.recommend(movie.movie_id)
        np.testing.assert_array_equal(ours.rows, theirs.rows)
        np.testing.assert_array_equal(ours.scores, theirs.scores)
        np.testing.assert_array_equal(six.search(movie.title).rows, loaded.search(movie.title).rows)
    assert list(loaded.catalog) == list(SIX)


def test_the_same_input_gives_the_same_version_and_other_input_another(tmp_path: Path) -> None:
    first, again = (store.save(build(SIX, source="six"), tmp_path / name).name for name in ("a", "b"))
    assert first == again
    others = {
        store.save(build(SIX[:5], source="six"), tmp_path / "a").name,
        store.save(build(SIX, source="seven"), tmp_path / "a").name,
        store.save(build(SIX, source="six", neighbours=2), tmp_path / "a").name,
    }
    assert len(others | {first}) == 4


def test_saving_moves_current_and_leaves_older_models_alone(tmp_path: Path) -> None:
    first = store.save(build(SIX, source="six"), tmp_path)
    in_use = Recommender(store.load(tmp_path / store.CURRENT))
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in first.iterdir()}
    second = store.save(build(SIX[:4], source="four"), tmp_path)
    assert (tmp_path / store.CURRENT).resolve() == second.resolve()
    assert before == {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in first.iterdir()}
    assert len(in_use.recommend(10).rows) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([first.name, second.name, store.CURRENT])


def test_saving_the_same_model_twice_keeps_the_files(tmp_path: Path) -> None:
    first = store.save(build(SIX, source="six"), tmp_path)
    inodes = {path.name: path.stat().st_ino for path in first.iterdir()}
    store.save(build(SIX, source="six"), tmp_path)
    assert inodes == {path.name: path.stat().st_ino for path in first.iterdir()}


def test_saving_over_a_broken_model_of_the_same_version_mends_it(tmp_path: Path) -> None:
    folder = store.save(build(SIX, source="six"), tmp_path)
    (folder / "catalog.blob").write_bytes(b"")
    assert store.save(build(SIX, source="six"), tmp_path) == folder
    assert len(store.load(folder).catalog) == 6


def test_an_interrupted_save_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    current = store.save(build(SIX, source="six"), tmp_path)
    there = sorted(tmp_path.iterdir())

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.save(build(SIX[:3], source="three"), tmp_path)
    assert sorted(tmp_path.iterdir()) == there
    assert (tmp_path / store.CURRENT).resolve() == current.resolve()


def _alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _forge(name: str, value: object) -> Callable[[Path], None]:
    def forge(folder: Path) -> None:
        manifest = orjson.loads((folder / store.MANIFEST).read_bytes())
        manifest[name] = value
        (folder / store.MANIFEST).write_bytes(orjson.dumps(manifest))

    return forge


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (lambda folder: (folder / "index.rows.npy").write_bytes(b"\x93NUM"), r"index\.rows\.npy has 4 bytes"),
    "altered": (lambda folder: _alter(folder / "catalog.blob"), r"catalog\.blob was altered"),
    "incomplete": (lambda folder: (folder / "titles.words.npy").unlink(), r"titles\.words\.npy is missing"),
    "without manifest": (lambda folder: (folder / store.MANIFEST).unlink(), r"has no manifest\.json"),
    "empty manifest": (lambda folder: (folder / store.MANIFEST).write_bytes(b""), "cannot be read"),
    "foreign": (lambda folder: (folder / store.MANIFEST).write_bytes(b'{"format": "other"}'), "does not describe"),
    "of a later format": (_forge("format_version", 99), "format version 99"),
    "relabelled": (_forge("source", "elsewhere"), "was altered"),
    "not a folder": (lambda folder: (shutil.rmtree(folder), folder.write_text("x")), "There is no model at"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_not_whole_is_refused_by_name_and_reason(tmp_path: Path, damage: str) -> None:
    folder = store.save(build(SIX, source="six"), tmp_path)
    store.load(folder)
    harm, reason = DAMAGE[damage]
    harm(folder)
    with pytest.raises(ArtifactError, match=reason) as caught:
        store.load(folder)
    assert "scripts/build_model.py" in str(caught.value)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ArtifactError, match=r"Cannot write the model to .*file"):
        store.save(build(SIX, source="six"), tmp_path / "file")
