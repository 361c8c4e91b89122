"""The memory of a worker beyond the first, its growth over many requests, and the size of a model on disk."""
from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path

from recsys_api.model import store
from scripts.bench.http import kinds
from scripts.bench.models import scaled_model
from scripts.bench.progress import Progress
from scripts.bench.results import Result
from scripts.bench.wrk import script, wrk
from scripts.running_service import RunningService, running_service

_MORE_WORKERS = 3
_REQUESTS = 2000
_REQUESTS_TO_GROW = 200_000
_MOVIES_ON_DISK = 45_000
_MB = 1e6


def add_options(parser: argparse.ArgumentParser) -> None:
    """Its own options."""
    parser.add_argument("--requests", type=int, help="over which growth is sought (default: 200,000; --quick 10,000)")


def run(arguments: argparse.Namespace) -> list[Result]:
    """Megabytes, of 1,000,000 bytes each."""
    requests = arguments.requests or (10_000 if arguments.quick else _REQUESTS_TO_GROW)
    with tempfile.TemporaryDirectory(prefix="recsys-bench-") as folder:
        here = Path(folder)
        paths = [path for kind in kinds(store.load(arguments.model)) for path, _ in kind.paths]
        asked = script(here / "all.lua", paths)
        with running_service(arguments.model, here / "one", workers=1) as service:
            _ask(service, asked, _REQUESTS)
            alone = sum(_pss(service).values())
        with running_service(arguments.model, here / "more", workers=_MORE_WORKERS) as service:
            _ask(service, asked, _REQUESTS * _MORE_WORKERS)
            together = sum(_pss(service).values())
            _ask(service, asked, requests // 2)  # by then the caches are full, and every path has been taken
            halfway = sum(_private(pid) for pid in service.pids())
            _ask(service, asked, requests // 2)
            at_the_end = sum(_private(pid) for pid in service.pids())
    per_worker = (together - alone) / (_MORE_WORKERS - 1)
    growth = (at_the_end - halfway) / _MORE_WORKERS
    return [
        Result("the service with one worker, PSS", alone / _MB, "MB"),
        Result(f"the service with {_MORE_WORKERS} workers, PSS", together / _MB, "MB"),
        Result(f"a worker beyond the first, after {_REQUESTS:,} requests", per_worker / _MB, "MB", at_most=40),
        Result(
            f"growth of a worker over the last {requests // 2:,} requests", growth / _MB, "MB",
            at_most=1 if requests >= _REQUESTS_TO_GROW else None,  # before that the caches are still filling
        ),
        *([] if arguments.quick else [_on_disk()]),
    ]  # fmt: skip


def _ask(service: RunningService, asked: Path, requests: int) -> None:
    """At least so many requests, to all workers."""
    done = 0
    with Progress("requests", requests) as progress:
        while done < requests:
            done += wrk(service.port, asked, seconds=1 if requests < 10_000 else 5).requests
            progress(done)


def _pss(service: RunningService) -> dict[int, int]:
    """The proportional set size of the master and of each worker, in bytes: pages that several share count in part."""
    return {pid: _from_smaps(pid, "Pss") for pid in (service.master.pid, *service.pids())}


def _private(pid: int) -> int:
    return _from_smaps(pid, "Private_Clean") + _from_smaps(pid, "Private_Dirty")


def _from_smaps(pid: int, name: str) -> int:
    told = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    found = re.search(rf"^{name}:\s+(\d+) kB$", told, re.MULTILINE)
    if found is None:
        raise SystemExit(f"error: the kernel does not tell {name} of a process; Linux 4.14 or newer does.")
    return int(found[1]) * 1024


def _on_disk() -> Result:
    size = sum(file.stat().st_size for file in scaled_model(_MOVIES_ON_DISK).iterdir())
    return Result(f"a model of {_MOVIES_ON_DISK:,} films on disk", size / _MB, "MB", at_most=60)
