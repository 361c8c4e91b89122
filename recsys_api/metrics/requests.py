"""HTTP accounting: every answered request counted once, before its first byte leaves, and timed to its last."""
from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from recsys_api.metrics.catalogue import HTTP_METHODS, OTHER_METHOD, UNMATCHED

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from recsys_api.metrics.extension import Metrics

ENDPOINT = "recsys.endpoint"
REQUEST_ID = "recsys.request_id"

Finished = Callable[["WSGIEnvironment", int, int], None]
"""Told the environment of a finished request, its status and how many nanoseconds it took."""

_KNOWN_METHODS = frozenset(HTTP_METHODS)
_UNREPORTED = 500


class Accounting:
    """WSGI middleware around the whole application, so that nothing can be answered past it."""

    def __init__(
        self, app: WSGIApplication, metrics: Metrics, *, identify: Callable[[str], str], finished: Finished
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._identify = identify
        self._finished = finished

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request_id = environ[REQUEST_ID] = self._identify(environ.get("HTTP_X_REQUEST_ID", ""))
        request = _Request(environ, self._metrics, self._finished)

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Callable[[bytes], object]:
            request.status = int(status[:3])
            headers.append(("X-Request-ID", request_id))
            return start_response(status, headers, *rest)

        try:
            body = self._app(environ, start)
        except BaseException:
            request.count()
            request.finish()
            raise
        request.count()
        return _Body(body, request)


class _Request:
    """One request on its way through the accounts."""

    __slots__ = ("_begun", "_environ", "_metrics", "_on_finished", "_open", "method", "status")

    def __init__(self, environ: WSGIEnvironment, metrics: Metrics, on_finished: Finished) -> None:
        self._begun = time.perf_counter_ns()
        self._environ = environ
        self._metrics = metrics
        self._on_finished = on_finished
        self._open = True
        method = environ["REQUEST_METHOD"]
        self.method = method if method in _KNOWN_METHODS else OTHER_METHOD
        self.status = _UNREPORTED
        environ[ENDPOINT] = UNMATCHED
        metrics.http_requests_in_progress.inc()

    def count(self) -> None:
        """Count the answer; from here on a client may see it."""
        self._metrics.count_request(self.method, self._environ[ENDPOINT], self.status)

    def finish(self) -> None:
        """The last byte is handed over, or the client is gone."""
        if not self._open:
            return
        self._open = False
        nanoseconds = time.perf_counter_ns() - self._begun
        self._metrics.time_request(self.method, self._environ[ENDPOINT], nanoseconds * 1e-9)
        self._metrics.http_requests_in_progress.dec()
        self._on_finished(self._environ, self.status, nanoseconds)


class _Body:
    """The application's answer, which ends the request when the server closes it."""

    __slots__ = ("_body", "_request")

    def __init__(self, body: Iterable[bytes], request: _Request) -> None:
        self._body = body
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        try:
            if (close := getattr(self._body, "close", None)) is not None:
                close()
        finally:
            self._request.finish()
