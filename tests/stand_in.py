"""A stand-in for the service, whose answers, delays and faults a test of the load tester decides."""
from __future__ import annotations

import io
import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

MOVIES = [
    {"movie_id": number, "title": f"The Iron Robot {number}", "overview": "A lonely boy hides a giant robot in a barn."}
    for number in range(1, 21)
]


class Answer(NamedTuple):
    """What is sent back."""

    status: int = 200
    body: bytes = json.dumps(
        {"recommendations": [], "results": [], "movie_id": 1, "model_loaded": True, "version": "1"}
    ).encode()
    """By default what every endpoint owes that owes no list."""
    headers: tuple[tuple[str, str], ...] = ()
    hang: threading.Event | None = None
    """After the first line, what is waited for before the rest."""


Reply = Callable[[int, str], Answer]
"""Given the number of a request since the first that is load, and its path; may take its time."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    begun = 0.0
    """When the first byte of a request came, in seconds of time.monotonic(); 0 between requests."""

    def setup(self) -> None:
        super().setup()
        self.rfile = io.BufferedReader(_Heard(self.rfile.detach(), self))  # type: ignore[attr-defined]

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        prepared = _PREPARED.get(self.path.partition("?")[0]) if self.server.preparing else None
        if prepared is None:
            self.server.preparing = False
            answer = self.server.reply(next(self.server.numbers), self.path)
            if answer == Answer() and self.path.partition("?")[0] in _LISTS:
                answer = Answer(body=b"[]")
            if answer == Answer() and _UNKNOWN in f"{self.path} {body!r}" and "batch" not in self.path:
                answer = Answer(404)
        else:
            answer = Answer(body=json.dumps(prepared).encode())
        lines = [f"HTTP/1.1 {answer.status} X", f"Content-Length: {len(answer.body)}"]
        lines += [f"{name}: {value}" for name, value in answer.headers]
        self.server.took.append(time.monotonic() - self.begun)
        self.begun = 0.0
        said = "\r\n".join([*lines, "", ""]).encode() + answer.body
        if answer.hang is not None:
            first, end, said = said.partition(b"\r\n")
            self.wfile.write(first + end)
            answer.hang.wait(20)
        self.wfile.write(said)

    do_GET = do_POST = _answer  # noqa: N815 - http.server's names

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Say nothing."""


class _Heard(io.RawIOBase):
    """What comes in from a socket; notes when a request's first byte came."""

    def __init__(self, raw: io.RawIOBase, handler: _Handler) -> None:
        self._raw = raw
        self._handler = handler

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        count = self._raw.readinto(buffer)
        self._handler.begun = self._handler.begun or time.monotonic()
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


_UNKNOWN = "20000000"
"""Begins the numbers of movies that do not exist."""
_LISTS = {"/movies/popular", "/movies/random"}
_PREPARED = {
    "/health": {"status": "healthy", "model_loaded": True},
    "/movies/popular": MOVIES,
    "/movies/random": MOVIES,
}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def __init__(self, reply: Reply) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reply = reply
        self.numbers = itertools.count()
        self.took: list[float] = []
        self.preparing = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that is gone is nobody's fault."""


@contextmanager
def stand_in(reply: Reply = lambda number, path: Answer()) -> Iterator[_Server]:
    """A server that says that it is healthy and knows movies, and answers load with `reply`."""
    with _Server(reply) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def listening(converse: Callable[[socket.socket], None]) -> Iterator[str]:
    """An address where each connection is given to `converse`, and closed."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    try:
                        converse(connection)
                    except OSError:
                        continue

        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
