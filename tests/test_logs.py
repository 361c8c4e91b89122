"""Logs that join up: one line a request, one form for all, and nothing that a client can forge or flood."""
from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from recsys_api.logs import LONGEST_TEXT
from recsys_api.model import store

from .conftest import ROOT, Service, answers, free_port, start, stop, wait_until

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture(scope="module")
def logging(six_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The six movies, served by two workers whose log nobody else fills."""
    running = start(six_models / store.CURRENT, tmp_path_factory.mktemp("logs"))
    yield running
    stop(running)


def lines(service: Service, request_id: str) -> list[dict[str, Any]]:
    """The events that carry this request's id, once there is one."""

    def having() -> list[dict[str, Any]]:
        return [event for event in service.events() if event.get("http.request.id") == request_id]

    wait_until(lambda: bool(having()), f"a line of {request_id}")
    return having()


def test_a_request_is_one_line_with_the_names_of_the_schema(logging: Service) -> None:
    response = logging.get("/recommendations/10?top_k=2", headers={"X-Request-ID": "join-up-1"})
    assert response.headers["X-Request-ID"] == "join-up-1"
    (line,) = lines(logging, "join-up-1")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", line["@timestamp"])
    assert (line["log.level"], line["service.name"]) == ("info", "recsys-api")
    assert (line["http.request.method"], line["url.path"], line["url.query"]) == (
        "GET", "/recommendations/10", "top_k=2",
    )  # fmt: skip
    assert line["http.response.status_code"] == 200
    assert 0 < line["event.duration"] < 10e9
    assert {"message", "ecs.version", "service.version"} <= line.keys()


def test_an_error_is_one_line_too(logging: Service) -> None:
    problem = logging.get("/movies/999").json()
    (line,) = lines(logging, problem["request_id"])
    assert line["http.response.status_code"] == 404


def test_a_trace_is_kept_logged_and_returned(logging: Service) -> None:
    sent = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "X-Request-ID": "traced-1"}
    returned = logging.get("/movies/10", headers=sent).headers["traceparent"]
    assert re.fullmatch(rf"00-{TRACE}-(?!00f067aa0ba902b7)[0-9a-f]{{16}}-01", returned)
    assert lines(logging, "traced-1")[0]["trace.id"] == TRACE


@pytest.mark.parametrize(
    "wrong",
    ["", "nonsense", f"00-{'0' * 32}-00f067aa0ba902b7-01", f"ff-{TRACE}-00f067aa0ba902b7-01", f"00-{TRACE}-x-01"],
)
def test_a_trace_that_is_none_is_ignored(logging: Service, wrong: str) -> None:
    response = logging.get("/movies/10", headers={"traceparent": wrong})
    assert "traceparent" not in response.headers
    assert "trace.id" not in lines(logging, response.headers["X-Request-ID"])[0]


@pytest.mark.parametrize("wrong", ["short", "x" * 65, "has space", "semi;colon", "é" * 10])
def test_a_request_id_that_is_not_fit_is_replaced(logging: Service, wrong: str) -> None:
    given = logging.get("/movies/10", headers={"X-Request-ID": wrong.encode()}).headers["X-Request-ID"]
    assert re.fullmatch("[0-9a-f]{32}", given)
    assert len(lines(logging, given)) == 1


def test_health_checks_and_scrapes_say_nothing_at_info(logging: Service) -> None:
    for path in ("/health", "/health/live", "/health/ready", "/metrics"):
        assert logging.get(path, headers={"X-Request-ID": "quiet-check"}).status_code == 200
    assert logging.get("/movies/10", headers={"X-Request-ID": "loud-request"}).status_code == 200
    lines(logging, "loud-request")
    assert not [event for event in logging.events() if event.get("http.request.id") == "quiet-check"]


def test_a_client_can_neither_forge_a_line_nor_flood_one(logging: Service) -> None:
    forged = '/movies/%0A{"@timestamp":"2000-01-01T00:00:00Z","message":"forged"}%0D%E2%80%A8%1B[31m'
    first = logging.get(forged, headers={"X-Request-ID": "forger-01"})
    assert first.status_code == 404
    (line,) = lines(logging, "forger-01")
    assert "\n" in line["url.path"]
    assert not [event for event in logging.events() if event.get("message") == "forged"]
    logging.get("/search?query=" + "x" * 4000, headers={"X-Request-ID": "flooder-1"})
    (line,) = lines(logging, "flooder-1")
    assert len(line["url.query"]) <= LONGEST_TEXT + 3


def test_a_path_of_other_letters_is_logged_as_they_are(logging: Service) -> None:
    logging.get("/movies/été", headers={"X-Request-ID": "letters-1"})
    assert lines(logging, "letters-1")[0]["url.path"] == "/movies/été"


def test_gunicorn_speaks_in_the_same_form(logging: Service) -> None:
    events = logging.events()
    assert any("Booting worker" in str(event["message"]) for event in events)
    assert {event["service.name"] for event in events} == {"recsys-api"}
    assert any(event["message"] == "model opened" for event in events)


def test_lines_of_several_workers_stay_whole_in_a_slow_pipe(six_models: Path, tmp_path: Path) -> None:
    port = free_port()
    settings = {
        "RECSYS_MODEL_DIR": str(six_models / store.CURRENT), "RECSYS_METRICS_DIR": str(tmp_path),
        "RECSYS_PORT": str(port), "WEB_CONCURRENCY": "4",
    }  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.conf.py"],
        cwd=ROOT, env={**os.environ, **settings}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            wait_until(lambda: answers(url + "/health/live"), "the start")
            with ThreadPoolExecutor(8) as pool:  # the pipe fills up, and writers wait in the middle of what they write
                asked = [pool.submit(requests.get, url + "/movies/" + "%01" * 1300, timeout=60) for _ in range(150)]
                read = b""
                while read.count(b"/movies/") < len(asked):
                    read += os.read(process.stdout.fileno(), 4096)
                assert {future.result().status_code for future in asked} == {404}
        finally:
            process.terminate()
    lines = read.split(b"\n")[:-1]
    assert len([json.loads(line) for line in lines]) >= len(asked)
    assert max(map(len, lines)) < select.PIPE_BUF


def test_requests_at_debug_show_health_checks(six_models: Path, tmp_path: Path) -> None:
    service = start(six_models / store.CURRENT, tmp_path, RECSYS_LOG_LEVEL="debug")
    try:
        service.get("/health", headers={"X-Request-ID": "debugging"})
        assert lines(service, "debugging")[0]["log.level"] == "debug"
    finally:
        stop(service)


def test_a_person_at_a_terminal_gets_plain_lines(six_models: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    port = free_port()
    settings = {
        "RECSYS_MODEL_DIR": str(six_models / store.CURRENT), "RECSYS_METRICS_DIR": str(tmp_path),
        "RECSYS_PORT": str(port), "WEB_CONCURRENCY": "1",
    }  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.conf.py"],
        cwd=ROOT, env={**os.environ, **settings}, stdout=theirs, stderr=theirs,
    ) as process:  # fmt: skip
        os.close(theirs)
        os.set_blocking(ours, False)
        seen = b""

        def shows(what: bytes) -> bool:
            nonlocal seen
            try:
                seen += os.read(ours, 65536)
            except OSError:
                return what in seen
            return what in seen

        try:
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: shows(b"reload") and answers(url + "/health/live"), "the start")
            requests.get(url + "/movies/10%0A%1B[31mforged", timeout=10)
            wait_until(lambda: shows(b"forged"), "the request's line")
        finally:
            process.terminate()
            process.wait(30)
    os.close(ours)
    (line,) = (line for line in seen.split(b"\n") if b"forged" in line)
    assert b"GET /movies/10\\x0a\\x1b[31mforged" in line
    assert b"404" in line
    with pytest.raises(json.JSONDecodeError):
        json.loads(line)
