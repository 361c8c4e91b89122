"""Catalogues of 36,000 to a million films: build, memory, size, and what each look-up costs."""
from __future__ import annotations

import argparse
import json
import mmap
import random
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys_api.catalog import Filters
from recsys_api.catalog.readers import read
from recsys_api.model import store
from recsys_api.model.build import build
from recsys_api.model.recommender import Recommender
from recsys_api.model.titles import fold_title
from recsys_api.text import STOP_WORDS, fold
from scripts.bench.catalogs import scaled_catalog
from scripts.bench.models import place_for, real_catalog, scaled_name
from scripts.bench.progress import Progress
from scripts.bench.results import GROWTH, Result
from scripts.bench.timing import milliseconds, p50
from scripts.bench.typos import typos
from scripts.running_service import ROOT

SIZES = (36_000, 100_000, 300_000, 1_000_000)
_QUICK_SIZES = (3_000, 9_000)
LOOK_UP, FILTERED, LIVE = "look-up in the table, P50", "filtered look-up, P50", "live top 10, P50"
SEARCH, TITLE = "search by content, P50", "mistyped title, P50"
BUILD, BUSY = "build", "processor time of the build"
MEMORY, ARTIFACT = "most memory of the build", "artifact"
LIVE_LIMIT_MS, MEMORY_LIMIT_GB, LOOK_UP_LIMIT = 6.0, 8.0, 1.5
"""At a million films; that of the look-up is a multiple of the smallest size's."""
_UNITS = {BUILD: "s", BUSY: "s", MEMORY: "GB", ARTIFACT: "GB"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Its own options."""
    parser.add_argument("--most", type=int, default=SIZES[-1], help="no larger size (default: %(default)s)")


def run(arguments: argparse.Namespace) -> list[Result]:
    """Everything at every size, the growth of each with the number of films, and the targets at the largest."""
    sizes = [size for size in (_QUICK_SIZES if arguments.quick else SIZES) if size <= arguments.most]
    found = {size: _measured(size) for size in sizes}
    results = [
        Result(f"{what} at {size:,} films", figure, _UNITS.get(what, "ms"), at_most=_limit(what, size))
        for what in found[sizes[0]]
        for size, figure in ((size, found[size][what]) for size in sizes if what in found[size])
    ]
    smallest, largest = sizes[0], sizes[-1]
    results.append(
        Result(
            f"look-up in the table at {largest:,} films : at {smallest:,}",
            found[largest][LOOK_UP] / found[smallest][LOOK_UP],
            "x",
            at_most=LOOK_UP_LIMIT if smallest == SIZES[0] else None,  # fewer fit into a cache
        )
    )
    if len(sizes) > 1:
        for what in found[sizes[0]]:
            with_it = [size for size in sizes if what in found[size]]
            exponent = np.polyfit(np.log(with_it), np.log([found[size][what] for size in with_it]), 1)[0]
            results.append(Result(GROWTH.format(what), float(exponent)))
    return results


def _limit(what: str, size: int) -> float | None:
    limits = {LIVE: LIVE_LIMIT_MS, MEMORY: MEMORY_LIMIT_GB}
    return limits.get(what) if size == SIZES[-1] else None


def _measured(size: int) -> dict[str, float]:
    """What is found at one size, by processes that do nothing else."""
    print(f"building a model of {size:,} films ...", file=sys.stderr)
    folder = place_for(scaled_name(size))
    built = _in_a_process("build", str(size), str(folder))
    print(f"asking a model of {size:,} films ...", file=sys.stderr)
    return {**built, **_in_a_process("ask", str(folder / store.CURRENT))}


def _in_a_process(*arguments: str) -> dict[str, float]:
    command = [sys.executable, "-m", "scripts.bench.scale", *arguments]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)  # noqa: S603 - this very module
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _build(size: int, folder: Path) -> dict[str, float]:
    source, path = real_catalog()
    films = read(source, path)[0]
    begun, busy_before = time.perf_counter(), time.process_time()
    with ExitStack() as told:
        shown: dict[str, Progress] = {}

        def on_step(step: str, done: int, total: int) -> None:
            if step not in shown:
                shown[step] = told.enter_context(Progress(f"{step} of {size:,} films", total))
            shown[step](done)

        model = build(scaled_catalog(size, films), source=f"{source}, scaled", progress=on_step)
    made = store.save(model, folder)
    return {
        BUILD: time.perf_counter() - begun,
        BUSY: time.process_time() - busy_before,
        MEMORY: _most_memory() / 1e9,
        ARTIFACT: sum(path.stat().st_size for path in made.iterdir()) / 1e9,
    }


def _most_memory() -> int:
    """Bytes that this process had at most: where Linux tells, without what its parent had when it was forked."""
    status = Path("/proc/self/status")
    if status.exists():
        told = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(told["VmHWM"].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _ask(path: Path, count: int = 300) -> dict[str, float]:
    model = store.load(path)
    _map_pages(model.neighbours.rows, model.neighbours.scores, model.catalog.movie_ids)
    recommender = Recommender(model)
    catalog, index = model.catalog, model.index
    draw = random.Random(1)
    rows = draw.sample(range(len(catalog)), count)
    genre = Filters(genre=(catalog.genres[0],))
    queries = [query for row in rows if (query := _words(catalog.movie(row).overview, draw))]
    titles = [fold_title(catalog.movie(row).title) for row in draw.sample(range(len(catalog)), 5 * count)]
    mistyped = [typo.query for typo in islice(typos(titles, frozenset(titles)), count)]
    movie_ids = catalog.movie_ids.tolist()
    asked: dict[str, tuple[Callable[..., object], list[int] | list[str]]] = {
        LOOK_UP: (lambda row: recommender.recommend(movie_ids[row]), draw.sample(range(len(catalog)), 10 * count)),
        FILTERED: (lambda row: recommender.recommend(movie_ids[row], filters=genre, exclude_same_year=True), rows),
        LIVE: (lambda row: index.top_k(*index.features_of(row), 10, excluded=row), rows),
        SEARCH: (recommender.search, queries),
        TITLE: (lambda query: model.titles.search(query, 10), mistyped),
    }
    return {what: p50(milliseconds({what: call}, inputs)[what]) for what, (call, inputs) in asked.items()}


def _map_pages(*arrays: npt.NDArray[Any]) -> None:
    """Touch every page once, as a worker has that has been at work for a while.

    The first touch costs some microseconds for the system to map the page: in a new process every look-up at a million
    films, and next to none at 36,000, which would then be compared with it.
    """
    for array in arrays:
        array.ravel()[:: mmap.PAGESIZE // array.itemsize].max()


def _words(overview: str, draw: random.Random) -> str:
    """Four telling words of an overview, as somebody might describe a film."""
    words = [word for word in Counter(fold(overview).split()) if word not in STOP_WORDS and len(word) > 3]
    return " ".join(draw.sample(words, 4)) if len(words) >= 4 else ""


def main() -> None:
    """Build or ask in this process; stdout tells what was found."""
    step, *arguments = sys.argv[1:]
    found = _build(int(arguments[0]), Path(arguments[1])) if step == "build" else _ask(Path(arguments[0]))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
