"""What becomes of the numbers when workers are killed, recycled, reloaded, added and taken away."""
from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from recsys_api.model import store
from scripts import chaos

from .conftest import ROOT, Service, free_port, start, stop, wait_until

MOVIE = "/movies/<int:movie_id>"


@pytest.fixture
def running(six_models: Path, tmp_path: Path) -> Iterator[Service]:
    """Two workers, by themselves."""
    service = start(six_models / store.CURRENT, tmp_path)
    yield service
    stop(service)


def workers(service: Service) -> list[int]:
    pid = service.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def movies_counted(service: Service) -> float:
    return service.metric("http_requests_total", method="GET", endpoint=MOVIE, status_code="200")


def live(service: Service) -> float:
    try:
        return service.metric("gunicorn_workers", state="live")
    except requests.RequestException:  # the worker that was asked has just been killed
        return 0


def files(service: Service) -> set[str]:
    return {path.name for path in service.metrics_dir.glob("*.db")}


def test_killed_workers_lose_no_count_and_leave_no_file(running: Service) -> None:
    for _ in range(20):
        running.get("/movies/10")
    before = files(running)
    for _ in range(3):
        old = set(workers(running))
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda old=old: not old & set(workers(running)) and live(running) == 2, "new workers")
    assert movies_counted(running) == 20
    assert files(running) == before
    assert running.metric("gunicorn_worker_restarts_total", reason="killed") == 6


def test_the_expected_and_the_live_number_follow_ttin_and_ttou(running: Service) -> None:
    assert running.metric("gunicorn_workers", state="expected") == live(running) == 2
    running.process.send_signal(signal.SIGTTIN)
    wait_until(lambda: live(running) == 3, "a third worker")
    assert running.metric("gunicorn_workers", state="expected") == 3
    running.process.send_signal(signal.SIGTTOU)
    wait_until(lambda: live(running) == 2, "the third worker's end")
    assert running.metric("gunicorn_workers", state="expected") == 2
    assert running.metric("gunicorn_worker_restarts_total", reason="exit") == 1
    assert running.get("/health").json()["workers"] == 2


def test_reloads_keep_counts_and_the_number_of_files(running: Service) -> None:
    started = running.metric("process_start_time_seconds")
    for _ in range(4):
        running.get("/movies/10")
        old = set(workers(running))
        running.process.send_signal(signal.SIGHUP)
        wait_until(lambda old=old: len(workers(running)) == 2 and not old & set(workers(running)), "the reload")
    assert movies_counted(running) == 4
    assert len(files(running)) <= chaos.KINDS_OF_FILES * (2 * 2 + 1)
    assert running.metric("process_start_time_seconds") == started
    assert all(isinstance(event, dict) for event in running.events())  # gunicorn's lines, too, after a reload


def test_a_reload_under_load_loses_no_request(running: Service) -> None:
    host, port = running.url.removeprefix("http://").split(":")
    over = threading.Event()

    def client(keeps_its_connection: bool) -> int:
        answered = 0
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        while not over.is_set():
            connection.request("GET", "/recommendations/10")
            answer = connection.getresponse()
            assert (answer.status, bool(answer.read())) == (200, True)
            answered += 1
            if not keeps_its_connection:
                connection.close()
        connection.close()
        return answered

    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(client, number % 2 == 0) for number in range(4)]
        try:
            for _ in range(3):
                old = set(workers(running))
                running.process.send_signal(signal.SIGHUP)
                wait_until(lambda old=old: not old & set(workers(running)) and live(running) == 2, "the reload")
        finally:
            over.set()
        assert sum(future.result() for future in clients) > 100


def test_a_second_master_is_refused(running: Service) -> None:
    running.process.send_signal(signal.SIGUSR2)
    wait_until(lambda: "no second master" in running.log(), "the refusal")
    assert running.get("/movies/10").status_code == 200
    assert live(running) == 2


def test_recycled_workers_are_counted_as_such(six_models: Path, tmp_path: Path) -> None:
    service = start(six_models / store.CURRENT, tmp_path, RECSYS_MAX_REQUESTS="20")
    try:
        for _ in range(200):
            service.get("/movies/10")
        wait_until(lambda: service.metric("gunicorn_worker_restarts_total", reason="recycled") >= 5, "recycling")
        assert movies_counted(service) == 200
        assert len(files(service)) <= chaos.KINDS_OF_FILES * (2 * 2 + 1)
    finally:
        stop(service)


def test_the_metrics_of_each_worker_are_named_by_its_slot(running: Service) -> None:
    scraped = running.scrape()
    for name in ("worker_resident_memory_bytes", "worker_open_fds", "worker_cpu_seconds_total"):
        slots = {dict(labels)["worker"] for its_name, labels in scraped if its_name == name}
        assert slots == {"0", "1"}, name
    assert 20e6 < running.metric("worker_resident_memory_bytes", worker="0") < 1e9
    for _ in range(300):
        running.get("/search?query=heist")
    cpu = sum(running.metric("worker_cpu_seconds_total", worker=slot) for slot in ("0", "1"))
    assert cpu > 0.1
    old = set(workers(running))
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not old & set(workers(running)) and live(running) == 2, "new workers")
    assert sum(running.metric("worker_cpu_seconds_total", worker=slot) for slot in ("0", "1")) >= cpu


def test_a_worker_that_hangs_is_replaced_and_what_it_was_answering_is_logged(six_models: Path, tmp_path: Path) -> None:
    """Nothing in such a worker runs any more, so that only the master can tell."""
    service = start(
        six_models / store.CURRENT, tmp_path, arguments=("-c", "config/gunicorn.conf.py", "tests.faulty:app"),
        RECSYS_TIMEOUT="2",
    )  # fmt: skip
    try:
        with pytest.raises(requests.RequestException):
            service.get("/faulty/hang", headers={"X-Request-ID": "hanging-request"})
        wait_until(lambda: live(service) == 2, "its successor")
        assert service.metric("gunicorn_worker_restarts_total", reason="timeout") == 1
        # Another request that was answered may be told of, too: its thread may not have got to note its end.
        lost = [event for event in service.events() if "timed out" in str(event.get("message"))]
        (line,) = (event for event in lost if event["http.request.id"] == "hanging-request")
        assert (line["http.request.method"], line["url.path"], line["log.level"]) == ("GET", "/faulty/hang", "error")
    finally:
        stop(service)


def test_what_a_killed_worker_was_answering_is_logged(running: Service) -> None:
    host, port = running.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        head = b"POST /search HTTP/1.1\r\nHost: x\r\nX-Request-ID: stuck-request-1\r\n"
        # the rest of the body never comes
        connection.sendall(head + b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
        wait_until(lambda: running.metric("http_requests_in_progress") == 2, "the request's arrival")
        for pid in workers(running):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: "was killed during this request" in running.log(), "the log line")
    (line,) = (event for event in running.events() if event.get("http.request.id") == "stuck-request-1")
    assert (line["http.request.method"], line["url.path"], line["log.level"]) == ("POST", "/search", "error")
    wait_until(lambda: live(running) == 2, "their successors")


def test_workers_that_hang_through_reloads_do_not_pile_up(six_models: Path, tmp_path: Path) -> None:
    service = start(six_models / store.CURRENT, tmp_path, RECSYS_TIMEOUT="2")
    host, port = service.url.removeprefix("http://").split(":")
    held = []
    try:
        for _ in range(3):
            connection = socket.create_connection((host, int(port)), timeout=10)
            connection.sendall(b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
            connection.sendall(b"Content-Length: 100\r\n\r\n{")
            held.append(connection)
            old = set(workers(service))
            service.process.send_signal(signal.SIGHUP)
            wait_until(lambda old=old: len(set(workers(service)) - old) == 2, "the new workers")
            assert len(files(service)) <= chaos.KINDS_OF_FILES * (2 * 2 + 1)
    finally:
        for connection in held:
            connection.close()
        stop(service)


def test_a_reload_needs_no_more_room_on_the_disk(running: Service) -> None:
    """What is checked at the start is not checked again when the configuration is read again."""
    old = set(workers(running))
    size = sum(path.stat().st_blocks for path in running.metrics_dir.glob("*.db"))
    for _ in range(2):
        running.process.send_signal(signal.SIGHUP)
        wait_until(lambda old=old: not old & set(workers(running)) and live(running) == 2, "the reload")
        old = set(workers(running))
    assert sum(path.stat().st_blocks for path in running.metrics_dir.glob("*.db")) <= 2 * size


def test_what_an_earlier_run_left_of_its_workers_is_forgotten(six_models: Path, tmp_path: Path) -> None:
    first = start(six_models / store.CURRENT, tmp_path, workers=4)
    first.process.kill()
    first.process.wait()
    for path in tmp_path.glob("counter_*.db"):
        path.unlink()
    service = start(six_models / store.CURRENT, tmp_path, workers=1)
    try:
        assert service.metric("recommendation_cache_capacity") == 10_000
        assert service.metric("http_requests_in_progress") == 1
        assert live(service) == 1
    finally:
        stop(service)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"RECSYS_METRICS_DIR": "/proc/metrics"}, "workers cannot count together in /proc/metrics"),
        ({"WEB_CONCURRENCY": "0"}, "WEB_CONCURRENCY=0 cannot be used"),
    ],
)
def test_where_workers_cannot_count_together_the_service_does_not_start(
    six_models: Path, settings: dict[str, str], sentence: str
) -> None:
    ended = run_gunicorn({"RECSYS_MODEL_DIR": str(six_models / store.CURRENT), **settings})
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: {sentence}")


def test_a_client_library_that_was_imported_too_early_is_refused(six_models: Path, tmp_path: Path) -> None:
    """It decides as it is imported whether it counts in files; each worker would count for itself and nobody know."""
    settings = {"RECSYS_MODEL_DIR": str(six_models / store.CURRENT), "RECSYS_METRICS_DIR": str(tmp_path)}
    ended = run_gunicorn(settings, before="import prometheus_client")
    assert ended.returncode == 1
    assert "prometheus_client was imported before" in ended.stderr


def run_gunicorn(settings: dict[str, str], before: str = "") -> subprocess.CompletedProcess[str]:
    code = f"{before}\nfrom gunicorn.app.wsgiapp import run\nrun()"
    return subprocess.run(
        [sys.executable, "-c", code, "-c", "config/gunicorn.conf.py"], cwd=ROOT, capture_output=True, text=True,
        env={"PATH": os.environ["PATH"], "RECSYS_PORT": str(free_port()), **settings}, timeout=60, check=False,
    )  # fmt: skip


def test_chaos(six_models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Kills and reloads under load: scripts/chaos.py says what has to hold."""
    status = chaos.main(["--seconds", "15", "--model", str(six_models / store.CURRENT), "--seed", "7"])
    assert status == 0, capsys.readouterr().out
