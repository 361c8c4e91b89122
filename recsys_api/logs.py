"""Logs: one JSON line an event with the field names of the Elastic Common Schema, or coloured lines for a terminal."""
from __future__ import annotations

import json
import logging
import os
import re
import select
import stat
import sys
from collections.abc import Iterable, MutableMapping
from contextvars import ContextVar
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from recsys_api.metrics.requests import ENDPOINT
from recsys_api.settings import Settings
from recsys_api.version import __version__

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

LONGEST_TEXT = 2048
"""Characters of a text that are logged; what a client sends cannot flood the log."""
LONGEST_TRACE = 16384
"""The same for a stack trace, of which the end is kept."""
REQUEST_ID = "recsys.request_id"
"""Where the WSGI environment holds the id of a request."""

_SERVICE = {"ecs.version": "8.11.0", "service.name": "recsys-api", "service.version": __version__}
_STDOUT = 1
_SHORT = 32
_QUIET_ENDPOINTS = frozenset({"/health", "/health/live", "/health/ready", "/metrics"})
_REQUEST_ID_FIELD = "http.request.id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?P<trace>(?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-(?P<flags>[0-9a-f]{2})(?:-.*)?"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LINE_BREAKS = {mark.encode(): f"\\u{ord(mark):04x}".encode() for mark in "\x85\u2028\u2029"}
"""What some readers take for the end of a line, and JSON does not escape."""
_ECS_NAMES = {"logger": "log.logger", "exception": "error.stack_trace"}


class _Correlation(NamedTuple):
    """What every line that is logged during a request repeats."""

    request_id: str
    trace_id: str


_current: ContextVar[_Correlation | None] = ContextVar("recsys_correlation", default=None)
_log: Any = structlog.get_logger()
_for_people = False
_shown: frozenset[str] = frozenset()
"""The levels that are logged, of those that requests have."""
_longest_line = 0
"""Bytes that a pipe takes in one piece, so that lines of several workers stay whole; 0 for no limit."""


def configure(settings: Settings) -> None:
    """Send everything that is logged, by this package, by gunicorn and by libraries, to stdout in one form."""
    global _for_people, _shown, _longest_line  # noqa: PLW0603 - one standard output, one form
    _for_people = settings.log_format == "console" or (settings.log_format == "auto" and sys.stdout.isatty())
    level = logging.getLevelName(settings.log_level.upper())
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _correlate,
        structlog.processors.format_exc_info,
        _limit,
    ]
    last: list[Processor] = (
        [_without_control_characters, structlog.dev.ConsoleRenderer()] if _for_people else [_to_ecs, _to_json]
    )
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_Stdout,
        cache_logger_on_first_use=False,
    )
    is_pipe = stat.S_ISFIFO(os.fstat(_STDOUT).st_mode)
    _longest_line = select.PIPE_BUF if is_pipe else 0
    _shown = frozenset(name for name in ("debug", "info") if logging.getLevelName(name.upper()) >= level)
    handler = _Handler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last, _to_text],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # its development server has a line of its own a request


def request_begun(environ: WSGIEnvironment) -> tuple[list[tuple[str, str]], bytes]:
    """Give a request its id; return the headers that tell it to the caller, and a note of it for `requests_lost`.

    The caller's own X-Request-ID is kept where it is fit to be repeated in headers and logs. A W3C traceparent is
    answered with one of the same trace, in which this request is the parent (www.w3.org/TR/trace-context).
    """
    proposed = environ.get("HTTP_X_REQUEST_ID", "")
    request_id = proposed if proposed and _REQUEST_ID.fullmatch(proposed) else new_request_id()
    environ[REQUEST_ID] = request_id
    headers = [("X-Request-ID", request_id)]
    trace_id = ""
    if (given := environ.get("HTTP_TRACEPARENT")) and (match := _TRACEPARENT.fullmatch(given)):
        trace_id = match["trace"]
        headers.append(("traceparent", f"00-{trace_id}-{os.urandom(8).hex()}-{match['flags']}"))
    _current.set(_Correlation(request_id, trace_id))
    note = f"{request_id} {environ['REQUEST_METHOD']} {environ.get('PATH_INFO', '')}"
    return headers, note.encode("latin-1", "replace")


def new_request_id() -> str:
    """An id that no other request has, in any process."""
    return f"{_ids.prefix}{next(_ids.numbers):016x}"


class _Ids:
    """Half of each id is drawn once a process, half is counted: to draw all of every id costs a call of the system."""

    def __init__(self) -> None:
        self.draw()
        os.register_at_fork(after_in_child=self.draw)

    def draw(self) -> None:
        self.prefix = os.urandom(8).hex()
        self.numbers = count()


_ids = _Ids()


def request_finished(environ: WSGIEnvironment, status: int, nanoseconds: int) -> None:
    """Log an answer; health checks and scrapes only at debug, since they say nothing by themselves."""
    level = "debug" if environ[ENDPOINT] in _QUIET_ENDPOINTS and status < 400 else "info"
    if _for_people:
        query = environ.get("QUERY_STRING")
        url = _path(environ) + (f"?{query}" if query else "")
        getattr(_log, level)(f"{environ['REQUEST_METHOD']} {url}", status=status, ms=round(nanoseconds / 1e6, 1))
    elif level in _shown:
        # What structlog would make of it, without its machinery, which costs more than all the rest of the line.
        line = {"@timestamp": datetime.now(UTC), "log.level": level, "message": "request", **_SERVICE}
        line["http.request.method"] = environ["REQUEST_METHOD"][:LONGEST_TEXT]
        line["url.path"] = _path(environ)[:LONGEST_TEXT]
        if query := environ.get("QUERY_STRING"):
            line["url.query"] = query[:LONGEST_TEXT]
        line["endpoint"] = environ[ENDPOINT]
        line["http.response.status_code"] = status
        line["event.duration"] = nanoseconds
        _write(_to_json(_log, level, _correlate(_log, level, line)))
    _current.set(None)


def requests_lost(notes: Iterable[str], *, timed_out: bool) -> None:
    """Log the requests that a worker was answering when it was killed, or given up because it hung."""
    why = "worker timed out during this request" if timed_out else "worker was killed during this request"
    for note in notes:
        request_id, method, path = (*note.split(" ", 2), "", "")[:3]
        told = {_REQUEST_ID_FIELD: request_id, "http.request.method": method, "url.path": path}
        _log.error(why, **told)


def _path(environ: WSGIEnvironment) -> str:
    path = str(environ.get("PATH_INFO", ""))
    return path if path.isascii() else path.encode("latin-1", "replace").decode(errors="replace")


class _Stdout:
    """A logger for structlog that hands each line to the system at once: lines of several workers stay whole."""

    def __init__(self, *_: object) -> None:
        pass

    def msg(self, line: bytes | str) -> None:
        _write(line)

    debug = info = warning = error = critical = msg


def _write(line: bytes | str) -> None:
    rest = (line.encode(errors="replace") if isinstance(line, str) else line) + b"\n"
    try:
        while rest:
            rest = rest[os.write(_STDOUT, rest) :]
    except OSError:
        pass  # a full disk or a closed pipe must not fail the request that is logged


class _Handler(logging.Handler):
    """The same for the standard library's loggers."""

    def emit(self, record: logging.LogRecord) -> None:
        _write(self.format(record))


def _correlate(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    if (current := _current.get()) is not None:
        event.setdefault(_REQUEST_ID_FIELD, current.request_id)
        if current.trace_id:
            event.setdefault("trace.id", current.trace_id)
    return event


def _limit(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        if isinstance(value, str) and len(value) > LONGEST_TEXT:
            if key != "exception":
                event[key] = value[:LONGEST_TEXT] + "..."
            elif len(value) > LONGEST_TRACE:
                event[key] = "..." + value[-LONGEST_TRACE:]
    return event


def _to_ecs(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    line: MutableMapping[str, Any] = {
        "@timestamp": event.pop("timestamp", None),
        "log.level": event.pop("level", None),
        "message": event.pop("event", ""),
        **_SERVICE,
    }
    for key, value in event.items():
        line[_ECS_NAMES.get(key, key)] = value
    return line


def _to_json(logger: WrappedLogger, name: str, line: EventDict) -> bytes:
    text = _encoded(line)
    while _longest_line and len(text) >= _longest_line:
        longest = max((key for key in line if isinstance(line[key], str)), key=lambda key: len(line[key]))
        value = line[longest]
        if len(value) <= _SHORT:
            break  # it is long for another reason than its texts
        kept = len(value) * 2 // 3
        line[longest] = f"...{value[-kept:]}" if longest == "error.stack_trace" else f"{value[:kept]}..."
        text = _encoded(line)
    return text


def _encoded(line: EventDict) -> bytes:
    try:
        text = orjson.dumps(line, default=repr, option=orjson.OPT_UTC_Z)
    except TypeError:  # a text with half of a surrogate pair, say from a file's name
        return json.dumps(line, default=lambda value: getattr(value, "isoformat", value.__repr__)()).encode()
    if not text.isascii():
        for mark, escaped in _LINE_BREAKS.items():
            text = text.replace(mark, escaped)
    return text


def _to_text(logger: WrappedLogger, name: str, line: Any) -> str:
    return line.decode() if isinstance(line, bytes) else str(line)


def _without_control_characters(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        if isinstance(value, str) and key != "exception":
            event[key] = _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", value)
    return event
