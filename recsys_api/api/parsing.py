"""From what a client sent to a schema, or to an error that names the field."""
from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, TypeVar, get_origin

import orjson
from flask import request
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from recsys_api.api.application import environment
from recsys_api.api.questions import Asked
from recsys_api.errors import FieldError, InvalidRequest, UnreadableBody, UnsupportedMedia

A = TypeVar("A", bound=Asked)

MOST_REMEMBERED, LONGEST_REMEMBERED = 4096, 512
"""Of how many query strings a worker remembers what they mean, and of how long ones at most."""


def from_query(schema: type[A]) -> A:
    """The query string as `schema`; a parameter given twice is an error, since one of them would be ignored."""
    query = environment().get("QUERY_STRING", "")
    asked: A = (_remembered if len(query) <= LONGEST_REMEMBERED else _read)(schema, query)
    return asked


def _read(schema: type[A], query: str) -> A:
    """What `query`, that of the request at hand, asks; people ask the same again and again, and an answer is frozen."""
    given: dict[str, str | list[str]] = {}
    repeated = _repeatable(schema)
    twice: list[FieldError] = []
    for name, values in request.args.lists():
        if name in repeated:
            given[name] = values
        elif len(values) == 1:
            given[name] = values[0]
        else:
            twice.append({"loc": ["query", name], "msg": "is given more than once", "type": "repeated"})
    if twice:
        raise InvalidRequest(twice)
    return _validate(schema, given, "query", strict=False)


_remembered = lru_cache(maxsize=MOST_REMEMBERED)(_read)


def from_body(schema: type[A]) -> A:
    """The JSON body as `schema`; types are not coerced."""
    if not request.is_json:
        raise UnsupportedMedia("Send the body as JSON with the header Content-Type: application/json.")
    try:
        body = orjson.loads(_whole_body())
    except orjson.JSONDecodeError as error:
        raise UnreadableBody(f"The body is not JSON: {error}.") from error
    return _validate(schema, body, "body", strict=True)


def _whole_body() -> bytes:
    """The body; werkzeug stops reading one that does not tell its length at the limit, and says nothing."""
    try:
        body = request.get_data()
    except HTTPException:
        raise
    except Exception as error:  # each server has errors of its own for chunks that are none
        raise UnreadableBody(f"The body broke off: {error}.") from error
    cut_off = request.content_length is None and len(body) == request.max_content_length
    if cut_off and request.environ["wsgi.input"].read(1):
        raise RequestEntityTooLarge
    return body


@cache
def _repeatable(schema: type[Asked]) -> frozenset[str]:
    """The parameters of `schema` that take several values."""
    return frozenset(
        field.alias or name
        for name, field in schema.model_fields.items()
        if get_origin(field.annotation) in {list, Sequence}
    )


def _validate(schema: type[A], given: Any, where: str, *, strict: bool) -> A:
    try:
        return schema.model_validate(given, strict=strict)
    except ValidationError as error:
        raise InvalidRequest([_field_error(problem, where, schema) for problem in error.errors()]) from error


def _names(schema: type[Asked]) -> list[str]:
    return [field.alias or name for name, field in schema.model_fields.items()]


def _field_error(problem: Any, where: str, schema: type[Asked]) -> FieldError:
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        message = f"is not known; known are {', '.join(_names(schema)) or 'none'}"
    elif problem["type"] == "missing":
        message = "is required"
    elif problem["type"] == "model_type":
        message = "should be a JSON object"
    return {"loc": [where, *problem["loc"]], "msg": message[:1].lower() + message[1:], "type": str(problem["type"])}
