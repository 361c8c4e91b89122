"""The gunicorn worker: what cannot be read as a request is answered, counted and logged as all else is."""
from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

import structlog
from gunicorn import util
from gunicorn.http import errors

from recsys_api.api.problems import document
from recsys_api.errors import HTTP_PROBLEMS
from recsys_api.metrics.extension import EXTENSION
from recsys_api.metrics.requests import asked
from recsys_api.worker.turns import LeadingWorker

_STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (errors.LimitRequestLine, 414),
    (errors.LimitRequestHeaders, 431),
    (errors.ConfigurationProblem, 500),
    (errors.InvalidResponseHeader, 500),
    (errors.InvalidResponseHeaderName, 500),
    (errors.ParseException, 400),
    (OSError, 400),
)
"""What the parser raises and how it is answered; the first that fits. Anything else is a fault of ours."""

_log = structlog.get_logger()


class Worker(LeadingWorker):
    """A worker with threads whose own error pages are problem+json too."""

    def handle(self, conn: Any) -> Any:
        """Answer the next request of a connection."""
        asked.set(False)
        return super().handle(conn)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Answer what no application was asked about; what one was asked about is answered and counted already."""
        if asked.get():
            _log.warning("connection closed after an answer", **{"error.message": str(exc)})
            return
        status = next((status for kind, status in _STATUSES if isinstance(exc, kind)), 500)
        problem, detail = HTTP_PROBLEMS[status]
        request_id = os.urandom(16).hex()
        log = _log.error if status == 500 else _log.warning
        log(
            "request refused",
            **{"http.response.status_code": status, "http.request.id": request_id, "error.message": str(exc)},
            exc_info=exc if status == 500 else None,
        )
        self.wsgi.extensions[EXTENSION].count_unread_request(status)
        body = document(problem, detail, request_id)
        head = (
            f"HTTP/1.1 {status} {problem.title}\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
            f"Cache-Control: no-store\r\nX-Request-ID: {request_id}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with suppress(OSError):  # the client may be gone
            util.write_nonblock(client, head.encode() + body)
