"""Who waits for whom in a worker: real gunicorn, clients that are slow, many, or in a hurry."""
from __future__ import annotations

import http.client
import json
import resource
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from recsys_api.model import store

from .conftest import Service, start, stop, wait_until

_BODY = b'{"query": "heat"}'
_HEAD = b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(_BODY)


@pytest.fixture(scope="module")
def running(six_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One worker with two threads."""
    metrics_dir = tmp_path_factory.mktemp("metrics")
    service = start(six_models / store.CURRENT, metrics_dir, workers=1, RECSYS_THREADS="2")
    yield service
    stop(service)


def connect(service: Service) -> socket.socket:
    host, port = service.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def begin(service: Service) -> socket.socket:
    """A connection whose request has begun and whose body is still to come."""
    connection = connect(service)
    connection.sendall(_HEAD)
    return connection


def answer(connection: socket.socket) -> http.client.HTTPResponse:
    """The next answer, read whole."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    response.body = response.read()  # type: ignore[attr-defined]
    return response


def test_a_slow_client_holds_up_nobody(running: Service) -> None:
    with begin(running) as slow:
        wait_until(lambda: running.metric("http_requests_in_progress") == 2, "the slow request's arrival")
        assert all(running.get("/movies/10").status_code == 200 for _ in range(20))
        slow.sendall(_BODY)
        assert answer(slow).status == 200
        slow.sendall(_HEAD + _BODY)  # its connection is as good as any
        assert answer(slow).status == 200


def test_with_a_slow_client_for_every_thread_the_worker_still_leads(running: Service) -> None:
    """Whoever was left behind before is there again: somebody accepts what comes meanwhile."""
    for _ in range(2):
        with begin(running) as slow:
            wait_until(lambda: running.metric("http_requests_in_progress") == 2, "the slow request's arrival")
            slow.sendall(_BODY)
            assert answer(slow).status == 200
    with begin(running) as first, begin(running) as second, ExitStack() as later:
        for _ in range(5):  # one after the other, so that both requests are in progress before the last one
            port = later.enter_context(connect(running)).getsockname()[1]
            wait_until(lambda port=port: port in {known for _, known in held_by_workers(running)}, "an accepting")
        for slow in (first, second):
            slow.sendall(_BODY)
            assert answer(slow).status == 200


def test_a_worker_that_may_open_no_more_lives_on(running: Service) -> None:
    (worker,) = worker_of(running)
    allowed = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (3, allowed[1]))
    with connect(running) as too_many:
        too_many.sendall(b"GET /movies/10 HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: "No connection is accepted" in running.log(), "the log line")
        resource.prlimit(worker, resource.RLIMIT_NOFILE, allowed)
        assert answer(too_many).status == 200
    assert worker_of(running) == {worker}


def test_what_comes_while_every_thread_has_a_slow_client_is_answered_after_them(running: Service) -> None:
    with begin(running) as first, begin(running) as second, connect(running) as third:
        third.sendall(b"GET /movies/10 HTTP/1.1\r\nHost: x\r\n\r\n")
        for slow in (first, second):
            slow.sendall(_BODY)
            assert answer(slow).status == 200
        assert answer(third).status == 200
    wait_until(lambda: running.metric("http_requests_in_progress") == 1, "an end of the others")


def test_a_head_that_comes_in_pieces_is_one_request(running: Service) -> None:
    with connect(running) as slow:
        slow.sendall(b"GET /movies/10 HT")
        assert running.get("/movies/20").status_code == 200
        slow.sendall(b"TP/1.1\r\nHost: x\r\n\r\n")
        assert answer(slow).status == 200


def test_requests_that_come_together_are_answered_in_turn(running: Service) -> None:
    wanted = [10, 20, 10, 30, 40]
    with connect(running) as hasty:
        hasty.sendall(b"".join(b"GET /movies/%d HTTP/1.1\r\nHost: x\r\n\r\n" % movie_id for movie_id in wanted))
        answered = hasty.makefile("rb")
        for movie_id in wanted:
            assert b" 200 " in answered.readline()
            length = 0
            while (line := answered.readline().strip()):
                name, _, value = line.partition(b": ")
                length = int(value) if name == b"Content-Length" else length
            assert json.loads(answered.read(length))["movie_id"] == movie_id


def test_an_answer_is_whole_for_a_client_that_sends_on_after_its_last_request(running: Service) -> None:
    with connect(running) as talkative:
        talkative.sendall(b"GET /movies/popular HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + b"x" * 50_000)
        last = answer(talkative)
        assert last.status == 200
        assert len(json.loads(last.body)) == 6  # type: ignore[attr-defined]


def test_many_connections_that_come_together_are_shared_among_the_workers(six_models: Path, tmp_path: Path) -> None:
    service = start(six_models / store.CURRENT, tmp_path, workers=2)
    try:
        with ExitStack() as open_ones:
            connections = [open_ones.enter_context(connect(service)) for _ in range(40)]
            for connection in connections:
                connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            for connection in connections:
                assert answer(connection).status == 200
            ports = {connection.getsockname()[1] for connection in connections}
            held = Counter(worker for worker, port in held_by_workers(service) if port in ports)
        assert len(held) == 2
    finally:
        stop(service)


def worker_of(service: Service) -> set[int]:
    """The process ids of the workers."""
    pid = service.process.pid
    return {int(worker) for worker in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def held_by_workers(service: Service) -> Iterator[tuple[int, int]]:
    """Each worker's process id with the port of each client that is connected to it."""
    port_of = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        port_of[f"socket:[{fields[9]}]"] = int(fields[2].rpartition(":")[2], 16)
    for worker in worker_of(service):
        for descriptor in Path(f"/proc/{worker}/fd").iterdir():
            name = str(descriptor.readlink())
            if name in port_of:
                yield worker, port_of[name]


def test_a_request_in_progress_is_answered_before_the_service_stops(six_models: Path, tmp_path: Path) -> None:
    running = start(six_models / store.CURRENT, tmp_path, workers=1)
    with begin(running) as slow:
        wait_until(lambda: running.metric("http_requests_in_progress") == 2, "the slow request's arrival")
        running.process.send_signal(signal.SIGTERM)
        wait_until(lambda: refuses(running), "the end of new connections")
        slow.sendall(_BODY)
        last = answer(slow)
        assert (last.status, last.getheader("Connection")) == (200, "close")
    assert running.process.wait(10) == 0


def refuses(service: Service) -> bool:
    try:
        service.get("/health/live")
    except requests.ConnectionError:
        return True
    return False
