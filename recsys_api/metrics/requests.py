"""HTTP accounting: every answered request counted once, before its first byte leaves, and timed to its last."""
from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from itertools import chain
from typing import TYPE_CHECKING, Any

from recsys_api.metrics.catalogue import HTTP_METHODS, OTHER_METHOD, UNMATCHED

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from recsys_api.metrics.extension import Metrics

ENDPOINT = "recsys.endpoint"
"""Where the WSGI environment holds the template of the route, once the application has found it."""

Headers = list[tuple[str, str]]
Begun = Callable[["WSGIEnvironment"], tuple[Headers, bytes]]
"""Given the environment of a new request; returns headers for its answer, and a note of what it is."""
Failed = Callable[["WSGIEnvironment", Exception], tuple[str, Headers, bytes]]
"""Given what the application failed with; returns the status line, headers and body of the answer."""
Finished = Callable[["WSGIEnvironment", int, int], None]
"""Told the environment of a finished request, its status and how many nanoseconds it took."""

asked: ContextVar[bool] = ContextVar("recsys_asked", default=False)
"""Whether the application was asked about the request at hand, so that it is accounted for here."""

_KNOWN_METHODS = frozenset(HTTP_METHODS)
_UNREPORTED = 500


class Accounting:
    """WSGI middleware around the whole application, so that nothing can be answered past it."""

    def __init__(
        self, app: WSGIApplication, metrics: Metrics, *, begun: Begun, failed: Failed, finished: Finished
    ) -> None:
        self._app = app
        self._begun = begun
        self._failed = failed
        self.finished = finished
        self.note = metrics.slots.note
        self.change = metrics.change
        self.in_progress = metrics["http_requests_in_progress"]()
        self._requests = metrics["http_requests_total"]
        self._durations = metrics["http_request_duration_seconds"]
        self._errors = metrics["recommendation_model_errors_total"]
        self._counters: dict[tuple[str, str, int], Any] = {}
        self._histograms: dict[tuple[str, str], Any] = {}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        asked.set(True)
        headers_of_ours, note = self._begun(environ)
        request = _Request(environ, self, note)
        answer: tuple[str, Headers] = ("500 Internal Server Error", [])

        def start(status: str, headers: Headers, *_: Any) -> Callable[[bytes], object]:
            nonlocal answer
            answer = status, headers
            return _no_write

        try:
            request.body = self._app(environ, start)
            request.begin()  # a body that breaks before its first part can still be answered as a failure
        except Exception as error:  # noqa: BLE001 - whatever it is, it is answered and counted here
            *answer, content = self._failed(environ, error)  # type: ignore[assignment]  # mypy does not see a tuple
            request.give_up(content)
            self._errors("internal", environ[ENDPOINT]).inc(1)
        except BaseException:
            self.count(request)
            request.close()
            raise
        status, headers = answer
        request.status = int(status[:3])
        self.count(request)  # from here on a client may see the answer
        start_response(status, headers + headers_of_ours)
        return request

    def count(self, request: _Request) -> None:
        """Count one answer."""
        key = request.method, request.environ[ENDPOINT], request.status
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = self._requests(*key[:2], str(request.status))
        counter.inc(1)

    def end(self, request: _Request, seconds: float) -> None:
        """Note that one answer is gone, and how long it took."""
        key = request.method, request.environ[ENDPOINT]
        durations = self._histograms.get(key)
        if durations is None:
            durations = self._histograms[key] = self._durations(*key)
        self.change([*durations.observed(seconds), (self.in_progress, -1)])
        self.note(b"")


class _Request:
    """One request on its way through the accounts; also its answer's body, which the server closes at the end."""

    __slots__ = ("_accounting", "_begun", "_open", "_parts", "body", "environ", "method", "status")

    def __init__(self, environ: WSGIEnvironment, accounting: Accounting, note: bytes) -> None:
        self._begun = time.perf_counter_ns()
        self._accounting = accounting
        self._open = True
        self._parts: Iterable[bytes] = ()
        self.body: Iterable[bytes] = ()
        self.environ = environ
        method = environ["REQUEST_METHOD"]
        self.method = method if method in _KNOWN_METHODS else OTHER_METHOD
        self.status = _UNREPORTED
        environ[ENDPOINT] = UNMATCHED
        accounting.note(note)
        accounting.in_progress.inc(1)

    def begin(self) -> None:
        """Make the first part of the answer."""
        if isinstance(self.body, list):
            self._parts = self.body
            return
        rest = iter(self.body)
        self._parts = chain([part for part in (next(rest, None),) if part is not None], rest)

    def give_up(self, content: bytes) -> None:
        """Answer with `content` in the place of what the application gave."""
        self._parts = [content]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._parts)

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
        accounting.end(self, nanoseconds * 1e-9)
        accounting.finished(self.environ, self.status, nanoseconds)


def _no_write(data: bytes) -> object:
    raise RuntimeError("the application returns its answer, and does not write it")
