"""The two commands of the README: one that serves, one that checks."""
from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from recsys_api.model import store
from recsys_api.settings import PREFIX, Settings

from .conftest import ROOT, answers, free_port, wait_until


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source as a clone has it, with the packages installed already."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("recsys_api", "config", "scripts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.env"))
    for name in ("wsgi.py", "requirements.txt", "requirements-dev.txt"):
        shutil.copy(ROOT / name, folder)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


def environment(**settings: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return {**inherited, **settings}


def run(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["scripts/start_api.sh", *arguments],
        cwd=folder, env=environment(**settings), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def all_workers_live(url: str) -> bool:
    """Before that, a signal to stop can reach a worker that does not listen yet."""
    if not answers(url + "/health/ready"):
        return False
    text = requests.get(url + "/metrics?name[]=gunicorn_workers", timeout=5).text
    live, expected = re.findall(r"^gunicorn_workers\{.*\} (\S+)$", text, re.MULTILINE)
    return live == expected


@contextmanager
def serving(folder: Path, **settings: str) -> Iterator[tuple[str, subprocess.Popen[str], Path]]:
    """start_api.sh at work: its URL, its process and the file with what it prints."""
    port = free_port()
    log = folder / f"log-{port}"
    with (
        log.open("w") as output,
        subprocess.Popen(
            ["scripts/start_api.sh"], cwd=folder, env=environment(RECSYS_PORT=str(port), **settings), text=True,
            stdout=output, stderr=subprocess.STDOUT,
        ) as process,
    ):  # fmt: skip
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: process.poll() is not None or all_workers_live(url), "the start", 60)
            assert process.poll() is None, log.read_text()
            yield url, process, log
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)


def test_the_first_start_builds_a_model_and_says_where_to_go(checkout: Path) -> None:
    with serving(checkout) as (url, _, log):
        port = url.rpartition(":")[2]
        printed = log.read_text()
        assert "Building a model from the bundled catalogue" in printed
        for path in ("/", "/docs", "/health", "/metrics"):
            assert f"http://localhost:{port}{path}" in printed
        first = requests.get(f"{url}/search?query=toy story", timeout=10).json()["results"][0]
        similar = requests.get(f"{url}/recommendations/{first['movie_id']}?top_k=3", timeout=10).json()
        assert "Toy Story 2" in [movie["title"] for movie in similar["recommendations"]]


def test_the_first_curl_of_the_read_me_is_answered_as_it_says(checkout: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"curl 'http://localhost:8000(?P<path>\S+)'\n```\n```json\n(?P<answer>.*?)```", text, re.DOTALL)
    assert found is not None
    written = json.loads(found["answer"])
    with serving(checkout) as (url, _, _):
        answer = requests.get(url + found["path"], timeout=10).json()
    assert answer.keys() == written.keys()
    for changing in ("request_time", "processing_time_ms"):
        del answer[changing], written[changing]
    assert answer == written


def test_a_second_start_installs_and_builds_nothing_and_empties_the_metrics(checkout: Path) -> None:
    with serving(checkout) as (url, process, log):
        assert not {"Installing", "Creating", "Building"} & set(log.read_text().split())
        for _ in range(5):
            requests.get(url + "/search?query=heat", timeout=10)
        process.send_signal(signal.SIGKILL)
        process.wait()
    with serving(checkout) as (url, _, _):
        summary = requests.get(url + "/monitoring/summary", timeout=10).json()
        assert summary["request_metrics"]["search_queries"] == 0


def test_settings_come_from_the_file_and_the_environment_wins(checkout: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(checkout, folder, symlinks=True)
    written = "\ufeff# comment\n  \nRECSYS_PORT=1\nexport RECSYS_CACHE_SIZE = '7'\nRECSYS_CORS_ORIGINS=https://a.example"
    (folder / "config" / "recsys.env").write_text(written, encoding="utf-8")
    with serving(folder) as (url, _, _):
        answer = requests.get(url + "/", headers={"Origin": "https://a.example"}, timeout=10)
        assert answer.headers["Access-Control-Allow-Origin"] == "https://a.example"
        other = requests.get(url + "/", headers={"Origin": "https://b.example"}, timeout=10)
        assert "Access-Control-Allow-Origin" not in other.headers
        assert answer.headers["Vary"] == other.headers["Vary"] == "Origin"
        both_workers_caches = "recommendation_cache_capacity 14.0"
        wait_until(lambda: both_workers_caches in requests.get(url + "/metrics", timeout=10).text, "two caches of 7")


@pytest.mark.parametrize("line", ["RECSYS_PORT", "RECSYS PORT=1", "=1", "1PORT=2"])
def test_a_line_of_the_file_that_is_no_setting_is_named(checkout: Path, tmp_path: Path, line: str) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(checkout, folder, symlinks=True)
    (folder / "config" / "recsys.env").write_text(f"# first\n{line}\n")
    assert_one_sentence(run(folder), f"config/recsys.env:2: '{line}' is not NAME=value")


def test_the_example_copied_as_it_is_changes_nothing(checkout: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(checkout, folder, symlinks=True, ignore=shutil.ignore_patterns("models", "run"))
    example = folder / "config" / "recsys.env.example"
    (folder / "config" / "recsys.env").write_text(example.read_text().replace("RECSYS_PORT=8000\n", ""))
    with serving(folder) as (url, _, log):
        assert "Building a model from the bundled catalogue" in log.read_text()
        assert requests.get(url + "/health", timeout=10).json()["status"] == "healthy"


def test_a_model_that_went_missing_is_not_replaced_by_the_bundled_one(checkout: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(checkout, folder, symlinks=True, ignore=shutil.ignore_patterns("models", "run"))
    (folder / "models").mkdir()
    (folder / "models" / "current").symlink_to("gone")
    assert_one_sentence(run(folder, RECSYS_PORT=str(free_port())), "There is no model at models/current")


def test_only_files_of_metrics_are_emptied_away(checkout: Path, tmp_path: Path) -> None:
    for name in ("customers.db", "counter_3.db", "gauge_livesum_0.db"):
        (tmp_path / name).write_text("x")
    with serving(checkout, RECSYS_METRICS_DIR=str(tmp_path)) as (url, _, _):
        assert (tmp_path / "customers.db").read_text() == "x"
        assert not (tmp_path / "counter_3.db").exists()
        assert requests.get(url + "/health", timeout=10).status_code == 200


def test_a_reload_finds_its_process_in_the_pid_file(checkout: Path, tmp_path: Path) -> None:
    with serving(checkout, RECSYS_METRICS_DIR=str(tmp_path)) as (_, process, log):
        assert int((tmp_path / "gunicorn.pid").read_text()) == process.pid
        assert f"kill -HUP {process.pid}" in log.read_text()


def assert_one_sentence(ended: subprocess.CompletedProcess[str], sentence: str) -> None:
    assert ended.returncode != 0
    (line,) = ended.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert sentence in line


def test_a_taken_port_is_named(checkout: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert_one_sentence(run(checkout, RECSYS_PORT=port), f"cannot listen on 127.0.0.1:{port}")


def test_a_missing_model_is_named(checkout: Path, tmp_path: Path) -> None:
    ended = run(checkout, RECSYS_MODEL_DIR=str(tmp_path / "nowhere"), RECSYS_PORT=str(free_port()))
    assert_one_sentence(ended, f"There is no model at {tmp_path / 'nowhere'}")
    assert "scripts/build_model.py" in ended.stderr


def test_a_damaged_model_is_named(checkout: Path, six_models: Path, tmp_path: Path) -> None:
    shutil.copytree(six_models, tmp_path / "models", symlinks=True)
    model = tmp_path / "models" / store.CURRENT
    (model / "catalog.blob").write_bytes(b"")
    assert_one_sentence(run(checkout, RECSYS_MODEL_DIR=str(model), RECSYS_PORT=str(free_port())), "catalog.blob")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("RECSYS_PORT", "http", "RECSYS_PORT='http'"),
        ("RECSYS_THREADS", "0", "RECSYS_THREADS='0'"),
        ("RECSYS_WORKERS", "4", "RECSYS_WORKERS is not a setting"),
        ("RECSYS_METRICS_DIR", "/dev/null/metrics", "cannot create /dev/null/metrics"),
        ("RECSYS_HOST", "no-such-host.invalid", "cannot listen on no-such-host.invalid:8000"),
        ("WEB_CONCURRENCY", "0", "WEB_CONCURRENCY='0'"),
        ("WEB_CONCURRENCY", "two", "WEB_CONCURRENCY='two'"),
    ],
)
def test_a_wrong_setting_is_named(checkout: Path, name: str, value: str, sentence: str) -> None:
    ended = run(checkout, **{name: value})
    assert ended.returncode != 0
    assert sentence in ended.stderr.strip().splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_a_second_service_may_not_share_the_metrics_of_a_running_one(checkout: Path) -> None:
    with serving(checkout) as (_, process, _):
        ended = run(checkout, RECSYS_PORT=str(free_port()))
        assert_one_sentence(ended, f"a service runs already (process {process.pid})")
        assert "RECSYS_METRICS_DIR" in ended.stderr


def test_help_lists_what_can_be_set(checkout: Path) -> None:
    text = run(checkout, "--help").stdout
    for name, field in Settings.model_fields.items():
        assert PREFIX + name.upper() in text
        assert str(field.description) in text
    assert "WEB_CONCURRENCY" in text


def test_an_argument_that_is_not_understood_is_refused(checkout: Path) -> None:
    assert_one_sentence(run(checkout, "--workers"), "--workers is not understood")


def test_ci_runs_the_tests_and_nothing_else() -> None:
    commands = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if not line.startswith("#")]
    assert commands == ["exec ./scripts/run_tests.sh"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
