"""From the model's answers to HTTP responses."""
from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import orjson
from flask import Response, request
from werkzeug.datastructures import Headers

from recsys_api.api import questions
from recsys_api.api.application import BEGUN, environment
from recsys_api.api.parsing import LONGEST_REMEMBERED, MOST_REMEMBERED
from recsys_api.catalog import Catalog
from recsys_api.model.kernel import Int32s
from recsys_api.model.similar import Answer
from recsys_api.serving import serving
from recsys_api.version import __version__

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_JSON = "application/json"
_EMBEDDED = orjson.Fragment


def movies(catalog: Catalog, rows: Int32s) -> orjson.Fragment:
    """A JSON list of the movies in `rows`."""
    return _EMBEDDED(catalog.json_list(rows))


def scored_movies(catalog: Catalog, answer: Answer) -> orjson.Fragment:
    """A JSON list of the movies of `answer` with their similarity and, where it was asked for, their explanation.

    What is given a second time, since a cache has it, is kept as it was written, for the next time.
    """
    if answer.written:
        return _EMBEDDED(answer.written)
    written = _explained(catalog, answer) if answer.reasons else catalog.json_list(answer.rows, answer.scores)
    if answer.written is None:
        answer.written = b""
    else:
        if len(_kept) >= _MOST_KEPT:
            _kept.popleft().written = b""
        _kept.append(answer)
        answer.written = written
    return _EMBEDDED(written)


_MOST_KEPT = 256
_kept: deque[Answer] = deque()
"""The answers that are kept as they were written."""


def _explained(catalog: Catalog, answer: Answer) -> bytes:
    each = (catalog.json_list(answer.rows[i : i + 1], answer.scores[i : i + 1]) for i in range(answer.rows.size))
    parts = [
        alone[1:-2] + b',"explanation":' + orjson.dumps(reason) + b"}"  # without the brackets at its end
        for alone, reason in zip(each, answer.reasons, strict=True)
    ]
    return b"[" + b",".join(parts) + b"]"


def matched(answer: Answer) -> dict[str, int]:
    """How many movies met the filters, where that was counted."""
    return {} if answer.matched < 0 else {"matched": answer.matched}


def told_where_asked(asked: questions.RecommendationsQuery, answer: Answer) -> dict[str, Any]:
    """What is told of a list only where it was counted or asked for.

    How many movies met the filters, how much the movies of a varied list differ, which mood was asked for and whether
    the catalogue has the votes to follow it.
    """
    told: dict[str, Any] = {**matched(answer)}
    if answer.variety is not None:
        told["intra_list_diversity"] = round(answer.variety.spread, 6)
    if "mood" in asked.model_fields_set:
        told |= {"mood": asked.mood, "mood_applied": serving().recommender.knows_moods}
    return told


def timed() -> dict[str, Any]:
    """When the answer was made and how long it took from the view's first line."""
    return {
        "request_time": datetime.now(UTC),
        "processing_time_ms": (time.perf_counter_ns() - environment()[BEGUN]) // 1000 / 1000,
    }


def from_model(content: Any) -> Response:
    """An answer that depends on the model and on what was asked, and on nothing else: clients may keep it a while."""
    here, environ = serving(), environment()
    tag = _tag(environ, here.recommender.stats.model_version)
    etag = "ETag", f'W/"{tag}"'  # weak: the times in the body are of the first answer
    if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
        return JsonResponse(orjson.dumps(content), etag, ("Cache-Control", "no-cache"))
    kept = "Cache-Control", f"public, max-age={here.settings.http_max_age}"
    known = "HTTP_IF_NONE_MATCH" in environ and request.if_none_match.contains_weak(tag)
    return JsonResponse(orjson.dumps(content), etag, kept, status=304 if known else 200)


def fresh(content: Any, *, status: int = 200) -> Response:
    """An answer that may be another the next time."""
    return JsonResponse(orjson.dumps(content), ("Cache-Control", "no-store"), status=status)


class JsonResponse(Response):
    """JSON with headers that need no check: until somebody looks at them, they are handed over as they are."""

    def __init__(self, body: bytes, *headers: tuple[str, str], status: int = 200) -> None:
        # what the framework's own constructor sets, but for the headers
        self.response = [body]
        self.direct_passthrough = False
        self._on_close = []
        self._status, self._status_code = ("200 OK", 200) if status == 200 else self._clean_status(status)
        self._known_headers = [("Content-Type", _JSON), ("Content-Length", str(len(body))), *headers]

    @cached_property
    def headers(self) -> Headers:  # type: ignore[override]  # what is cached can be written, too
        """The headers, to be looked at and changed."""
        return Headers(self._known_headers)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[Any]:
        """Answer as WSGI has it."""
        if self._status_code != 200 or environ["REQUEST_METHOD"] == "HEAD" or "headers" in vars(self):
            return super().__call__(environ, start_response)
        start_response(self._status, self._known_headers)
        return self.response


def _tag(environ: WSGIEnvironment, model_version: str) -> str:
    """What tells this question to this model from any other."""
    path = f"{environ.get('PATH_INFO', '')}?{environ.get('QUERY_STRING', '')}"
    if environ["REQUEST_METHOD"] == "POST":  # a GET's body is nobody's business
        return _digest(f"POST {path}", model_version, request.get_data())
    return (_known_digest if len(path) <= LONGEST_REMEMBERED else _digest)(f"GET {path}", model_version)


def _digest(asked: str, model_version: str, body: bytes = b"") -> str:
    told = f"{__version__}\n{model_version}\n{asked}".encode(errors="surrogatepass") + body
    return hashlib.blake2b(told, digest_size=12).hexdigest()


_known_digest = lru_cache(maxsize=MOST_REMEMBERED)(_digest)
