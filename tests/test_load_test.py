"""The load tester: its figures against servers whose behaviour is known, and its accounts against the service's."""
from __future__ import annotations

import csv
import fcntl
import itertools
import json
import os
import random
import re
import resource
import signal
import socket
import ssl
import struct
import subprocess
import sys
import termios
import threading
import time
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys_api.model import store
from scripts import load_test
from scripts.load import traffic
from scripts.load.capacity import find_capacity
from scripts.load.conditions import parse_condition
from scripts.load.measured import Latencies, Measured
from scripts.load.report import make_report
from scripts.load.worker import Result

from .conftest import ROOT, Service, free_port, start, stop, wait_until
from .stand_in import MOVIES, Answer, listening, stand_in

COUNTS = b'http_requests_in_progress 1\nhttp_requests_total{method="GET",endpoint="/health",status_code="200"} 1\n'
RESTING = {"threads": 4, "waiting": 0, "oldest": 0.0, "still": 0.0, "notes": []}


def run(url: str, *arguments: str, status: int = 0) -> str:
    """What the command prints."""
    ended = subprocess.run(
        [sys.executable, "scripts/load_test.py", "--url", url, "--warm-up", "0", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == status, ended.stderr + ended.stdout
    return ended.stdout


def report_of(url: str, folder: Path, *arguments: str, status: int = 0) -> dict[str, Any]:
    run(url, *arguments, "--json", str(folder / "report.json"), status=status)
    return dict(json.loads((folder / "report.json").read_text()))


# What it says of servers whose behaviour is known


def test_a_stall_shows_in_the_open_model_as_arithmetic_demands(tmp_path: Path) -> None:
    """0.8 s in 8 s: of the tenth that waits, latencies fall evenly from 0.8 s to 0, so the P99 is 0.72 s."""
    stalls = []

    def reply(number: int, path: str) -> Answer:
        now = time.monotonic()
        stalls.append(now + 2) if not stalls else None
        if stalls[0] <= now < stalls[0] + 0.8:
            time.sleep(stalls[0] + 0.8 - now)
        return Answer()

    with stand_in(reply) as server:
        report = report_of(server.url, tmp_path, "--rate", "50", "--duration", "8")
    assert report["model"] == "open"
    assert "coordinated omission" in report["note"]
    assert report["overall"]["requests"] == report["overall"]["answers"] == 400
    assert report["overall"]["latency_ms"]["p99"] == pytest.approx(720, rel=0.05)


def test_the_latency_is_the_one_that_the_server_took(tmp_path: Path) -> None:
    """P50, P95 and P99 are those of known delays, to 3 % or 0.3 ms; the server notes how long it took in truth."""

    def reply(number: int, path: str) -> Answer:
        time.sleep({0: 0.6, 1: 0.3, 2: 0.3, 3: 0.3}.get(number % 40, 0.1))
        return Answer()

    with stand_in(reply) as server:
        report = report_of(server.url, tmp_path, "--users", "4", "--think-time", "0", "--duration", "4")
        slept = np.sort(server.took[-report["overall"]["answers"] :]) * 1000
    assert report["model"] == "closed"
    assert "Closed model" in report["note"]
    for percentile in (50, 95, 99):
        there = slept[min(int(len(slept) * percentile / 100), len(slept) - 1)]
        here = report["overall"]["latency_ms"][f"p{percentile}"]
        assert here == pytest.approx(there, rel=0.03, abs=0.3), percentile


def test_a_server_that_is_too_slow_for_the_rate_is_not_flattered(tmp_path: Path) -> None:
    """Requests that could not even be started count as errors, and the report warns."""
    lock = threading.Lock()

    def reply(number: int, path: str) -> Answer:
        with lock:
            time.sleep(0.1)
        return Answer()

    with stand_in(reply) as server:
        report = report_of(server.url, tmp_path, "--rate", "600", "--duration", "1", "--timeout", "2.2")
    kinds = {error["kind"]: error["count"] for error in report["errors"]}
    assert report["overall"]["requests"] == 600
    assert report["overall"]["errors"] > 550
    assert kinds["not started"] + kinds["timeout"] == report["overall"]["errors"]
    for parts in (report["endpoints"].values(), report["timeline"]):
        assert sum(part["errors"] for part in parts) == report["overall"]["errors"]
    assert report["overall"]["latency_ms"]["p90"] > 1000
    assert any("could not even be started" in warning for warning in report["warnings"])


def test_the_timeout_bounds_the_whole_answer_and_no_request_is_lost(tmp_path: Path) -> None:
    """The answer begins in good time, and then nothing more comes."""
    never = threading.Event()

    def reply(number: int, path: str) -> Answer:
        time.sleep(0.8)
        return Answer(hang=never)

    with stand_in(reply) as server:
        report = report_of(server.url, tmp_path, "--rate", "10", "--duration", "2", "--timeout", "1", status=3)
        never.set()
    (error,) = report["errors"]
    assert (error["kind"], error["count"]) == ("timeout", 20)
    assert 1000 <= report["overall"]["latency_ms"]["max"] < 1500


def test_a_straggler_does_not_lower_the_throughput(tmp_path: Path) -> None:
    def reply(number: int, path: str) -> Answer:
        time.sleep(1.5 if number == 40 else 0)
        return Answer()

    with stand_in(reply) as server:
        report = report_of(server.url, tmp_path, "--rate", "50", "--duration", "1")
    assert report["overall"]["requests"] == report["overall"]["answers"] == 50
    assert 40 < report["overall"]["throughput"] < 50
    assert report["seconds"] == 1
    assert report["drain_seconds"] > 1


def test_the_warm_up_is_in_no_figure(tmp_path: Path) -> None:
    begun = []

    def reply(number: int, path: str) -> Answer:
        begun.append(time.monotonic())
        if begun[-1] < begun[0] + 0.6:
            time.sleep(0.3)
            return Answer(500)
        return Answer()

    with stand_in(reply) as server:
        report = report_of(server.url, tmp_path, "--rate", "50", "--duration", "1", "--warm-up", "1")
    assert report["overall"]["requests"] == 50
    assert report["overall"]["errors"] == 0
    assert report["overall"]["latency_ms"]["p99"] < 250


def test_a_rate_grows_with_the_ramp(tmp_path: Path) -> None:
    with stand_in() as server:
        report = report_of(server.url, tmp_path, "--rate", "100", "--ramp-up", "1", "--duration", "2")
    assert report["overall"]["requests"] == 150


def test_users_come_one_after_the_other_with_the_ramp(tmp_path: Path) -> None:
    """Of ten users in two seconds, half are there at the middle: at a fifth of a second each, half as much is asked."""

    def reply(number: int, path: str) -> Answer:
        time.sleep(0.2)
        return Answer()

    with stand_in(reply) as server:
        arguments = ("--users", "10", "--think-time", "0", "--duration", "2")
        report = report_of(server.url, tmp_path, *arguments, "--ramp-up", "2")
    assert 30 < report["overall"]["requests"] < 70


def test_the_tester_that_stands_still_says_so_and_blames_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    arguments = ("--rate", "50", "--duration", "3", "--json", str(path))
    with stand_in() as server, begun(server.url, *arguments) as process:
        wait_until(lambda: len(server.took) > 10, "some load")
        (users,) = map(int, users_of(process))
        os.kill(users, signal.SIGSTOP)
        again = time.monotonic() + 1
        wait_until(lambda: time.monotonic() > again, "a second")
        os.kill(users, signal.SIGCONT)
        process.communicate(timeout=20)
    report = json.loads(path.read_text())
    assert report["overall"]["requests"] == 150
    assert report["tester"]["processes"][0]["longest_still_s"] == pytest.approx(1, abs=0.3)
    assert report["tester"]["lag_p99_ms"] > 700
    assert any("The tester itself stood still" in warning for warning in report["warnings"])
    assert not any("waiting for answers" in warning for warning in report["warnings"])


def test_a_tester_that_is_the_bottleneck_says_so(tmp_path: Path) -> None:
    measured = Measured(["GET /search"], 10.0)
    for at in (0, 9):
        measured.take(0, {"results": [], "examples": [], "at": at, "cpu": at * 0.9, **RESTING})
    options = {"rate": None, "url": ""}
    warnings = make_report(measured, options=options, mix={"search": 1.0}, started="")["warnings"]
    assert any("took 90% of a processor core" in warning for warning in warnings)


def test_answers_that_are_not_the_services_are_errors(tmp_path: Path) -> None:
    bodies = itertools.cycle([b"[rubbish", b"{}", b" " + Answer().body])
    with stand_in(lambda number, path: Answer(body=next(bodies))) as server:
        report = report_of(server.url, tmp_path, "--rate", "30", "--duration", "1", "--mix", "search=1")
    assert {error["kind"]: error["count"] for error in report["errors"]} == {"not JSON": 10, "without results": 10}


def test_what_a_server_says_cannot_forge_the_report(tmp_path: Path) -> None:
    said = json.dumps({"detail": "\x1b[2J\nok    p95>100ms: 1 ms" + 10_000 * "x"}).encode()
    with stand_in(lambda number, path: Answer(500, said, (("X-Request-ID", "a\x1b[31mb"),))) as server:
        printed = run(server.url, "--duration", "0.3", "--fail-on", "p95>10s")
    assert "\x1b" not in printed
    assert max(map(len, printed.splitlines())) < 400
    assert len(re.findall(r"^ok ", printed, re.MULTILINE)) == 1


# The report


@pytest.fixture(scope="module")
def faulty_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    """A run in which every tenth answer is a 503: the folder of its files, its JSON, and what it printed."""
    folder = tmp_path_factory.mktemp("report")

    def reply(number: int, path: str) -> Answer:
        if number % 10 == 3:
            problem = json.dumps({"status": 503, "detail": "There is <no> model."}).encode()
            return Answer(503, problem, (("X-Request-ID", f"request-{number}"),))
        return Answer()

    with stand_in(reply) as server:
        files = [f"--{kind}={folder / kind}" for kind in ("json", "csv", "html")]
        printed = run(
            server.url, "--rate=100", "--duration=3", "--catalog-skew=2", "--api-key=opensesame", *files,
            "--fail-on=p95>10s", "--fail-on=errors>5%", "--fail-on=search.p99>10s", status=1,
        )  # fmt: skip
    return folder, json.loads((folder / "json").read_text()), printed


Faulty = tuple[Path, dict[str, Any], str]


def test_every_request_is_in_the_totals_the_seconds_and_the_endpoints(faulty_run: Faulty) -> None:
    folder, report, _ = faulty_run
    with (folder / "csv").open() as file:
        rows = list(csv.DictReader(file))
    assert report["overall"]["requests"] == 300
    assert sum(int(row["requests"]) for row in rows) == sum(p["requests"] for p in report["timeline"]) == 300
    assert sum(of_one["requests"] for of_one in report["endpoints"].values()) == 300
    assert sum(report["statuses"].values()) == 300
    assert [int(row["second"]) for row in rows] == list(range(len(rows)))
    assert report["overall"]["bytes"] == sum(int(row["bytes"]) for row in rows)


def test_an_error_has_an_example_with_its_request_id(faulty_run: Faulty) -> None:
    _, report, printed = faulty_run
    error = next(error for error in report["errors"] if error["kind"] == "status 503")
    assert (error["count"], error["detail"]) == (30, "There is <no> model.")
    assert re.fullmatch(r"request-\d*3", error["request_id"])
    assert error["request_id"] in printed


def test_each_threshold_has_its_line(faulty_run: Faulty) -> None:
    _, report, printed = faulty_run
    assert [threshold["failed"] for threshold in report["thresholds"]] == [False, True, False]
    assert re.search(r"^FAIL  errors>5%: 1\d\.\d+ %$", printed, re.MULTILINE)
    assert re.search(r"^ok    search\.p99>10s: [\d.]+ ms$", printed, re.MULTILINE)


def test_the_page_loads_nothing_and_shows_every_plot(faulty_run: Faulty) -> None:
    folder, _, _ = faulty_run
    page = (folder / "html").read_text()
    assert not re.search(r"(src|href)=|url\(|@import|<script|<link", page)
    for title in ("Latency over time", "Throughput", "Errors over time", "Percentile curve"):
        assert re.search(rf"<h2>{title}</h2>.*?<svg.*?</svg>", page, re.DOTALL), title
    assert "There is &lt;no&gt; model." in page


def test_the_key_is_sent_and_never_written_down(faulty_run: Faulty) -> None:
    folder, _, printed = faulty_run
    assert not any("opensesame" in text for text in [printed, *(path.read_text() for path in folder.iterdir())])
    seen = []
    with listening(lambda connection: seen.append(connection.recv(65536))) as address:
        load_test.main(["--url", f"http://{address}", "--api-key", "opensesame"])
    assert b"\r\nX-API-Key: opensesame\r\n" in seen[0]


def test_no_file_is_left_beside_the_reports(faulty_run: Faulty) -> None:
    folder, _, _ = faulty_run
    assert {path.name for path in folder.iterdir()} == {"json", "csv", "html"}


def test_a_slower_run_fails_beside_an_earlier_one(faulty_run: Faulty, tmp_path: Path) -> None:
    folder, earlier, _ = faulty_run

    def reply(number: int, path: str) -> Answer:
        time.sleep(0.05)
        return Answer()

    with stand_in(reply) as server:
        arguments = ("--rate", "50", "--duration", "1", "--compare", str(folder / "json"))
        report = report_of(server.url, tmp_path, *arguments, "--fail-on", "p50>+20%", "--fail-on", "p50<-20%", status=1)
    assert [threshold["failed"] for threshold in report["thresholds"]] == [True, False]
    row = next(row for row in report["comparison"]["rows"] if (row["part"], row["figure"]) == ("all", "p50"))
    then, now = earlier["overall"]["latency_ms"]["p50"], report["overall"]["latency_ms"]["p50"]
    assert (row["then"], row["now"]) == (then, now)
    assert row["change"] == pytest.approx(100 * (now - then) / then)
    assert "rate: 100.0 then, 50.0 now" in report["comparison"]["differences"]


# Its accounts beside the service's


def test_the_service_has_counted_what_the_tester_was_answered(service: Service, tmp_path: Path) -> None:
    arguments = ("--users", "4", "--think-time", "0", "--duration", "3", "--processes", "2", "--warm-up", "0.5")
    mix = "recommendations=40,search=25,movies=15,health=5,batch=5,popular=3,random=3,home=4"
    report = report_of(service.url, tmp_path, *arguments, "--mix", mix, "--verify-metrics")
    verification = report["verification"]
    assert verification["equal"]
    assert verification["answered"] == verification["counted"] > report["overall"]["answers"] > 100
    assert {row["endpoint"] for row in verification["rows"]} == {
        "GET /", "GET /health", "GET /metrics", "GET /movies/<int:movie_id>", "GET /movies/popular",
        "GET /movies/random", "GET /recommendations/<int:movie_id>", "GET /search", "POST /recommendations",
        "POST /recommendations/batch", "POST /search",
    }  # fmt: skip
    assert all(row["answered"] == row["counted"] for row in verification["rows"])
    assert not report["errors"]


def test_an_answer_to_somebody_else_is_found_in_the_accounts(service: Service, tmp_path: Path) -> None:
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.2):
            service.get("/movies/popular")

    other = threading.Thread(target=ask)
    other.start()
    try:
        arguments = ("--users", "1", "--think-time", "0", "--duration", "1", "--mix", "popular=1", "--verify-metrics")
        report = report_of(service.url, tmp_path, *arguments, status=1)
    finally:
        over.set()
        other.join()
    assert not report["verification"]["equal"]
    assert report["verification"]["unexplained"] >= 1


def test_killed_workers_leave_equal_accounts(six_models: Path, tmp_path: Path) -> None:
    (tmp_path / "metrics").mkdir()
    running = start(six_models / store.CURRENT, tmp_path / "metrics")
    over = threading.Event()
    kills = Counter[str]()

    def kill() -> None:
        pid = running.process.pid
        while not over.wait(0.4):
            workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            if len(workers) == 2:
                os.kill(int(workers[0]), signal.SIGKILL)
                kills["killed"] += 1

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        arguments = ("--users", "4", "--think-time", "0", "--duration", "3", "--verify-metrics")
        report = report_of(running.url, tmp_path, *arguments)
    finally:
        over.set()
        killer.join()
        stop(running)
    verification = report["verification"]
    assert kills["killed"] >= 3
    assert verification["equal"]
    for row in verification["rows"]:
        assert 0 <= row["difference"] == row["without_answer"]
    assert verification["unanswered"] >= sum(error["count"] for error in report["errors"])


# An end before the end


def begun(url: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "scripts/load_test.py", "--url", url, "--warm-up", "0", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def users_of(process: subprocess.Popen[str]) -> list[str]:
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()


def test_ctrl_c_ends_a_run_with_its_report() -> None:
    with stand_in() as server, begun(server.url, "--duration", "60", "--think-time", "0.01") as process:
        wait_until(lambda: len(server.took) > 50, "some load")
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "interrupted" in printed
    assert re.search(r"^[\d,]+ requests, 0 errors", printed, re.MULTILINE)


def test_a_second_ctrl_c_ends_at_once_and_leaves_no_process() -> None:
    never = threading.Event()

    def reply(number: int, path: str) -> Answer:
        never.wait(20)
        return Answer()

    with stand_in(reply) as server, begun(server.url, "--duration", "60", "--timeout", "30") as process:
        wait_until(lambda: not server.preparing, "the first request")
        users = users_of(process)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert any("Ctrl-C again ends at once" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
        never.set()
    assert process.returncode == 130
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in users), "the end of the users")


def test_a_process_of_users_that_is_killed_ends_the_run_with_the_report_of_the_others(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    arguments = ("--duration", "60", "--think-time", "0.01", "--processes", "2", "--json", str(path))
    with stand_in() as server, begun(server.url, *arguments) as process:
        wait_until(lambda: len(server.took) > 50, "some load")
        users = users_of(process)
        os.kill(int(users[0]), signal.SIGKILL)
        printed, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "was ended by SIGKILL, so the run was ended" in " ".join(printed.split())
    report = json.loads(path.read_text())
    assert not report["complete"]
    assert report["overall"]["requests"] > 0
    assert report["seconds"] < 60
    assert not any(Path(f"/proc/{pid}").exists() for pid in users)


def in_a_terminal(url: str, *arguments: str, until: str) -> tuple[int, str]:
    """Run it in a terminal of 60 columns, and press Ctrl-C once `until` is on the screen: status and screen."""
    master, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    command = [sys.executable, "scripts/load_test.py", "--url", url, *arguments]
    environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        screen, pressed = "", False
        while True:
            try:
                screen += os.read(master, 65536).decode()
            except OSError:  # nobody has the terminal open any more
                break
            if not pressed and re.search(until, screen):
                pressed = True
                process.send_signal(signal.SIGINT)
    os.close(master)
    return process.returncode, screen


def test_the_live_line_fits_the_terminal_and_shows_a_stall() -> None:
    def reply(number: int, path: str) -> Answer:
        time.sleep(2 if number > 20 else 0)
        return Answer()

    with stand_in(reply) as server:
        arguments = ("--warm-up", "0", "--duration", "30", "--rate", "40")
        status, screen = in_a_terminal(server.url, *arguments, until=r"] +2 s .*\r")
    lines = [line for line in screen.partition("ending;")[0].split("\r") if "[" in line]
    assert status == 0
    assert len(lines) >= 2
    assert {len(line) for line in lines} == {59}
    assert "interrupted" in screen


def test_a_stall_is_seen_in_the_last_seconds() -> None:
    measured = Measured(["GET /search"], 60.0)
    results = [tuple(Result(0, 200, "", second / 10, 900, 100, 5)) for second in range(30)]
    measured.take(0, {"results": results, "examples": [], "at": 3.0, "cpu": 0.0, **RESTING})
    assert measured.last_seconds(2.9).requests == 30
    assert measured.last_seconds(9.0).requests == 0


def test_ctrl_c_in_the_warm_up_ends_with_a_report_of_nothing() -> None:
    with stand_in() as server:
        status, screen = in_a_terminal(server.url, "--warm-up", "20", until="warming up")
    assert status == 0
    assert "0 requests, 0 errors" in screen


def test_ctrl_c_before_anything_was_measured() -> None:
    asked, never = threading.Event(), threading.Event()

    def converse(connection: socket.socket) -> None:
        connection.recv(65536)
        asked.set()
        never.wait(20)

    with listening(converse) as address, begun(f"http://{address}") as process:
        assert asked.wait(20)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
        never.set()
    assert process.returncode == 130
    assert said == "error: interrupted before anything was measured.\n"


def test_ctrl_c_while_the_counts_are_read_keeps_what_was_measured(tmp_path: Path) -> None:
    scrapes, reached, never = itertools.count(), threading.Event(), threading.Event()
    path = tmp_path / "report.json"

    def reply(number: int, path: str) -> Answer:
        if path == "/metrics" and next(scrapes):
            reached.set()
            never.wait(20)
        return Answer(body=COUNTS) if path == "/metrics" else Answer()

    arguments = ("--duration", "0.5", "--verify-metrics", "--json", str(path))
    with stand_in(reply) as server, begun(server.url, *arguments) as process:
        assert reached.wait(20)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        never.set()
    assert process.returncode == 3
    report = json.loads(path.read_text())
    assert report["unverified"] == "interrupted."
    assert report["overall"]["requests"] > 0


# The search for the capacity


@pytest.mark.parametrize("limit", [3.0, 47.0, 99.9, 240.0, 1000.0])
def test_the_capacity_is_found_to_five_percent(limit: float) -> None:
    def attempt(rate: float) -> tuple[dict[str, Any], bool]:
        latency = {"p50": 1.0, "p95": 1.0, "p99": 1.0}
        overall = {"throughput": rate, "requests": 1, "errors": 0, "latency_ms": latency}
        return {"overall": overall, "warnings": [], "interrupted": False, "complete": True, "rate": rate}, rate <= limit

    steps, best = find_capacity(50.0, attempt)
    assert best is not None
    assert limit / 1.06 <= best["rate"] <= limit
    assert best["rate"] == max(step["rate"] for step in steps if step["held"])


def test_the_capacity_of_a_server_that_answers_one_at_a_time(tmp_path: Path) -> None:
    lock = threading.Lock()

    def reply(number: int, path: str) -> Answer:
        with lock:
            time.sleep(0.005)
        return Answer()

    with stand_in(reply) as server:
        page = tmp_path / "page.html"
        search = ("--find-capacity", "--rate", "170", "--duration", "0.4", "--timeout", "1", "--html", str(page))
        report = report_of(server.url, tmp_path, *search, "--slo", "p95<100ms,errors<1%")
    capacity = report["capacity"]
    assert capacity["rate"] == report["options"]["rate"] >= 140
    assert {step["held"] for step in capacity["steps"]} == {True, False}
    assert min(step["rate"] for step in capacity["steps"] if not step["held"]) > 160
    assert re.search(r"<h2>Capacity</h2>.*?<svg.*?</svg>", page.read_text(), re.DOTALL)


# What it refuses, with which sentence and status


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--mix", "recommendations=60,films=3"], "'films=3' names no part"),
        (["--mix", "search"], "'search' has no share"),
        (["--mix", "search=-1"], "'search=-1' has no share"),
        (["--mix", "search=0"], "asks for nothing"),
        (["--mix", "search=1,search=2"], "twice"),
        (["--users", "-5"], "'-5' is not a whole number from 1"),
        (["--users", "2.5"], "'2.5' is not a whole number"),
        (["--duration", "0"], "'0' is not a number from 0.1"),
        (["--duration", "nan"], "'nan' is not a number"),
        (["--rate", "0"], "'0' is not a number"),
        (["--think-time", "2-1"], "'2-1' is no time to think"),
        (["--think-time", "soon"], "'soon' is no time to think"),
        (["--ramp-up", "100", "--duration", "5"], "--ramp-up 100 is longer than the run"),
        (["--url", "localhost:8000"], "'localhost:8000' is no address"),
        (["--url", "ftp://localhost"], "is no address"),
        (["--url", "http://localhost:99999"], "is no address"),
        (["--url", "http://me:secret@localhost"], "is no address"),
        (["--fail-on", "p95"], "'p95' is no condition"),
        (["--fail-on", "p97>3ms"], "p97, which is not reported"),
        (["--fail-on", "films.p95>3ms"], "films, which is not in the mix"),
        (["--fail-on", "batch.p95>3ms"], "batch, which is not in the mix"),
        (["--fail-on", "p95>3%"], "'p95>3%' has no fitting unit"),
        (["--fail-on", "p95>+20%"], "name its file with --compare"),
        (["--find-capacity", "--csv", "seconds.csv"], "--csv has the seconds of one run"),
        (["--json", "same", "--html", "./same"], "two of --json, --html name the same file"),
        (["--url", "http://localhost:8000/?"], "is no address"),
        (["--ca-file", "README.md"], "README.md holds no certificates"),
        (["--slo", "p99<1s"], "--slo is the objective of --find-capacity"),
        (["--find-capacity", "--slo", "fast"], "'fast' is no condition"),
        (["--compare", "/nowhere/before.json"], "/nowhere/before.json cannot be read"),
        (["--compare", str(ROOT / "README.md")], "is not JSON"),
        (["--json", "/nowhere/report.json"], "there is no folder /nowhere"),
        (["--html", str(ROOT)], "is a folder"),
        (["--api-key", "two\nlines"], "the key cannot be sent in a header"),
        (["--processes", "0"], "'0' is not a whole number"),
    ],
)  # fmt: skip
def test_wrong_usage_is_named(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        load_test.main(arguments)
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err


def assert_refused(url: str, sentence: str, capsys: pytest.CaptureFixture[str], *arguments: str) -> None:
    assert load_test.main(["--url", url, "--timeout", "0.3", *arguments]) == 3
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    assert sentence in line


def test_a_service_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert_refused(f"http://127.0.0.1:{free_port()}", "cannot be reached; is the service started?", capsys)


def test_a_host_that_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert_refused("http://no-such-host.invalid", "names a host that is not known", capsys)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (b"220 mail.example ESMTP\r\n", "does not speak HTTP"),
        (b"\x00\xff\x17rubbish\n" * 50, "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{", "breaks off in the middle of its answer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "breaks off in the middle of its answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "is not this service: /health was answered with 200"),
        (b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n", "(it sends to /login)"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"status\":\"UP\"}", "its /health says nothing of a model"),
        (b"", "closes the connection without an answer"),
    ],
)  # fmt: skip
def test_what_is_no_such_service(said: bytes, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    def converse(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(said)

    with listening(converse) as address:
        assert_refused(f"http://{address}", sentence, capsys)


def test_a_server_that_never_answers(capsys: pytest.CaptureFixture[str]) -> None:
    def converse(connection: socket.socket) -> None:
        connection.settimeout(20)
        while connection.recv(65536):
            pass

    with listening(converse) as address:
        assert_refused(f"http://{address}", "does not answer in time", capsys)


def test_a_server_that_answers_without_end(capsys: pytest.CaptureFixture[str]) -> None:
    """Each byte comes in good time, and yet the answer as a whole does not."""

    def converse(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            connection.sendall(b" ")
            time.sleep(0.02)

    with listening(converse) as address:
        assert_refused(f"http://{address}", "does not answer in time", capsys)


def test_tls_where_there_is_none(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    assert_refused(service.url.replace("http", "https"), "does not speak TLS; is it http://", capsys)


def test_a_certificate_that_nobody_vouches_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(key)], check=True, capture_output=True)
    certificates = subprocess.run([*command, "-keyout", "-"], check=True, capture_output=True).stdout
    key.write_bytes(certificates)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(key)

    def converse(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(65536)

    with listening(converse) as address:
        assert_refused(f"https://{address}", "cannot be trusted", capsys)


def test_a_service_without_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    body = json.dumps({"status": "unhealthy", "model_loaded": False, "reason": "There is no model at x."}).encode()
    with stand_in(lambda number, path: Answer(503, body)) as server:
        server.preparing = False
        assert_refused(server.url, "is not healthy: There is no model at x.", capsys)


def test_a_service_that_dies_meanwhile_is_reported(tmp_path: Path) -> None:
    def reply(number: int, path: str) -> Answer:
        if number > 20:
            raise ConnectionResetError
        return Answer()

    with stand_in(reply) as server:
        report = report_of(server.url, tmp_path, "--duration", "1", "--think-time", "0.01", status=3)
    assert any("could not be reached any more" in warning for warning in report["warnings"])
    (error,) = (error for error in report["errors"] if error["kind"] == "connection closed")
    assert error["count"] > 20
    assert re.fullmatch(r"load-[0-9a-f]{8}-0-\d+", error["request_id"])


def test_a_service_that_is_gone_at_the_end_leaves_the_report_and_its_status(tmp_path: Path) -> None:
    counts = itertools.count()

    def reply(number: int, path: str) -> Answer:
        if path != "/metrics":
            return Answer()
        return Answer(body=COUNTS) if next(counts) == 0 else Answer(500)

    with stand_in(reply) as server:
        report = report_of(server.url, tmp_path, "--duration", "0.3", "--verify-metrics", status=3)
    assert "/metrics cannot be read: 500" in report["unverified"]
    assert report["overall"]["requests"] > 0


@pytest.mark.parametrize(
    "counts",
    [b"", b"# nothing\n", b"http_requests_total 3\n", COUNTS.replace(b'"200"', b'"2xx"'), COUNTS + b"x{ 1\n",
     COUNTS.replace(b"} 1", b"} NaN")],
)  # fmt: skip
def test_counts_that_cannot_be_verified_are_found_before_the_load(
    counts: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with stand_in(lambda number, path: Answer(body=counts)) as server:
        assert load_test.main(["--url", server.url, "--verify-metrics", "--duration", "30"]) == 3
    assert "/metrics" in capsys.readouterr().err


def test_more_users_than_files_are_refused() -> None:
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))

    command = [sys.executable, "scripts/load_test.py", "--users", "50"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, preexec_fn=few, check=False)
    assert ended.returncode == 2
    assert "--users 50 need 50 connections in a process, and 36 are allowed here" in ended.stderr


def test_a_link_and_a_pipe_are_written_to_and_stay_what_they_are(tmp_path: Path) -> None:
    link, target, pipe = tmp_path / "link", tmp_path / "target", tmp_path / "pipe"
    target.write_text("old")
    link.symlink_to(target)
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    with stand_in() as server:
        run(server.url, "--duration", "0.3", "--json", str(link), "--html", str(pipe))
    reader.join()
    assert link.is_symlink()
    assert json.loads(target.read_text())["overall"]["requests"] > 0
    assert "<h1>" in read[0]
    assert pipe.is_fifo()


def test_a_full_disk_costs_the_file_and_nothing_else(tmp_path: Path) -> None:
    with stand_in() as server:
        files = ("--csv", "/dev/full", "--json", str(tmp_path / "json"))
        command = [sys.executable, "scripts/load_test.py", "--url", server.url, "--warm-up", "0", "--duration", "0.3"]
        ended = subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "error: /dev/full cannot be written: No space left on device." in ended.stderr
    assert json.loads((tmp_path / "json").read_text())["overall"]["requests"] > 0


@pytest.mark.parametrize(
    "content",
    [
        "{", "[" * 100_000, "[]", "null", '{"format": 2}', '{"format": 1, "overall": {}, "parts": {}}',
        json.dumps({"format": 1, "started": "", "options": {}, "parts": {}, "overall": {
            "requests": 1, "errors": 0, "throughput": 1, "latency_ms": {"p50": 1.0}}}),
    ],
)  # fmt: skip
def test_a_file_that_is_no_earlier_report(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "earlier.json"
    path.write_text(content)
    with pytest.raises(SystemExit) as ended:
        load_test.main(["--compare", str(path)])
    assert ended.value.code == 2
    assert "name a file that --json has written" in capsys.readouterr().err


def test_the_kind_of_an_error_does_not_depend_on_what_was_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert_refused(f"http://127.0.0.1:{free_port()}/SSL", "cannot be reached; is the service started?", capsys)


# What is asked


def made(mix: dict[str, float], skew: float = 1.0, seed: int = 1) -> traffic.Traffic:
    return traffic.make_traffic(lambda path: MOVIES, mix, skew=skew, seed=seed)


def paths(asked: traffic.Traffic, count: int = 20_000, seed: int = 7) -> list[str]:
    names = list(asked.weights)
    draws = asked.draw(random.Random(seed))
    drawn = (next(draws) for _ in range(count))
    return [f"{names[endpoint]} {asked.asked[names[endpoint]][number].path}" for endpoint, number in drawn]


def test_the_mix_is_the_share_of_each_part() -> None:
    asked = made({"recommendations": 60, "search": 30, "movies": 10})
    seen = Counter(re.split(r"[ /?]+", path)[1] for path in paths(asked))
    shares = {part: count / seen.total() for part, count in seen.items()}
    assert shares == pytest.approx({"recommendations": 0.6, "search": 0.3, "movies": 0.1}, abs=0.02)


@pytest.mark.parametrize(("skew", "ratio"), [(0.0, 1.0), (1.0, 2.0), (2.0, 4.0)])
def test_the_skew_is_zipfs(skew: float, ratio: float) -> None:
    """The most popular movie is asked for 2^s times as often as the second."""
    first, second = made({"movies": 1}, skew).asked["GET /movies/<int:movie_id>"][:2]
    assert first.weight / second.weight == pytest.approx(ratio)


def test_some_movies_that_are_asked_for_do_not_exist() -> None:
    asked = made({"recommendations": 1}).asked["GET /recommendations/<int:movie_id>"]
    unknown = sum(one.weight for one in asked if one.status == 404) / sum(one.weight for one in asked)
    assert unknown == pytest.approx(traffic.UNKNOWN_SHARE)


def test_the_same_seed_asks_the_same_of_the_open_model_too(tmp_path: Path) -> None:
    asked: list[list[str]] = []
    for _ in range(2):
        seen: list[str] = []
        with stand_in(lambda number, path, seen=seen: seen.append(path) or Answer()) as server:  # type: ignore[misc]
            run(server.url, "--rate", "100", "--duration", "1", "--processes", "2", "--mix", "movies=1,search=1")
        asked.append(sorted(seen))
    assert asked[0] == asked[1]


def test_the_same_seed_asks_the_same() -> None:
    mix = dict.fromkeys(traffic.PARTS, 1.0)
    assert made(mix, seed=3) == made(mix, seed=3) != made(mix, seed=4)
    assert paths(made(mix), 100) == paths(made(mix), 100)


@given(st.text(min_size=3, max_size=60), st.integers(0, 1000))
def test_a_slip_of_the_fingers_is_a_small_one(title: str, seed: int) -> None:
    wrong = traffic.misspelt(title, random.Random(seed))
    assert wrong == wrong.strip()
    assert len(title.strip()) - 1 <= len(wrong) + 2 <= len(title) + 3
    if title == title.strip():
        assert wrong != title


# The statistics


@given(st.lists(st.integers(1, 3_600_000_000), min_size=1, max_size=300))
def test_percentiles_are_right_to_three_digits(microseconds: list[int]) -> None:
    latencies = Latencies()
    for one in microseconds:
        latencies.record(one)
    for percentile in (50.0, 99.0):
        rank = -(-int(percentile) * len(microseconds) // 100)
        true = sorted(microseconds)[rank - 1] / 1000
        assert latencies.percentiles([percentile])[0] == pytest.approx(true, rel=1e-3, abs=1e-3)


def memory_after(seconds: int) -> int:
    """Bytes that the statistics hold after so many seconds of five requests each."""
    tracemalloc.start()
    measured = Measured(["GET /search"], seconds)
    for second in range(seconds):
        results = [tuple(Result(0, 200, "", second + i / 5, 900 + 50 * i, 100, 5)) for i in range(5)]
        measured.take(0, {"results": results, "examples": [], "at": second, "cpu": second / 2, **RESTING})
    measured.finish()
    assert measured.requests == sum(period.requests for period in measured.timeline.periods()) == 5 * seconds
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return held


def test_an_hour_takes_no_more_memory_than_a_minute() -> None:
    assert memory_after(3600) < 1.2 * memory_after(60)


@pytest.mark.parametrize(
    ("text", "figure", "holds"),
    [
        ("p95>100ms", 100.1, True), ("p95>100ms", 100.0, False), ("p95>=0.1s", 100.0, True),
        ("p99.9<500us", 0.4, True), ("errors>0.1%", 0.2, True), ("throughput<200", 150.0, True),
        ("p95>+20%", 20.5, True), ("p95<-20%", -30.0, True), ("search.p99>300ms", 299.0, False),
    ],
)  # fmt: skip
def test_a_condition_means_what_it_says(text: str, figure: float, holds: bool) -> None:
    assert parse_condition(text, {"search": 1}).holds(figure) is holds
