"""Logs: one JSON line an event with the field names of the Elastic Common Schema, or coloured lines for a terminal."""
from __future__ import annotations

import logging
import re
import sys
import uuid
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from recsys_api.metrics.requests import ENDPOINT, REQUEST_ID
from recsys_api.settings import Settings
from recsys_api.version import __version__

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

LONGEST_TEXT = 2048
"""Characters of a text that are logged; what a client sends cannot flood the log."""

_SERVICE = "recsys-api"
_requests = structlog.stdlib.get_logger("recsys_api.request")
_QUIET_ENDPOINTS = frozenset({"/health", "/health/live", "/health/ready", "/metrics"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?P<trace>(?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ECS_NAMES = {
    "level": "log.level",
    "logger": "log.logger",
    "timestamp": "@timestamp",
    "event": "message",
    "exception": "error.stack_trace",
}


def configure(settings: Settings) -> None:
    """Send everything that is logged, by this package, by gunicorn and by libraries, to stdout in one form."""
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stdout.isatty())
    level = logging.getLevelName(settings.log_level.upper())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _limit,
    ]
    last: list[Processor] = (
        [_to_ecs, _to_json_text] if as_json else [_without_control_characters, structlog.dev.ConsoleRenderer()]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in ("gunicorn.error", "gunicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True


def request_finished(environ: WSGIEnvironment, status: int, nanoseconds: int) -> None:
    """Log an answer; health checks and scrapes only at debug, since they say nothing by themselves."""
    endpoint = environ[ENDPOINT]
    fields: dict[str, Any] = {
        "http.request.method": environ["REQUEST_METHOD"],
        "url.path": environ.get("PATH_INFO", ""),
        "http.response.status_code": status,
        "event.duration": nanoseconds,
        "http.request.id": environ[REQUEST_ID],
        "endpoint": endpoint,
    }
    if query := environ.get("QUERY_STRING"):
        fields["url.query"] = query
    if match := _TRACEPARENT.fullmatch(environ.get("HTTP_TRACEPARENT", "")):
        fields["trace.id"] = match["trace"]
    log = _requests.debug if endpoint in _QUIET_ENDPOINTS and status < 400 else _requests.info
    log("request", **fields)


def new_request_id(proposed: str) -> str:
    """The caller's request id if it is fit to be repeated in headers and logs, else a new one."""
    return proposed if _REQUEST_ID.fullmatch(proposed) else uuid.uuid4().hex


def _limit(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        if isinstance(value, str) and len(value) > LONGEST_TEXT and key != "exception":
            event[key] = value[:LONGEST_TEXT] + "..."
    return event


def _to_ecs(logger: WrappedLogger, name: str, event: EventDict) -> Mapping[str, Any]:
    line: MutableMapping[str, Any] = {
        "@timestamp": event.pop("timestamp", None),
        "log.level": event.pop("level", None),
        "message": event.pop("event", ""),
        "ecs.version": "8.11.0",
        "service.name": _SERVICE,
        "service.version": __version__,
    }
    for key, value in event.items():
        line[_ECS_NAMES.get(key, key)] = value
    return line


def _to_json_text(logger: WrappedLogger, name: str, line: EventDict) -> str:
    return orjson.dumps(line, default=repr).decode()


def _without_control_characters(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        if isinstance(value, str) and key != "exception":
            event[key] = _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", value)
    return event
