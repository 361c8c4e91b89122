"""The load tester beside wrk at the same rate, and the most that one process of it can ask."""
from __future__ import annotations

import argparse
import itertools
import json
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.bench.results import Result
from scripts.bench.wrk import wrk
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
    parser.add_argument("--seconds", type=int, help="of each turn (default: 6; with --quick 2)")
    parser.add_argument("--rounds", type=int, help="turns that each takes (default: 3; with --quick 1)")


def run(arguments: argparse.Namespace) -> list[Result]:
    """P50 and P99 of both at 200 requests a second in turns, and requests a second as fast as one process can."""
    seconds = arguments.seconds or (2 if arguments.quick else 6)
    rounds = arguments.rounds or (1 if arguments.quick else 3)
    of_wrk, of_tester = [], []
    with tempfile.TemporaryDirectory(prefix="recsys-bench-") as name:
        folder = Path(name)
        with running_service(arguments.model, folder / "metrics", workers=2) as service:
            asked = folder / "asked"
            asked.write_text("".join(_requests(service)))
            for turn in range(rounds):
                print(f"turn {turn + 1} of {rounds} ...", file=sys.stderr)
                # some of the movies asked for do not exist, and a 404 is no fault
                paced = wrk(
                    service.port, _PACED, _RATE, asked, seconds=seconds, connections=_CONNECTIONS, may_fail=True
                )
                of_wrk.append({"p50": paced.p50_ms, "p99": paced.p99_ms})
                of_tester.append(_tester(service, folder, seconds, "--rate", str(_RATE))["latency_ms"])
            busy = _tester(service, folder, seconds, *_BUSY)
    results = [Result(f"as fast as one process can: {' '.join(_BUSY)}", busy["throughput"], "/s", at_least=700)]
    for figure in ("p50", "p99"):
        there = statistics.median(turn[figure] for turn in of_wrk)
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


def _tester(service: RunningService, folder: Path, seconds: int, *arguments: str) -> dict[str, Any]:
    """What the load tester found of recommendations."""
    out = folder / "report.json"
    command = [
        sys.executable, "scripts/load_test.py", "--url", f"http://{HOST}:{service.port}", "--duration", str(seconds),
        "--warm-up", "1", "--seed", str(_SEED), "--json", str(out), *arguments,
    ]  # fmt: skip
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)  # noqa: S603 - a script of ours
    overall: dict[str, Any] = json.loads(out.read_text())["overall"]
    return overall
