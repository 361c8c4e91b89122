"""Every error, from whatever layer, as application/problem+json by the tables of recsys_api.errors."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import structlog
from flask import Flask, Response, current_app, request
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES

from recsys_api.errors import (
    HTTP_PROBLEMS,
    PROBLEMS,
    AmbiguousTitle,
    InvalidRequest,
    ModelUnavailable,
    Problem,
    RecsysError,
    UnknownValue,
)
from recsys_api.logs import REQUEST_ID
from recsys_api.metrics.requests import ENDPOINT
from recsys_api.serving import serving

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_RETRY_AFTER_SECONDS = 10
_MOST_READ_AWAY, _AT_ONCE = 1 << 20, 1 << 16
_log = structlog.get_logger()


def init_app(app: Flask) -> None:
    """Answer every error of `app` as a problem."""
    app.register_error_handler(RecsysError, _ours)
    app.register_error_handler(HTTPException, _of_the_framework)
    app.register_error_handler(Exception, _unforeseen)


def document(problem: Problem, detail: str, request_id: str, **more: Any) -> bytes:
    """The JSON of a problem (RFC 9457)."""
    return orjson.dumps(
        {
            "type": f"/docs#problem-{problem.slug}",
            "title": problem.title,
            "status": problem.status,
            "detail": detail,
            "request_id": request_id,
            **more,
        }
    )


def answer_failure(environ: WSGIEnvironment, error: Exception) -> tuple[str, list[tuple[str, str]], bytes]:
    """The status line, headers and body for what fails outside of any view, such as the first part of a stream."""
    problem, detail = HTTP_PROBLEMS[500]
    _log_unforeseen(error)
    body = document(problem, detail, environ[REQUEST_ID])
    headers = [
        ("Content-Type", "application/problem+json"), ("Content-Length", str(len(body))), ("Cache-Control", "no-store"),
    ]  # fmt: skip
    return f"500 {problem.title}", headers, body


def _ours(error: RecsysError) -> Response:
    if isinstance(error, UnknownValue):
        where = "body" if request.method == "POST" else "query"
        error = InvalidRequest([{"loc": [where, error.field], "msg": str(error), "type": "unknown_value"}])
    problem = PROBLEMS.get(type(error))
    if problem is None:
        return _unforeseen(error)
    more: dict[str, Any] = {"errors": error.errors} if isinstance(error, InvalidRequest) else {}
    if isinstance(error, AmbiguousTitle):
        more = {"candidates": error.candidates}
    response = _problem(problem, str(error), **more)
    if isinstance(error, ModelUnavailable):
        response.headers["Retry-After"] = str(_RETRY_AFTER_SECONDS)
        _count_model_error("unavailable")
    return response


def _of_the_framework(error: HTTPException) -> Response:
    status = error.code or 500
    if error.response is not None or status < 400:  # an answer of its own, such as a redirect
        return current_app.make_response(error.get_response())
    if status == 413:
        _read_away_the_body()
    title = HTTP_STATUS_CODES.get(status, "Error")
    fallback = (Problem(status, title.lower().replace(" ", "-"), title), f"{title}; see /docs.")
    response = _problem(*HTTP_PROBLEMS.get(status, fallback))
    for name, value in error.get_headers():
        if name.lower() not in {"content-type", "content-length"}:
            response.headers[name] = value
    return response


def _read_away_the_body() -> None:
    """Read what is left of a body that is too large, within reason: else the server has to close the connection, and
    the client's next request fails.
    """
    body = request.environ["wsgi.input"]
    for _ in range(_MOST_READ_AWAY // _AT_ONCE):
        if not body.read(_AT_ONCE):
            break


def _unforeseen(error: Exception) -> Response:
    _log_unforeseen(error)
    _count_model_error("internal")
    return _problem(*HTTP_PROBLEMS[500])


def _log_unforeseen(error: Exception) -> None:
    told = {"error.type": type(error).__qualname__, "error.message": str(error)}
    _log.error("unhandled exception", exc_info=error, **told)


def _problem(problem: Problem, detail: str, **more: Any) -> Response:
    body = document(problem, detail, request.environ[REQUEST_ID], **more)
    response = Response(body, status=problem.status, mimetype="application/problem+json")
    response.headers["Cache-Control"] = "no-store"
    return response


def _count_model_error(kind: str) -> None:
    serving().metrics["recommendation_model_errors_total"](kind, request.environ[ENDPOINT]).inc(1)
