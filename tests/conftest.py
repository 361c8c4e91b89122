"""What the tests share: six hand-written movies, models of them and of real data, and a real server."""
from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from recsys_api.catalog import Movie
from recsys_api.model import store
from recsys_api.model.build import build
from recsys_api.model.recommender import Recommender
from scripts import build_model
from scripts.monitoring_stack import find_program

BANNER = ("Movie Recommendation API:", "  ")
Series = tuple[str, frozenset[tuple[str, str]]]
ROOT = Path(__file__).resolve().parent.parent
DEADLINE_SECONDS = 30.0

SIX = (
    Movie(
        10, "The Iron Robot", "1999-08-06", genres=("Science Fiction", "Family"),
        keywords=("robot", "boy", "friendship"),
        directors=("Ann Lee",), cast=("Max Stone", "Ida Brook"), original_language="en",
        overview="A lonely boy hides a giant robot from the army in a barn.",
    ),
    Movie(
        20, "The Iron Robot II", "2001", genres=("Science Fiction", "Family"), keywords=("robot", "boy", "sequel"),
        directors=("Ann Lee",), cast=("Max Stone",), original_language="en",
        overview="The giant robot comes back to the boy, and the army is waiting.",
    ),
    Movie(
        30, "Star Boy", "1999", genres=("Science Fiction",), keywords=("space", "boy"),
        directors=("Oskar Ødegård",), cast=("Ida Brook",), original_language="no", original_title="Stjernegutten",
        overview="A boy drifts between planets and teaches a machine to sing.",
    ),
    Movie(
        40, "Midnight Heist", "1974", genres=("Crime",), keywords=("heist", "betrayal"),
        directors=("Paolo Conti",), cast=("Gina Rossi",), original_language="it", original_title="Colpo di mezzanotte",
        overview="Four thieves empty a bank in Milan, and one of them sells the others.",
    ),
    Movie(
        50, "The Last Heist", "1976", genres=("Crime",), keywords=("heist", "old age"),
        directors=("Paolo Conti",), cast=("Gina Rossi",), original_language="it",
        overview="An old thief leaves retirement for one more bank.",
    ),
    Movie(
        60, "Village Wedding", "1999", genres=("Romance", "Comedy"), keywords=("wedding", "village"),
        directors=("Marie Duval",), cast=("Jean Petit",), original_language="fr",
        overview="Two families quarrel over a cow until the bride runs away with the vet.",
    ),
)  # fmt: skip
"""A reader can predict how these rank: 10 and 20 are one series, 30 is near them, 40 and 50 are heists, 60 is alone."""


@pytest.fixture(scope="session")
def six() -> Recommender:
    return Recommender(build(SIX, source="six"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data; without it a test skips, but not in CI."""
    folder = Path(os.environ.get("RECSYS_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"the real data is not at {folder}; set RECSYS_TEST_DATA")
        pytest.skip(f"the real data is not at {folder}; set RECSYS_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def six_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models whose current one is of the six movies."""
    models = tmp_path_factory.mktemp("six")
    store.save(build(SIX, source="six"), models)
    return models


@pytest.fixture(scope="session")
def measured_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models whose current one is of the six movies, measured on ratings by people who like them all."""
    folder = tmp_path_factory.mktemp("measured")
    catalogue, ratings, models = folder / "six.csv", folder / "ratings.csv", folder / "models"
    movies = [f'{movie.movie_id},{movie.title},{movie.release_date},"{movie.overview}"' for movie in SIX]
    catalogue.write_text("\n".join(["movie_id,title,release_date,overview", *movies]))
    likes = [f"{user},{movie.movie_id},4.5,{day}" for user in range(4) for day, movie in enumerate(SIX)]
    ratings.write_text("\n".join(["userId,movieId,rating,timestamp", *likes]))
    command = ["--source", "csv", "--input", str(catalogue), "--output", str(models), "--ratings", str(ratings)]
    assert build_model.main([*command, "--quiet"]) == 0
    return models


def require(program: str) -> str:
    """The path of a program that a test needs; without it the test skips, but not in CI."""
    path = find_program(program)
    if path is None:
        missing = f"there is no {program} here, and scripts/run_tests.sh could not unpack Debian's"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    return path


@dataclass(frozen=True)
class Service:
    """A running service."""

    url: str
    process: subprocess.Popen[str]
    metrics_dir: Path

    def log(self) -> str:
        """What the service has printed so far."""
        return (self.metrics_dir / "log").read_text()

    def events(self) -> list[dict[str, Any]]:
        """The lines of the log, each of which has to be a JSON object, but for the banner."""
        return [json.loads(line) for line in self.log().splitlines() if line and not line.startswith(BANNER)]

    def scrape(self, query: str = "", **headers: str) -> dict[Series, float]:
        """All samples of a scrape, by name and labels."""
        text = self.get("/metrics" + query, headers=headers).text
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def metric(self, name: str, **labels: str) -> float:
        """One sample of a scrape, 0 where there is none."""
        return self.scrape().get((name, frozenset(labels.items())), 0.0)

    def get(self, path: str, **arguments: object) -> requests.Response:
        return requests.get(self.url + path, timeout=10, **arguments)

    def post(self, path: str, **arguments: object) -> requests.Response:
        return requests.post(self.url + path, timeout=10, **arguments)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], what: str, deadline: float = DEADLINE_SECONDS) -> None:
    """Return once `condition()` is true; fail after the deadline."""
    between_looks, end = threading.Event(), time.monotonic() + deadline
    while time.monotonic() < end:
        if condition():
            return
        between_looks.wait(0.02)
    pytest.fail(f"{what} did not happen within {deadline:.0f} s")


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code == 200
    except requests.RequestException:
        return False


def start(
    model_dir: Path,
    metrics_dir: Path,
    *,
    workers: int = 2,
    arguments: Sequence[str] = ("-c", "config/gunicorn.conf.py"),
    **settings: str,
) -> Service:
    """A real gunicorn with several workers on a port of its own, ready to serve."""
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RECSYS_")},
        "RECSYS_MODEL_DIR": str(model_dir),
        "RECSYS_METRICS_DIR": str(metrics_dir),
        "RECSYS_PORT": str(port),
        "WEB_CONCURRENCY": str(workers),
        **settings,
    }
    with (metrics_dir / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", *arguments],
            cwd=ROOT, env=environment, text=True, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    service = Service(f"http://127.0.0.1:{port}", process, metrics_dir)
    wait_until(lambda: process.poll() is not None or answers(service.url + "/health/live"), "the service's start")
    assert process.poll() is None, service.log()
    if arguments[0] == "-c":  # our configuration, with which the workers know of each other
        wait_until(lambda: service.get("/health").json()["workers"] == workers, "all workers' start")
    return service


def stop(service: Service) -> None:
    service.process.send_signal(signal.SIGTERM)
    service.process.wait(DEADLINE_SECONDS)


@pytest.fixture(scope="session")
def service(six_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The six movies, served by two workers."""
    running = start(six_models / store.CURRENT, tmp_path_factory.mktemp("metrics"))
    yield running
    stop(running)
