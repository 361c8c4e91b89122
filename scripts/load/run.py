"""One run after the other: from the arguments to the report, and the two ways in which Ctrl-C ends it."""
from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import FrameType
from typing import Any

from scripts.load import files
from scripts.load.capacity import find_capacity
from scripts.load.fleet import Fleet
from scripts.load.limits import Machine
from scripts.load.measured import Measured, Period
from scripts.load.report import compare, holds_all, judge, make_report
from scripts.load.screen import Live
from scripts.load.target import Target, Unreachable
from scripts.load.traffic import Traffic, make_traffic
from scripts.load.verify import scrape_at_rest, verify
from scripts.load.worker import Plan


class Interrupted:
    """Whether somebody has asked for an end; the second time the process ends at once."""

    def __init__(self) -> None:
        self.is_set = False
        self.at_once: list[Callable[[], None]] = [files.forget]
        """What is still done before that."""

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM for a wish to end."""
        before = {number: signal.signal(number, self._take) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.is_set:
            for last in self.at_once:
                last()
            os._exit(128 + signal.SIGINT)
        self.is_set = True
        os.write(2, b"\nending; what is under way is waited for. Ctrl-C again ends at once.\n")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Do what was asked for; returns the whole report.

    Raises Unreachable where the service cannot be tested, Unwritable where the CSV cannot. A service that cannot be
    reached any more after the run is an entry `unverified` or `gone` of the report, which is not lost.
    """
    headers = {"X-API-Key": arguments.api_key} if arguments.api_key else {}
    target = Target(arguments.url, headers=headers, timeout=arguments.timeout, ca_file=arguments.ca_file)
    target.check()
    traffic = make_traffic(target.movies, arguments.mix, skew=arguments.catalog_skew, seed=arguments.seed)
    interrupted = Interrupted()
    before = None
    if arguments.verify_metrics:
        before = scrape_at_rest(target)
        target.begin_account()
    with interrupted.watching():
        if arguments.find_capacity:
            report, seen = _capacity(arguments, traffic, interrupted)
        else:
            with files.Seconds(arguments.csv) as seconds:
                report, measured = _once(arguments, traffic, interrupted, on_second=seconds.add)
            report["unwritten"] = [seconds.failed] if seconds.failed else []
            seen = [measured]
    report["warnings"] += arguments.notes
    if before is not None:
        try:
            report["verification"] = verify(_together(seen), target, before, scrape_at_rest(target))
        except (Unreachable, KeyboardInterrupt) as error:
            report["unverified"] = str(error) or "interrupted."
            report["warnings"].append(f"Nothing could be verified at the end: {report['unverified']}")
    elif "no answer" in report["statuses"] and not (report["overall"]["answers"] and target.is_there()):
        report["gone"] = True
        report["warnings"].append("The service gave no answer, or could not be reached any more at the end.")
    if arguments.compare is not None:
        report["comparison"] = {
            "started": arguments.compare["started"],
            "rows": compare(report, arguments.compare),
            "differences": _differences(report, arguments.compare),
        }
    judge(report, arguments.fail_on, arguments.compare)
    return report


def _once(
    arguments: argparse.Namespace, traffic: Traffic, interrupted: Interrupted, *,
    on_second: Callable[[Period], None] = lambda second: None, rate: float | None = None, what: str = "",
) -> tuple[dict[str, Any], Measured]:  # fmt: skip
    """One run with its own processes of users."""
    rate = rate or arguments.rate
    started = datetime.now(UTC).isoformat(timespec="seconds")
    measured = Measured(list(traffic.weights), arguments.duration, on_second)
    live = Live(what, arguments.duration)
    stopping = False
    own, machine = time.process_time(), Machine()
    with Fleet(_plans(arguments, traffic, rate)) as fleet:
        interrupted.at_once.append(fleet.kill)
        for told in fleet.run():
            if told is not None:
                measured.take(*told)
            elapsed = time.monotonic() - fleet.begin - arguments.warm_up if fleet.begin else -arguments.warm_up
            live.show(measured, elapsed)
            if fleet.begin and not stopping and (interrupted.is_set or measured.ended_early):
                fleet.stop()
                stopping = True
                measured.duration = max(min(elapsed, arguments.duration), 0.0)
    measured.finish()
    measured.own_cpu_seconds = time.process_time() - own
    measured.machine_share = machine.share()
    live.end()
    report = make_report(measured, options=_options(arguments, rate), mix=arguments.mix, started=started)
    report["interrupted"] = interrupted.is_set
    return report, measured


def _plans(arguments: argparse.Namespace, traffic: Traffic, rate: float | None) -> list[Plan]:
    run_id = secrets.token_hex(4)
    headers = {"X-API-Key": arguments.api_key} if arguments.api_key else {}
    return [
        Plan(
            url=arguments.url, headers=headers, traffic=traffic, run=f"load-{run_id}", process=process,
            processes=arguments.processes, users=arguments.users, think=arguments.think_time, rate=rate,
            ramp_up=arguments.ramp_up, warm_up=arguments.warm_up, duration=arguments.duration,
            timeout=arguments.timeout, seed=arguments.seed, ca_file=arguments.ca_file,
        )
        for process in range(arguments.processes)
    ]  # fmt: skip


def _options(arguments: argparse.Namespace, rate: float | None) -> dict[str, Any]:
    """What was asked for, without the key."""
    names = "url duration users think_time ramp_up warm_up timeout processes mix catalog_skew seed".split()
    of_closed = {} if rate is None else {"users": None, "think_time": None}
    return {**{name: getattr(arguments, name) for name in names}, "rate": rate, **of_closed}


def _capacity(
    arguments: argparse.Namespace, traffic: Traffic, interrupted: Interrupted
) -> tuple[dict[str, Any], list[Measured]]:
    """Runs at one rate after the other; the report is that of the highest rate that held the objective."""
    seen: list[Measured] = []
    last: dict[str, Any] = {}

    def attempt(rate: float) -> tuple[dict[str, Any], bool]:
        nonlocal last
        last, measured = _once(arguments, traffic, interrupted, rate=rate, what=f"{rate:g}/s: ")
        seen.append(measured)
        return last, holds_all(last, arguments.objective)

    steps, best = find_capacity(arguments.rate, attempt)
    report = best or last
    report["interrupted"] = interrupted.is_set
    if not last["complete"] and best:
        report["complete"] = False
        report["warnings"] += last["warnings"]
    held = best["options"]["rate"] if best else None
    if held is None:
        verdict = f"capacity: not even {min(step['rate'] for step in steps):g} requests a second held {arguments.slo}"
    else:
        verdict = f"capacity: {held:g} requests a second, the highest rate tried that held {arguments.slo}"
        if interrupted.is_set or not last["complete"]:
            verdict += "; interrupted before the limit was found"
        elif all(step["held"] for step in steps):
            verdict += "; the limit was not reached"
    broken = [step for step in steps if not step["held"]]
    if broken and any("tester itself" in warning for warning in broken[-1]["warnings"]):
        verdict += ". Where it broke, the tester or its machine was at its limit, too; ask from another to be sure"
    report["capacity"] = {"slo": arguments.slo, "rate": held, "steps": steps, "verdict": verdict + "."}
    return report, seen


def _together(seen: list[Measured]) -> Measured:
    """The answers of several runs, and their latencies."""
    first, *others = seen
    for other in others:
        first.answers += other.answers
        first.unanswered += other.unanswered
        for (endpoint, status), latencies in other.latencies.items():
            first.latencies[endpoint, status].add(latencies)
        for endpoint, latencies in other.warm_up.items():
            first.warm_up[endpoint].add(latencies)
    return first


def _differences(report: dict[str, Any], earlier: dict[str, Any]) -> list[str]:
    """What else was different between two runs, so that nobody compares what cannot be compared."""
    now, then = report["options"], earlier.get("options", {})
    return [
        f"{name.replace('_', '-')}: {_shown(then.get(name))} then, {_shown(now[name])} now"
        for name in now
        if _shown(then.get(name)) != _shown(now[name])
    ]


def _shown(value: Any) -> str:
    return "-".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def failures(report: dict[str, Any]) -> int:
    """For how many reasons the run has failed."""
    reasons = [threshold["failed"] for threshold in report["thresholds"]]
    reasons.append(not report["complete"])
    reasons.append("verification" in report and not report["verification"]["equal"])
    reasons.append("capacity" in report and report["capacity"]["rate"] is None)
    return sum(map(bool, reasons))
