#!/usr/bin/env python3
"""Break a real service in five ways, and show which alerts reach their receiver, and when.

For each fault a service, a Prometheus and an Alertmanager of its own are started with the configuration of monitoring/,
and asked 20 requests a second. monitoring/runbook.md promises which alerts a fault raises: exactly those have to fire,
each has to reach a webhook or be silenced by another one, and all have to be over once the fault is.

With --speed 30 every duration is shortened: those of up to five minutes thirty-fold, longer ones more than that, so
that all drills take about two minutes. With --speed 1 everything is as shipped; then nobody waits for the end of an
alert, which can look back for six hours, and --write puts the times into the runbook.
"""
from __future__ import annotations

import argparse
import http.server
import json
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

try:
    import requests
except ImportError:
    sys.exit("error: run it as .venv/bin/python scripts/drill.py; ./scripts/start_api.sh makes .venv.")

from scripts.faults import FAULTS, Scene
from scripts.files import write_whole
from scripts.monitoring_stack import Addresses, MonitoringError, Shorten, Stack, write_configuration
from scripts.running_service import HOST, ROOT, free_port
from scripts.traffic import calls, steady_traffic

RUNBOOK = ROOT / "monitoring" / "runbook.md"
BEGIN, END = "<!-- drills:begin -->", "<!-- drills:end -->"
REQUESTS_PER_SECOND = 20.0
CLIENTS = 16
SHORT_SECONDS = 300.0
_ROW = re.compile(r"^\| (?P<fault>[^|]+?) \| \[(?P<alert>\w+)\]", re.MULTILINE)
_HEADER = "| fault | alert | severity | told after |\n| --- | --- | --- | --- |"


@dataclass
class Outcome:
    """What came of one fault; times are seconds since it began."""

    fault: str
    severity: dict[str, str] = field(default_factory=dict)
    fired: dict[str, float] = field(default_factory=dict)
    told: dict[str, float] = field(default_factory=dict)
    silenced_by: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the drills, print the table; returns 0 if the runbook's promises were kept."""
    arguments = _parse(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    promised = promises()
    shorten = shortening(arguments.speed)
    with tempfile.TemporaryDirectory(prefix="recsys-drill-") as folder, ThreadPoolExecutor() as pool:
        running = [
            pool.submit(_drill, fault, promised[fault], arguments, Path(folder) / f"{number}", shorten)
            for number, fault in enumerate(arguments.fault)
        ]
        try:
            outcomes = [future.result() for future in running]
        except MonitoringError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            arguments.over.set()
            print("interrupted: everything that was started is being stopped.", file=sys.stderr)
            return 130
    table = as_table(outcomes)
    print(table)
    problems = [f"{outcome.fault}: {problem}" for outcome in outcomes for problem in outcome.problems]
    for problem in problems:
        print(f"FAIL  {problem}")
    if not problems:
        print(f"ok    {len(outcomes)} faults raised what the runbook promises; each was told or silenced.")
    if arguments.write and not problems:
        _write(table)
    return 1 if problems else 0


def promises() -> dict[str, set[str]]:
    """The alerts that the runbook promises, by fault."""
    table = RUNBOOK.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    promised: dict[str, set[str]] = {fault: set() for fault in FAULTS}
    for row in _ROW.finditer(table):
        promised[row["fault"]].add(row["alert"])
    return promised


def shortening(speed: float) -> Shorten:
    """What becomes of a duration at this speed: longer ones are shortened more, and stay longer than shorter ones."""

    def shorten(seconds: float) -> float:
        if speed == 1:
            return seconds
        return min(seconds, SHORT_SECONDS) / speed * max(seconds / SHORT_SECONDS, 1.0) ** 0.15

    return shorten


def as_table(outcomes: Sequence[Outcome]) -> str:
    """A row for each alert of each fault, in Markdown."""
    rows = [
        f"| {outcome.fault} | [{alert}](#{alert.lower()}) | {outcome.severity[alert]} | {_told(outcome, alert)} |"
        for outcome in outcomes
        for alert in sorted(outcome.fired, key=lambda alert: outcome.told.get(alert, float("inf")))
    ]
    return "\n".join([_HEADER, *rows])


def _told(outcome: Outcome, alert: str) -> str:
    if alert in outcome.told:
        minutes, seconds = divmod(round(outcome.told[alert]), 60)
        return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    return f"silenced by {outcome.silenced_by[alert]}" if alert in outcome.silenced_by else "not at all"


def _drill(
    fault: str, promised: set[str], arguments: argparse.Namespace, folder: Path, shorten: Shorten
) -> Outcome:
    """One fault, from a healthy service to a healthy service."""
    folder.mkdir()
    told = Told()
    scene = Scene(arguments.model, folder, free_port(), shorten)
    addresses = Addresses(
        api=[f"{HOST}:{scene.port}"], prometheus=f"{HOST}:{free_port()}", alertmanager=f"{HOST}:{free_port()}"
    )
    with ExitStack() as stack:
        webhook = stack.enter_context(told.listening())
        write_configuration(folder / "monitoring", addresses, shorten=shorten, webhook=webhook)
        stack.callback(scene.end_service)
        scene.serve()
        stack.enter_context(_monitored(folder / "monitoring", addresses, shorten))
        movie_id = json.loads(scene.service.get("/movies/popular?top_k=1"))[0]["movie_id"]
        wanted = [call for call in calls(movie_id) if call.endpoint != "/cache"]
        stack.enter_context(steady_traffic(scene.port, wanted, rate=REQUESTS_PER_SECOND, clients=CLIENTS))
        watch = Watch(fault, promised, addresses, told, shorten, arguments)
        watch.wait_for_health()
        watch.begin()
        with FAULTS[fault](scene):
            watch.see_it_fire()
        if arguments.speed != 1:
            watch.see_it_end()
    return watch.outcome


@contextmanager
def _monitored(folder: Path, addresses: Addresses, shorten: Shorten) -> Iterator[None]:
    stack = Stack(folder, addresses, shorten)
    stack.start(("alertmanager", "prometheus"))
    try:
        yield
    finally:
        stack.stop()


class Told:
    """A receiver of alerts, and what it was told when."""

    def __init__(self) -> None:
        self._messages: list[tuple[float, str, str]] = []

    @contextmanager
    def listening(self) -> Iterator[str]:
        """The URL to tell."""
        messages = self._messages

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                now = time.monotonic()
                messages.extend((now, alert["labels"]["alertname"], alert["status"]) for alert in body["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer((HOST, 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://{HOST}:{server.server_port}/"
        finally:
            server.shutdown()
            server.server_close()

    def first(self, status: str, *, since: float) -> dict[str, float]:
        """When each alert was first told of with this status, in seconds since then."""
        times: dict[str, float] = {}
        for at, alert, said in list(self._messages):
            if said == status and at >= since:
                times.setdefault(alert, at - since)
        return times


class Watch:
    """Looks at one drill's Prometheus, Alertmanager and receiver until they say what they should, or too late."""

    def __init__(
        self, fault: str, promised: set[str], addresses: Addresses, told: Told, shorten: Shorten,
        arguments: argparse.Namespace,
    ) -> None:  # fmt: skip
        self.outcome = Outcome(fault)
        self._promised = promised
        self._addresses = addresses
        self._told = told
        self._pause_seconds = min(max(shorten(15.0) / 2, 0.1), 1.0)
        self._patience_seconds = arguments.patience or (3600.0 if arguments.speed == 1 else 120.0)
        self._calm_seconds = shorten(120.0) + (2 if arguments.speed != 1 else 0)
        self._over: threading.Event = arguments.over
        self._begun = 0.0

    def wait_for_health(self) -> None:
        """Return once everything is scraped, the dead man's switch works, and for a while nothing else fires."""
        self._say("waiting for a calm service")
        calm_since = time.monotonic()

        def calm() -> bool:
            nonlocal calm_since
            if self._firing() or not self._told.first("firing", since=0.0).get("Watchdog") or not self._is_scraped():
                calm_since = time.monotonic()
            return time.monotonic() - calm_since > self._calm_seconds

        self._until(calm, "the healthy service was not calm")

    def begin(self) -> None:
        """The fault begins now."""
        self._say("broken")
        self._begun = time.monotonic()

    def see_it_fire(self) -> None:
        """Return once what is promised fires and is told of, and for a while nothing else does."""
        complete_since = 0.0

        def complete() -> bool:
            nonlocal complete_since
            now = time.monotonic()
            for alert, severity in self._firing().items():
                if alert not in self.outcome.fired:
                    self._say(f"{alert} fires after {now - self._begun:.1f} s")
                self.outcome.fired.setdefault(alert, now - self._begun)
                self.outcome.severity[alert] = severity
            self.outcome.told = self._told.first("firing", since=self._begun)
            self.outcome.silenced_by = self._inhibited()
            accounted = self.outcome.told.keys() | self.outcome.silenced_by.keys()
            if not self._promised <= self.outcome.fired.keys() or not self.outcome.fired.keys() <= accounted:
                complete_since = now
            return now - max(complete_since, self._begun) > self._calm_seconds

        self._until(complete, f"{', '.join(sorted(self._promised))} were not all told of")
        for alert in sorted(self.outcome.fired.keys() - self._promised):
            self.outcome.problems.append(f"{alert} fired, which the runbook does not promise")

    def see_it_end(self) -> None:
        """Return once nothing fires any more, and the end of all that was told of was told, too."""
        self._say("mended")
        self._until(
            lambda: not self._firing() and not self._told_of() - self._told.first("resolved", since=self._begun).keys(),
            "not all alerts were over",
        )
        self._say("over")

    def _told_of(self) -> set[str]:
        return self._told.first("firing", since=self._begun).keys() - {"Watchdog"}

    def _firing(self) -> dict[str, str]:
        """The alerts that fire, with their severities; the dead man's switch apart, which always does."""
        alerts = self._ask(f"http://{self._addresses.prometheus}/api/v1/alerts")["data"]["alerts"]
        gravest_last = sorted(alerts, key=lambda alert: alert["labels"]["severity"] == "critical")
        return {
            alert["labels"]["alertname"]: alert["labels"]["severity"]
            for alert in gravest_last
            if alert["state"] == "firing" and alert["labels"]["alertname"] != "Watchdog"
        }

    def _inhibited(self) -> dict[str, str]:
        """The alerts that another one silences, with that one."""
        alerts = self._ask(f"http://{self._addresses.alertmanager}/api/v2/alerts")
        names = {alert["fingerprint"]: alert["labels"]["alertname"] for alert in alerts}
        return {
            alert["labels"]["alertname"]: names.get(alert["status"]["inhibitedBy"][0], "another")
            for alert in alerts
            if alert["status"]["inhibitedBy"]
        }

    def _is_scraped(self) -> bool:
        targets = self._ask(f"http://{self._addresses.prometheus}/api/v1/targets")["data"]["activeTargets"]
        return bool(targets) and all(target["health"] == "up" for target in targets)

    def _ask(self, url: str) -> Any:
        return requests.get(url, timeout=30).json()

    def _until(self, condition: Callable[[], bool], otherwise: str) -> None:
        end = time.monotonic() + self._patience_seconds
        while not condition():
            if time.monotonic() > end:
                firing = ", ".join(sorted(self._firing())) or "nothing"
                self.outcome.problems.append(f"after {self._patience_seconds:.0f} s {otherwise}; firing: {firing}")
                return
            if self._over.wait(self._pause_seconds):
                raise MonitoringError("interrupted")

    def _say(self, text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {self.outcome.fault}: {text}", file=sys.stderr, flush=True)


def _write(table: str) -> None:
    text = RUNBOOK.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    write_whole(RUNBOOK, f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--fault", action="append", choices=list(FAULTS), help="one fault; again for another (default: all five)"
    )
    parser.add_argument("--speed", type=float, default=30, help="how much faster than shipped (default: 30)")
    parser.add_argument("--patience", type=float, help="seconds for each step (default: 120, an hour at speed 1)")
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "current", help="default: models/current")
    parser.add_argument("--write", action="store_true", help="put the table into the runbook; with --speed 1 alone")
    arguments = parser.parse_args(argv)
    arguments.fault = arguments.fault or list(FAULTS)
    arguments.over = threading.Event()
    if arguments.speed < 1:
        parser.error(f"--speed {arguments.speed:g} cannot be used: it is at least 1")
    if arguments.write and (arguments.speed != 1 or len(arguments.fault) != len(FAULTS)):
        parser.error("--write needs --speed 1 and all faults: the runbook tells the times of what is shipped")
    if not arguments.model.exists():
        parser.error(f"there is no model at {arguments.model}; ./scripts/start_api.sh builds one")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
