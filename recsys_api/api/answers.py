"""From the model's answers to HTTP responses."""
from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import orjson
from flask import Response, g, request

from recsys_api.api import schemas
from recsys_api.catalog import Catalog
from recsys_api.model.similar import Answer
from recsys_api.serving import serving
from recsys_api.version import __version__

_JSON = "application/json"
_EMBEDDED = orjson.Fragment


def movies(catalog: Catalog, rows: Iterable[int]) -> orjson.Fragment:
    """A JSON list of the movies in `rows`."""
    return _EMBEDDED(b"[" + b",".join([catalog.json(row) for row in rows]) + b"]")


def scored_movies(catalog: Catalog, answer: Answer) -> orjson.Fragment:
    """A JSON list of the movies of `answer` with their similarity."""
    if not answer.rows.size:
        return _EMBEDDED(b"[]")
    # numpy's float32 is written with the fewest digits that tell it apart, so that equal looks equal
    scores = orjson.dumps(answer.scores, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")
    parts = [
        catalog.json(row)[:-1] + b',"similarity":' + score + b"}"
        for row, score in zip(answer.rows.tolist(), scores, strict=True)
    ]
    return _EMBEDDED(b"[" + b",".join(parts) + b"]")


def matched(answer: Answer) -> dict[str, int]:
    """How many movies met the filters, where that was counted."""
    return {} if answer.matched < 0 else {"matched": answer.matched}


def mood(asked: schemas.RecommendationsQuery) -> dict[str, Any]:
    """Which mood was asked for, if one was, and whether the catalogue has the votes to follow it."""
    if "mood" not in asked.model_fields_set:
        return {}
    return {"mood": asked.mood, "mood_applied": serving().recommender.knows_moods}


def timed() -> dict[str, Any]:
    """When the answer was made and how long it took from the view's first line."""
    return {
        "request_time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "processing_time_ms": round((time.perf_counter() - g.begun) * 1000, 3),
    }


def from_model(content: Any) -> Response:
    """An answer that depends on the model and on what was asked, and on nothing else: clients may keep it a while."""
    response = Response(orjson.dumps(content), mimetype=_JSON)
    response.set_etag(_etag(), weak=True)  # weak: the times in the body are of the first answer
    if request.method not in {"GET", "HEAD"}:
        response.headers["Cache-Control"] = "no-cache"
        return response
    response.headers["Cache-Control"] = f"public, max-age={serving().settings.http_max_age}"
    if request.if_none_match.contains_weak(response.get_etag()[0] or ""):
        response.status_code = 304
    return response


def fresh(content: Any, *, status: int = 200) -> Response:
    """An answer that may be another the next time."""
    response = Response(orjson.dumps(content), status=status, mimetype=_JSON)
    response.headers["Cache-Control"] = "no-store"
    return response


def _etag() -> str:
    by_body = request.method == "POST"  # a GET's body is nobody's business
    parts = (__version__, serving().recommender.stats.model_version, "POST" if by_body else "GET", request.full_path)
    asked = "\n".join(parts).encode(errors="surrogatepass") + (request.get_data() if by_body else b"")
    return hashlib.blake2b(asked, digest_size=12).hexdigest()
