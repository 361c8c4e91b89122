#!/usr/bin/env python3
"""Kill and reload a service under load, and show that its metrics lose nothing.

Starts gunicorn with workers that recycle often, asks it everything from several clients at full speed, kills workers
and reloads all the while, scrapes throughout, and at the end compares what the clients saw with what was counted.
"""
from __future__ import annotations

import argparse
import http.client
import itertools
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

try:
    from scripts.scraped import Answer, Series, answers_counted, samples_of
except ImportError:
    sys.exit("error: run it as .venv/bin/python scripts/chaos.py; ./scripts/start_api.sh makes .venv.")

from recsys_api.metrics.slots import FILE_BYTES
from recsys_api.model import store
from scripts.running_service import DEADLINE_SECONDS, HOST, ROOT, RunningService, running_service
from scripts.traffic import JSON, Call, calls

THREADS = 4
KINDS_OF_FILES = len(FILE_BYTES)


@dataclass
class Observed:
    """What clients and scrapers have seen; each thread has its own, so that no lock is needed."""

    answers: Counter[Answer] = field(default_factory=Counter)
    unanswered: int = 0
    scrapes: int = 0
    interrupted_scrapes: int = 0
    faults: list[str] = field(default_factory=list)
    most_files: int = 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run, report, and return 0 if every number held."""
    arguments = _parse(argv)
    with tempfile.TemporaryDirectory(prefix="recsys-chaos-") as folder:
        return _run(arguments, Path(folder))


def _run(arguments: argparse.Namespace, folder: Path) -> int:
    model = store.load(arguments.model)
    settings = {"RECSYS_THREADS": str(THREADS), "RECSYS_MAX_REQUESTS": str(arguments.max_requests)}
    with running_service(arguments.model, folder, workers=arguments.workers, **settings) as service:
        wanted = calls(int(model.catalog.movie_ids[model.catalog.popular_rows[0]]))
        observed, kills, reloads = _storm(arguments, service, wanted, folder)
        service.come_to_rest()
        final = _scrape(service)
    status = _report(arguments, observed, kills, reloads, final)
    if status:
        errors = [line for line in (folder / "log").read_text().splitlines() if '"error.type"' in line]
        print("\n".join(["what the service logged of its faults:", *(errors[:3] or ["nothing"])]))
    return status


def _storm(
    arguments: argparse.Namespace, service: RunningService, wanted: list[Call], folder: Path
) -> tuple[list[Observed], int, int]:
    """Clients, scrapers, kills and reloads for the asked time."""
    over = threading.Event()
    seen = [Observed() for _ in range(arguments.clients + 1)]
    threads = [
        threading.Thread(target=_ask, args=(service.port, random.Random(arguments.seed + i), wanted, seen[i], over))
        for i in range(arguments.clients)
    ]
    threads.append(threading.Thread(target=_keep_scraping, args=(service, folder, seen[-1], over)))
    for thread in threads:
        thread.start()
    chance = random.Random(arguments.seed)
    begun = time.monotonic()
    next_kill = begun + chance.expovariate(arguments.kills_per_second)
    next_reload = begun + arguments.reload_every
    kills = reloads = 0
    try:
        while (now := time.monotonic()) < begun + arguments.seconds:
            if now >= next_kill:
                kills += _kill_one(service, chance)
                next_kill = now + chance.expovariate(arguments.kills_per_second)
            if now >= next_reload:
                service.master.send_signal(signal.SIGHUP)
                reloads += 1
                next_reload = now + arguments.reload_every
            _show(f"{now - begun:5.1f} s  {kills} kills  {reloads} reloads  {seen[-1].scrapes} scrapes")
            over.wait(0.02)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    _show("")
    return seen, kills, reloads


def _kill_one(service: RunningService, chance: random.Random) -> int:
    workers = [pid for pid in service.pids() if _lives(pid)]
    if not workers:
        return 0
    try:
        os.kill(chance.choice(workers), signal.SIGKILL)
    except ProcessLookupError:
        return 0
    return 1


def _lives(pid: int) -> bool:
    """Whether a process has not ended yet; one that has can still be sent signals until it is reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _ask(port: int, chance: random.Random, wanted: list[Call], seen: Observed, over: threading.Event) -> None:
    """One client: over one connection as long as it lasts, one request after the other."""
    connection = http.client.HTTPConnection(HOST, port, timeout=DEADLINE_SECONDS)
    while not over.is_set():
        call = chance.choice(wanted)
        try:
            connection.request(call.method, call.path, call.body, JSON if call.body else {})
            answer = connection.getresponse()
            answer.read()
            seen.answers[call.method, call.endpoint, answer.status] += 1
            if answer.status >= 500:
                seen.faults.append(f"{call.method} {call.path[:60]} was answered with {answer.status}")
        except (OSError, http.client.HTTPException):
            seen.unanswered += 1
            connection.close()
    connection.close()


def _keep_scraping(service: RunningService, folder: Path, seen: Observed, over: threading.Event) -> None:
    last: dict[Series, float] = {}
    while not over.is_set():
        try:
            now = _scrape(service)
        except (OSError, http.client.HTTPException):
            seen.interrupted_scrapes += 1  # the worker that was asked was killed; nobody can answer then
            continue
        except ValueError as error:
            seen.faults.append(f"a scrape failed: {error}")
            continue
        seen.scrapes += 1
        seen.answers["GET", "/metrics", 200] += 1
        for series, value in last.items():
            if not _never_falls(series[0]):
                continue
            if series not in now:
                if series[0] != "worker_cpu_seconds_total":  # left out while its worker is being accounted for
                    seen.faults.append(f"{series[0]}{dict(series[1])} was {value} and is gone")
            elif now[series] < value:
                seen.faults.append(f"{series[0]}{dict(series[1])} fell from {value} to {now[series]}")
        last = {**last, **now}
        seen.most_files = max(seen.most_files, len(list(folder.glob("*.db"))))


def _never_falls(name: str) -> bool:
    return name.endswith(("_total", "_count", "_bucket", "_sum"))


def _scrape(service: RunningService) -> dict[Series, float]:
    return samples_of(service.get("/metrics").decode())


def _report(
    arguments: argparse.Namespace, observed: list[Observed], kills: int, reloads: int, final: dict[Series, float]
) -> int:
    answers: Counter[Answer] = Counter()
    for seen in observed:
        answers.update(seen.answers)
    counted = answers_counted(final)
    faults = list(itertools.chain.from_iterable(seen.faults for seen in observed))
    own = {("GET", "/metrics", 200), ("GET", "/health", 200)}  # asked also to see the service come to rest
    short = {answer: n - counted[answer] for answer, n in answers.items() if counted[answer] < n}
    over = sum(max(n - answers[answer], 0) for answer, n in counted.items() if answer not in own)
    timed = sum(value for (name, _), value in final.items() if name == "http_request_duration_seconds_count")
    untimed = sum(counted.values()) - int(timed)
    bound = THREADS * kills
    most_files = max(seen.most_files for seen in observed)
    files_bound = KINDS_OF_FILES * (2 * arguments.workers + 1)
    restarts = {
        dict(labels)["reason"]: int(value)
        for (name, labels), value in final.items()
        if name == "gunicorn_worker_restarts_total"
    }
    held = {
        f"answers that no worker counted: {sum(short.values())} {short or ''}": not short,
        f"counted but not delivered: {over}, of at most {bound} (threads x kills)": over <= bound,
        f"counted but not timed: {untimed}, of at most {bound}": 0 <= untimed <= bound,
        f"files of metrics: {most_files}, of at most {files_bound}": most_files <= files_bound,
        f"scrapes that failed, counters that fell, faults of the service: {len(faults)}": not faults,
    }
    scrapes = observed[-1]
    print(
        f"{arguments.seconds:g} s, {arguments.workers} workers of {THREADS} threads, recycled after about "
        f"{arguments.max_requests} requests\n"
        f"{kills} kills, {reloads} reloads; workers ended: {', '.join(f'{n} {why}' for why, n in restarts.items())}\n"
        f"{sum(answers.values()):,} answers of {len(answers)} kinds at {arguments.clients} clients, "
        f"{sum(seen.unanswered for seen in observed)} requests without an answer\n"
        f"{scrapes.scrapes} scrapes, {scrapes.interrupted_scrapes} whose worker was killed meanwhile"
    )
    for sentence, is_so in held.items():
        print(f"{'ok  ' if is_so else 'FAIL'}  {sentence}")
    for fault in faults[:20]:
        print(f"      {fault}")
    return 0 if all(held.values()) else 1


def _show(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text:<70}", end="" if text else "\r", file=sys.stderr, flush=True)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30, help="how long (default: 30)")
    parser.add_argument("--workers", type=int, default=4, help="worker processes (default: 4)")
    parser.add_argument("--clients", type=int, default=4, help="clients at full speed (default: 4)")
    parser.add_argument("--kills-per-second", type=float, default=2.5, help="kill -9, at random (default: 2.5)")
    parser.add_argument("--reload-every", type=float, default=4, help="seconds between SIGHUPs (default: 4)")
    parser.add_argument("--max-requests", type=int, default=300, help="requests before recycling (default: 300)")
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "current", help="default: models/current")
    parser.add_argument("--seed", type=int, default=1, help="of what is asked and who is killed (default: 1)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
