"""The command that builds a model: what it says, what it refuses, and what an interruption leaves."""
from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from recsys_api.model import store
from scripts.build_model import main

from .conftest import ROOT, wait_until

COMMAND = [sys.executable, "scripts/build_model.py"]


@pytest.fixture(autouse=True)
def signals_as_they_were() -> Iterator[None]:
    """The command takes SIGTERM to itself; the tests give it back."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def test_it_builds_the_bundled_catalogue_and_sums_up(tmp_path: Path) -> None:
    built = run("--source", "bundled", "--output", tmp_path)
    assert built.returncode == 0, built.stderr
    model = store.load(tmp_path / store.CURRENT)
    assert model.source == "bundled"
    for wanted in (f"movies     {len(model.catalog):,}", "features", "seconds", "bytes", str(model.version)):
        assert wanted in built.stdout
    assert built.stdout.count("\nlike ") == 3


def test_the_same_input_gives_the_same_version(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert run("--source", "bundled", "--output", tmp_path / name).returncode == 0
    assert (tmp_path / "a" / store.CURRENT).readlink() == (tmp_path / "b" / store.CURRENT).readlink()


def test_the_budget_of_features_and_the_table_can_be_set(tmp_path: Path) -> None:
    assert run("--source", "bundled", "--output", tmp_path, "--max-features", 500, "--neighbours", 7).returncode == 0
    model = store.load(tmp_path / store.CURRENT)
    assert len(model.vocabulary) == 500
    assert model.neighbours.rows.shape[1] == 7


def test_a_table_with_other_names_for_its_columns(tmp_path: Path) -> None:
    table = tmp_path / "films.csv"
    table.write_text("name,plot\nHeat,Cops and robbers in Los Angeles.\nRonin,A case and a chase in Nice.\n")
    mapped = ("--column", "title=name", "--column", "overview=plot")
    built = run("--source", "csv", "--input", table, "--output", tmp_path / "models", *mapped)
    assert built.returncode == 0, built.stderr
    assert [movie.title for movie in store.load(tmp_path / "models" / store.CURRENT).catalog]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--source", "kaggle"), "needs --input"),
        (("--source", "kaggle", "--input", "nowhere"), "nowhere does not exist"),
        (("--source", "csv", "--input", "LICENSE"), "no column 'title'"),
        (("--source", "wikipedia", "--input", "LICENSE"), "is not JSON"),
        (("--source", "kaggle", "--input", "tests"), "movies_metadata.csv"),
        (("--source", "bundled", "--input", "tests"), "needs no --input"),
        (("--source", "bundled", "--column", "title=name"), "--column is for"),
    ],
)
def test_what_cannot_be_read_is_one_sentence_and_a_status(
    tmp_path: Path, arguments: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--output", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert sentence in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "wrong", [("--source", "imdb"), ("--source", "csv", "--column", "title"), ("--max-features", "0")]
)
def test_a_wrong_argument_is_explained(wrong: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(wrong)
    assert ended.value.code == 2
    assert wrong[-1] in capsys.readouterr().err


def test_help_is_worth_reading() -> None:
    text = run("--help").stdout
    for wanted in ("--source", "--column", "--strict", "Examples:", "kill -HUP"):
        assert wanted in text


def test_an_interruption_leaves_the_models_as_they_were(tmp_path: Path, shared_data: Path) -> None:
    """Ctrl-C at a terminal, in the middle of a build whose progress is shown there."""
    assert run("--source", "bundled", "--output", tmp_path).returncode == 0
    before = sorted(path.name for path in tmp_path.iterdir())
    films = str(shared_data / "wikipedia-movies")
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    process = subprocess.Popen(
        [*COMMAND, "--source", "wikipedia", "--input", films, "--output", str(tmp_path)],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    os.set_blocking(ours, False)
    seen = b""

    def showing(what: bytes) -> bool:
        nonlocal seen
        with contextlib.suppress(OSError):  # nothing written since the last look, or nobody left to write
            seen += os.read(ours, 65536)
        return what in seen

    with process:
        wait_until(lambda: showing(b"features"), "the progress bar")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert showing(b"interrupted: nothing was changed.")
    os.close(ours)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
