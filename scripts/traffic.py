"""What clients ask of the service: every endpoint and every kind of answer, once or steadily."""
from __future__ import annotations

import http.client
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from recsys_api.api.questions import SearchQuery
from scripts.running_service import HOST

JSON = {"Content-Type": "application/json"}
_LONGEST_QUERY = max(getattr(rule, "max_length", 0) for rule in SearchQuery.model_fields["query"].metadata)
_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Call:
    """One thing that clients ask, and under which endpoint it counts."""

    method: str
    path: str
    endpoint: str
    body: bytes | None = None


def calls(movie_id: int) -> list[Call]:
    """All endpoints and all kinds of errors."""
    one, like = "/movies/<int:movie_id>", "/recommendations/<int:movie_id>"
    asked = b'{"movie_id": %d}' % movie_id
    return [
        Call("GET", f"/movies/{movie_id}", one),
        Call("GET", "/movies/0", one),
        Call("GET", "/movies/popular?top_k=5", "/movies/popular"),
        Call("GET", "/movies/random?count=3", "/movies/random"),
        Call("GET", f"/recommendations/{movie_id}", like),
        Call("GET", f"/recommendations/{movie_id}?min_similarity=0.2&exclude_same_year=true", like),
        Call("GET", "/recommendations/0", like),
        Call("HEAD", f"/recommendations/{movie_id}", like),
        Call("POST", "/recommendations", "/recommendations", asked),
        Call("POST", "/recommendations", "/recommendations", b"{"),
        Call("POST", "/recommendations/batch", "/recommendations/batch", b'{"movie_ids": [%d, 0]}' % movie_id),
        Call("GET", "/search?query=heat", "/search"),
        Call("GET", "/search?query=zzqxj", "/search"),
        Call("GET", "/search?query=" + "x" * (_LONGEST_QUERY + 1), "/search"),
        Call("POST", "/search", "/search", b'{"query": "toy stroy"}'),
        Call("POST", "/search", "/search", b'{"query": "' + b"x" * 70_000 + b'"}'),
        Call("GET", "/", "/"),
        Call("GET", "/health", "/health"),
        Call("GET", "/health/live", "/health/live"),
        Call("GET", "/health/ready", "/health/ready"),
        Call("GET", "/model/stats", "/model/stats"),
        Call("GET", "/monitoring/summary", "/monitoring/summary"),
        Call("GET", "/openapi.json", "/openapi.json"),
        Call("GET", "/nothing/here", "unmatched"),
        Call("DELETE", "/search", "unmatched"),
        Call("DELETE", "/cache", "/cache"),
    ]


@contextmanager
def steady_traffic(
    port: int, wanted: Sequence[Call], *, rate: float, clients: int = 4, seed: int = 1
) -> Iterator[None]:
    """`rate` requests a second from `wanted` at random, by some clients, whatever becomes of the service; ends here."""
    over = threading.Event()
    threads = [
        threading.Thread(target=_ask, args=(port, wanted, rate / clients, random.Random(seed + i), over), daemon=True)
        for i in range(clients)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(_PATIENCE_SECONDS)


def _ask(port: int, wanted: Sequence[Call], rate: float, chance: random.Random, over: threading.Event) -> None:
    connection = http.client.HTTPConnection(HOST, port, timeout=_PATIENCE_SECONDS)
    due = time.monotonic() + chance.random() / rate
    while not over.wait(max(due - time.monotonic(), 0.0)):
        call = chance.choice(wanted)
        try:
            connection.request(call.method, call.path, call.body, JSON if call.body else {})
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            connection.close()
        due = max(due + 1 / rate, time.monotonic())
    connection.close()
