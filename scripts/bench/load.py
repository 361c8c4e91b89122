"""The load tester beside wrk at the same rate, and the most that one process of it can ask."""
from __future__ import annotations

import argparse
import itertools
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.bench.results import Result
from scripts.load import options
from scripts.load.traffic import make_traffic
from scripts.running_service import HOST, ROOT, RunningService, running_service

_RATE = 200
_SEED = 7
_REQUESTS = 5000
_CONNECTIONS = 4
_PACED = Path(__file__).with_name("paced.lua")
_BUSY = ("--users", "8", "--think-time", "0", "--processes", "1")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Its own options."""
    parser.add_argument("--seconds", type=float, help="of each turn (default: 10; with --quick 3)")
    parser.add_argument("--rounds", type=int, help="turns that each takes (default: 5; with --quick 1)")


def run(arguments: argparse.Namespace) -> list[Result]:
    """P50 and P99 of both at 200 requests a second in turns, and requests a second as fast as one process can."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise SystemExit("error: wrk is not there to compare with; apt-get install wrk, or its like, brings it.")
    seconds, rounds = arguments.seconds or (3 if arguments.quick else 10), arguments.rounds or (arguments.quick or 5)
    of_wrk, of_tester = [], []
    with tempfile.TemporaryDirectory(prefix="recsys-bench-") as name:
        folder = Path(name)
        with running_service(arguments.model, folder / "metrics", workers=2) as service:
            asked = folder / "asked"
            asked.write_text("".join(_requests(service)))
            for turn in range(rounds):
                print(f"turn {turn + 1} of {rounds} ...", file=sys.stderr)
                of_wrk.append(_wrk(wrk, service, seconds, asked))
                of_tester.append(_tester(service, folder, seconds, "--rate", str(_RATE))["latency_ms"])
            busy = _tester(service, folder, seconds, *_BUSY)
    results = [Result(f"as fast as one process can: {' '.join(_BUSY)}", busy["throughput"], "/s", at_least=700)]
    for figure in ("p50", "p99"):
        there = statistics.median(turn[f"{figure}_ms"] for turn in of_wrk)
        here = statistics.median(turn[figure] for turn in of_tester)
        results += [
            Result(f"{figure.upper()} at {_RATE}/s of wrk", there, "ms"),
            Result(f"{figure.upper()} at {_RATE}/s of load_test.py", here, "ms"),
            Result(f"{figure.upper()} of load_test.py : of wrk", here / there, "x", at_least=0.8, at_most=1.2),
        ]
    return results


def _requests(service: RunningService) -> Iterator[str]:
    """What the tester would ask, for wrk."""
    usual = options.parse([])
    traffic = make_traffic(
        lambda path: json.loads(service.get(path)), usual.mix, skew=usual.catalog_skew, seed=_SEED
    )  # fmt: skip
    names = list(traffic.weights)
    for endpoint, number in itertools.islice(traffic.draw(random.Random(_SEED)), _REQUESTS):
        one = traffic.asked[names[endpoint]][number]
        yield f"{names[endpoint].partition(' ')[0]}\t{one.path}\t{one.body or ''}\n"


def _wrk(wrk: str, service: RunningService, seconds: float, asked: Path) -> dict[str, float]:
    """What wrk found, over as many connections as the tester opens at first."""
    command = [
        wrk, "-t", "1", "-c", str(_CONNECTIONS), "-d", f"{seconds:.0f}s", "-s", str(_PACED), f"http://{HOST}:{service.port}",
        "--", str(_RATE), str(asked),
    ]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - wrk, with our script
    found: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    if found["errors"]:
        raise SystemExit(f"error: {found['errors']:.0f} of wrk's requests failed.")
    return found


def _tester(service: RunningService, folder: Path, seconds: float, *arguments: str) -> dict[str, Any]:
    """What the load tester found of recommendations."""
    out = folder / "report.json"
    command = [
        sys.executable, "scripts/load_test.py", "--url", f"http://{HOST}:{service.port}", "--duration", f"{seconds:g}",
        "--warm-up", "1", "--seed", str(_SEED), "--json", str(out), *arguments,
    ]  # fmt: skip
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)  # noqa: S603 - a script of ours
    overall: dict[str, Any] = json.loads(out.read_text())["overall"]
    return overall
