"""HTTP accounting: every answered request counted once, before its first byte leaves, and timed to its last."""
from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from flask import request

from recsys_api.metrics.catalogue import HTTP_METHODS, OTHER_METHOD, UNMATCHED

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from recsys_api.metrics.extension import Metrics

ENDPOINT = "recsys.endpoint"
"""Where the WSGI environment holds the template of the route that a request has found."""

Begun = Callable[["WSGIEnvironment"], list[tuple[str, str]]]
"""Given the environment of a new request; returns headers for its answer."""
Finished = Callable[["WSGIEnvironment", int, int], None]
"""Told the environment of a finished request, its status and how many nanoseconds it took."""

_KNOWN_METHODS = frozenset(HTTP_METHODS)
_UNREPORTED = 500


class Accounting:
    """WSGI middleware around the whole application, so that nothing can be answered past it."""

    def __init__(self, app: WSGIApplication, metrics: Metrics, *, begun: Begun, finished: Finished) -> None:
        self._app = app
        self._begun = begun
        self.finished = finished
        self.active: set[_Request] = set()
        self.in_progress: Callable[[float], None] = metrics["http_requests_in_progress"]().inc
        self._requests = metrics["http_requests_total"]
        self._durations = metrics["http_request_duration_seconds"]
        self._count: dict[tuple[str, str, int], Callable[[float], None]] = {}
        self._observe: dict[tuple[str, str], Callable[[float], None]] = {}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        headers_of_ours = self._begun(environ)
        request = _Request(environ, self)

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Callable[[bytes], object]:
            request.status = int(status[:3])
            return start_response(status, headers + headers_of_ours, *rest)

        try:
            request.body = self._app(environ, start)
        except BaseException:
            self.count(request)
            request.close()
            raise
        self.count(request)  # from here on a client may see the answer
        return request

    def count(self, request: _Request) -> None:
        """Count one answer."""
        key = request.method, request.environ[ENDPOINT], request.status
        count = self._count.get(key)
        if count is None:
            count = self._count[key] = self._requests(*key[:2], str(request.status)).inc
        count(1)

    def time(self, request: _Request, seconds: float) -> None:
        """Note how long one answer took."""
        key = request.method, request.environ[ENDPOINT]
        observe = self._observe.get(key)
        if observe is None:
            observe = self._observe[key] = self._durations(*key).observe
        observe(seconds)


class _Request:
    """One request on its way through the accounts; also its answer's body, which the server closes at the end."""

    __slots__ = ("_accounting", "_begun", "_open", "body", "environ", "method", "status")

    def __init__(self, environ: WSGIEnvironment, accounting: Accounting) -> None:
        self._begun = time.perf_counter_ns()
        self._accounting = accounting
        self._open = True
        self.body: Iterable[bytes] = ()
        self.environ = environ
        method = environ["REQUEST_METHOD"]
        self.method = method if method in _KNOWN_METHODS else OTHER_METHOD
        self.status = _UNREPORTED
        environ[ENDPOINT] = UNMATCHED
        accounting.active.add(self)
        accounting.in_progress(1)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.body)

    def close(self) -> None:
        """The last byte is handed over, or the client is gone."""
        try:
            if (close := getattr(self.body, "close", None)) is not None:
                close()
        finally:
            if self._open:
                self._open = False
                self._end()

    def _end(self) -> None:
        nanoseconds = time.perf_counter_ns() - self._begun
        accounting = self._accounting
        accounting.time(self, nanoseconds * 1e-9)
        accounting.in_progress(-1)
        accounting.active.discard(self)
        accounting.finished(self.environ, self.status, nanoseconds)


def note_endpoint() -> None:
    """Before a request's view: remember which route was found, for what is counted outside of the application."""
    if request.url_rule is not None:
        request.environ[ENDPOINT] = request.url_rule.rule
