"""The service with everything on beside bare Flask and FastAPI returning the same, over HTTP, in alternating rounds."""
from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from recsys_api.model import store
from scripts.bench.answers import record
from scripts.bench.progress import Progress
from scripts.bench.results import Result
from scripts.bench.servers import Server, running
from scripts.bench.wrk import Load, script, wrk
from scripts.load.traffic import misspelt
from scripts.running_service import HOST, RunningService, free_port, running_service
from scripts.scraped import samples_of

_WORKERS = 2
_MOVIES_COMPUTED = 3000
_CACHE_SIZE = 200
"""Of every worker: smaller than its share of the movies computed, so that asking for them in turn never meets one."""
_QUERIES = 1200
_QUICK_PATHS = 800
"""Of each kind with --quick; more than the caches of all workers hold."""
_SEED = 7


class _Asked(NamedTuple):
    """One kind of request: the paths, each with the key of its recorded answer, and the least share of bare Flask's
    throughput.
    """

    name: str
    paths: list[tuple[str, str]]
    at_least: float
    beside_fast_api: bool = False


def add_options(parser: argparse.ArgumentParser) -> None:
    """Its own options."""
    parser.add_argument("--rounds", type=int, help="turns that each takes (default: 5; with --quick 2)")
    parser.add_argument("--seconds", type=int, help="length of a turn (default: 2; with --quick 1)")


def run(arguments: argparse.Namespace) -> list[Result]:
    """Throughput and P99 of each kind of request, as shares of bare Flask's."""
    rounds = arguments.rounds or (2 if arguments.quick else 5)
    seconds = arguments.seconds or (1 if arguments.quick else 2)
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="recsys-bench-") as folder, ExitStack() as servers:
        here = Path(folder)
        service = servers.enter_context(_service(arguments.model, here / "service"))
        asked_kinds = kinds(store.load(arguments.model))
        if arguments.quick:
            asked_kinds = [kind._replace(paths=kind.paths[:_QUICK_PATHS]) for kind in asked_kinds]
        record(here / "answers", ((key, service.get(path)) for kind in asked_kinds for path, key in kind.paths))
        bare = servers.enter_context(_bare_flask(arguments.model, here))
        for kind in asked_kinds:
            compared = {"the service": Server(service.port, service.master.pid), "bare Flask": bare}
            if kind.beside_fast_api:
                compared |= servers.enter_context(_fast_api(here))
            asked = script(here / f"{kind.name}.lua", [path for path, _ in kind.paths])
            before = _look_ups(service)
            turns = _rounds(kind.name, compared, asked, rounds=rounds, seconds=seconds)
            results += _compared(kind, turns)
            if kind.name == "computed":
                hits, misses = (after - earlier for after, earlier in zip(_look_ups(service), before, strict=True))
                results.append(Result("computed: look-ups that were computed", misses / (hits + misses), at_least=0.99))
    return results


def kinds(model: store.Model) -> list[_Asked]:
    """One movie; many movies, each with its own filter; many titles, every fourth with a slip of the hand.

    They are asked for over and over. Of a query string the service remembers what it asks and its tag, of the words of
    a search what they mean; what is found it looks up each time, but for the first kind.
    """
    drawn = random.Random(_SEED)
    popular = model.catalog.popular_rows.tolist()
    ids = model.catalog.movie_ids[popular].tolist()
    filters = ("min_similarity=0.0{}&top_k=10", "min_similarity=0.0{}&exclude_same_year=true")
    computed = [
        (f"/recommendations/{movie_id}?{filters[i % 2].format(i % 9 + 1)}", str(movie_id))
        for i, movie_id in enumerate(ids[1 : 1 + _MOVIES_COMPUTED])
    ]
    titles = list(dict.fromkeys(model.catalog.movie(row).title.lower() for row in popular[:_QUERIES]))
    typed = dict.fromkeys(misspelt(title, drawn) if i % 4 == 3 else title for i, title in enumerate(titles))
    return [
        _Asked("cached", [(f"/recommendations/{ids[0]}", str(ids[0]))], 0.85, beside_fast_api=True),
        _Asked("computed", computed, 0.8),
        _Asked("search", [(f"/search?query={quote(query)}", query) for query in typed], 0.5),
    ]


def _service(model: Path, folder: Path) -> AbstractContextManager[RunningService]:
    """The service with everything on, its log too."""
    settings = {"RECSYS_LOG_LEVEL": "info", "RECSYS_CACHE_SIZE": str(_CACHE_SIZE)}
    return running_service(model, folder, workers=_WORKERS, port=0, application="wsgi:app", **settings)


def _bare_flask(model: Path, folder: Path) -> AbstractContextManager[Server]:
    """Bare Flask under the settings of the service, its worker class too."""
    port = free_port()
    environment = {
        "RECSYS_MODEL_DIR": str(model), "RECSYS_METRICS_DIR": str(folder / "bare"), "RECSYS_HOST": HOST,
        "RECSYS_PORT": str(port), "WEB_CONCURRENCY": str(_WORKERS), "ANSWERS": str(folder / "answers"),
    }  # fmt: skip
    command = [sys.executable, "-m", "gunicorn", "-c", "scripts/bench/bare_flask_settings.py"]
    return running(command, port, log=folder / "bare.log", environment=environment)


@contextmanager
def _fast_api(folder: Path) -> Iterator[dict[str, Server]]:
    """FastAPI under uvicorn with as many workers, and its log of requests as it comes; nothing where it is missing."""
    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        print(
            "note: FastAPI is not installed, so it is not compared; "
            ".venv/bin/python -m pip install -r requirements-bench.txt installs it.",
            file=sys.stderr,
        )
        yield {}
        return
    port = free_port()
    command = [
        sys.executable, "-m", "uvicorn", "scripts.bench.fast_api:app", "--host", HOST, "--port", str(port),
        "--workers", str(_WORKERS),
    ]  # fmt: skip
    environment = {"ANSWERS": str(folder / "answers")}
    with running(command, port, log=folder / "fastapi.log", environment=environment) as server:
        yield {"FastAPI": server}


class _Turn(NamedTuple):
    """What one server did in one turn."""

    load: Load
    processor_us: float
    """Processor time a request, in microseconds."""


def _rounds(
    kind: str, servers: dict[str, Server], asked: Path, *, rounds: int, seconds: int
) -> dict[str, list[_Turn]]:
    """The turns of each server; the first of each warms it up and is not kept."""
    turns: dict[str, list[_Turn]] = {name: [] for name in servers}
    with Progress(f"rounds of {kind}", rounds + 1) as progress:
        for done in range(rounds + 1):
            progress(done)
            for name, server in servers.items():
                before = server.processor_seconds()
                load = wrk(server.port, asked, seconds=seconds if done else 1)
                taken = server.processor_seconds() - before
                turns[name].append(_Turn(load, taken / load.requests * 1e6))
    return {name: taken[1:] for name, taken in turns.items()}


def _compared(kind: _Asked, turns: dict[str, list[_Turn]]) -> Iterator[Result]:
    for name, taken in turns.items():
        yield Result(f"{kind.name}: {name}", statistics.median(turn.load.per_second for turn in taken), "requests/s")
        yield Result(f"{kind.name}: {name}, P99", statistics.median(turn.load.p99_ms for turn in taken), "ms")
        processor = statistics.median(turn.processor_us for turn in taken)
        yield Result(f"{kind.name}: {name}, processor time a request", processor, "us")
    pairs = list(zip(turns["the service"], turns["bare Flask"], strict=True))
    throughput = _median_ratio((ours.load.per_second, bare.load.per_second) for ours, bare in pairs)
    latency = _median_ratio((ours.load.p99_ms, bare.load.p99_ms) for ours, bare in pairs)
    yield Result(f"{kind.name}: throughput, the service : bare Flask", throughput, "x", at_least=kind.at_least)
    yield Result(f"{kind.name}: P99, the service : bare Flask", latency, "x", at_most=1.5)
    if "FastAPI" in turns:
        pairs = list(zip(turns["the service"], turns["FastAPI"], strict=True))
        throughput = _median_ratio((ours.load.per_second, theirs.load.per_second) for ours, theirs in pairs)
        yield Result(f"{kind.name}: throughput, the service : FastAPI", throughput, "x", at_least=1.3)


def _median_ratio(pairs: Iterable[tuple[float, float]]) -> float:
    return statistics.median(one / other for one, other in pairs)


def _look_ups(service: RunningService) -> tuple[float, float]:
    """Hits and misses of the service's cache so far."""
    samples = samples_of(service.get("/metrics").decode())
    hits, misses = (f"recommendation_cache_{kind}_total" for kind in ("hits", "misses"))
    return samples[hits, ()], samples[misses, ()]
