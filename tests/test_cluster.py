"""The table of neighbours from a Dask cluster is the single machine's, bit for bit, whatever dies meanwhile."""
from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import random_array

from recsys_api.model import store
from recsys_api.model.kernel import SimilarityIndex
from recsys_api.model.neighbours import neighbours
from scripts import cluster
from scripts.build_model import main

from .conftest import ROOT, free_port, wait_until

ROWS = 20_000
"""Ten blocks."""


@contextmanager
def started(log: Path, *arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    """One of Dask's own commands, ended with the test."""
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *map(str, arguments)],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """The address of a scheduler, and its three workers: real processes that nobody restarts."""
    address = f"tcp://127.0.0.1:{free_port()}"
    with ExitStack() as processes:
        log = tmp_path / "scheduler"
        processes.enter_context(started(log, "scheduler", "--host", address, "--no-dashboard"))
        options = ("--nthreads", 1, "--no-nanny", "--no-dashboard", "--local-directory", tmp_path)
        running = [
            processes.enter_context(started(tmp_path / f"worker{i}", "worker", address, *options)) for i in range(3)
        ]
        joined = r"Register worker"
        wait_until(lambda: len(re.findall(joined, log.read_text())) >= 3, "three workers' joining")
        yield address, running


def random_index() -> SimilarityIndex:
    draw = np.random.default_rng(5)
    matrix = random_array((ROWS, 500), density=0.02, format="csr", rng=draw, data_sampler=draw.random)
    matrix.data /= 20  # so that no norm is over 1
    return SimilarityIndex.from_matrix(matrix)


def test_a_worker_that_is_killed_midway_changes_nothing(
    workers: tuple[str, list[subprocess.Popen[bytes]]],
) -> None:
    address, processes = workers
    index = random_index()
    factors = np.random.default_rng(6).uniform(0.5, 2, ROWS).astype(np.float32)
    done: list[int] = []

    def kill_one(rows: int) -> None:
        done.append(rows)
        if len(done) == 2:
            processes[0].send_signal(signal.SIGKILL)

    with cluster.cluster(address) as client:
        theirs = cluster.neighbours(client, index, 20, factors=factors, progress=kill_one)
    ours = neighbours(index, 20, factors=factors)
    assert processes[0].wait(5) == -signal.SIGKILL
    assert sum(done) == ROWS
    np.testing.assert_array_equal(theirs.rows, ours.rows)
    np.testing.assert_array_equal(theirs.scores, ours.scores)


def test_processes_of_this_machine_build_the_same_model(tmp_path: Path) -> None:
    assert main(["--source", "bundled", "--output", str(tmp_path / "alone"), "--quiet"]) == 0
    command = [sys.executable, "scripts/build_model.py", "--source", "bundled", "--output", tmp_path / "together"]
    built = subprocess.run(
        [*command, "--scheduler", "local:2"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert built.returncode == 0, built.stderr
    alone, together = ((tmp_path / name / store.CURRENT).resolve().name for name in ("alone", "together"))
    assert alone == together


def test_where_there_is_no_scheduler_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_PATIENCE_SECONDS", 0.5)
    address = f"tcp://127.0.0.1:{free_port()}"
    assert main(["--source", "bundled", "--output", str(tmp_path), "--scheduler", address]) == 1
    assert f"error: There is no Dask scheduler at {address}" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", ["localhost:8786", "http://host:8786", "local:0", "tcp://host"])
def test_an_address_that_is_none_is_refused(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--source", "bundled", "--scheduler", wrong])
    assert "is not tcp://host:port" in capsys.readouterr().err
