"""The OpenAPI 3.1 description, made from the routes and the schemas that the views themselves use."""
from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

import orjson
from flask import Blueprint, Flask, Response, current_app, render_template
from flask_swagger_ui import flask_swagger_ui
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from werkzeug.routing import Rule

from recsys_api.api import answers, schemas
from recsys_api.api.operations import JSON, Operation, operation
from recsys_api.errors import HTTP_PROBLEMS, PROBLEMS, ModelUnavailable
from recsys_api.serving import serving
from recsys_api.version import __version__

blueprint = Blueprint(
    "docs",
    __name__,
    static_folder=flask_swagger_ui._DIST_DIR,  # Swagger UI itself, so that the page needs no other host
    static_url_path="/docs/assets",
)

_CONTENT_POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
_SCHEMAS = "#/components/schemas/"
_VARIABLE = re.compile(r"<(?:(?P<converter>\w+):)?(?P<name>\w+)>")
_TAGS = {
    "recommendations": "Movies like a movie.",
    "search": "Movies by title, or by what happens in them.",
    "movies": "Movies.",
    "ops": "For the people who run the service.",
    "docs": "This description.",
    "root": "Where to begin.",
}
"""The parts of the page, in this order."""
_ANY_MOVIE_ID = "<movie_id>"
_FALLBACK_MOVIE_ID = 1
_DESCRIPTION = "Content-based movie recommendations and search. Every error is application/problem+json (RFC 9457)."


@blueprint.get("/openapi.json")
@operation("This description", gives=dict[str, Any])
def description() -> Response:
    return answers.fresh(describe(current_app._get_current_object()))  # type: ignore[attr-defined]  # werkzeug's way


@blueprint.get("/docs")
@operation("A page to read and try the API", media_types=("text/html",))
def page() -> Response:
    problems = sorted({*PROBLEMS.values(), *(problem for problem, _ in HTTP_PROBLEMS.values())})
    response = Response(render_template("docs.html", problems=problems), mimetype="text/html")
    response.headers["Content-Security-Policy"] = _CONTENT_POLICY
    return response


def operations(app: Flask) -> Iterator[tuple[Rule, str, Operation]]:
    """Every declared call of `app`: its route, its method and its declaration."""
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        declared = getattr(app.view_functions[rule.endpoint], "operation", None)
        if declared is not None:
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield rule, method, declared


def describe(app: Flask) -> dict[str, Any]:
    """The description of `app`; its examples name a movie that the model in use has."""
    paths: dict[str, dict[str, Any]] = {}
    for rule, method, declared in operations(app):
        path = _VARIABLE.sub(lambda match: "{" + match["name"] + "}", rule.rule)
        paths.setdefault(path, {})[method.lower()] = _operation(rule, method, declared)
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Movie Recommendation API",
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "components": {"schemas": _components(app)},
    }
    return _with_movie_id(document)


def _operation(rule: Rule, method: str, declared: Operation) -> dict[str, Any]:
    description: dict[str, Any] = {
        "operationId": f"{method.lower()}_{rule.endpoint.replace('.', '_')}",
        "summary": declared.summary,
        "tags": [rule.endpoint.split(".")[0]],
        "parameters": [*_path_parameters(rule), *_query_parameters(declared)],
        "responses": _responses(declared),
    }
    if declared.body is not None:
        description["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _reference(declared.body), "example": _example(declared.body)}},
        }
    return description


def _path_parameters(rule: Rule) -> Iterator[dict[str, Any]]:
    for match in _VARIABLE.finditer(rule.rule):
        yield {
            "name": match["name"],
            "in": "path",
            "required": True,
            "schema": {"type": "integer" if match["converter"] == "int" else "string"},
            "example": f"<{match['name']}>",
        }


def _query_parameters(declared: Operation) -> Iterator[dict[str, Any]]:
    described = declared.query.model_json_schema()
    for name, schema in described.get("properties", {}).items():
        examples = schema.pop("examples", None)
        yield {
            "name": name,
            "in": "query",
            "required": name in described.get("required", ()),
            "description": schema.pop("description", ""),
            "schema": schema,
            **({"example": examples[0]} if examples else {}),
        }


def _responses(declared: Operation) -> dict[str, Any]:
    content = {
        media_type: {"schema": _schema_of(declared.gives) if media_type == JSON else {"type": "string"}}
        for media_type in declared.media_types
    }
    responses: dict[str, Any] = {"200": {"description": "OK", "content": content}}
    for status in declared.statuses:
        if status != 200:
            responses[str(status)] = {
                "description": _title(status),
                "content": {"application/problem+json": {"schema": _reference(schemas.ProblemAnswer)}},
            }
    if 503 in declared.errors and declared.gives is schemas.Health:
        responses["503"]["content"] = content
    return responses


def _title(status: int) -> str:
    ours = [problem.title for problem in PROBLEMS.values() if problem.status == status]
    return ours[0] if ours else HTTP_PROBLEMS[status][0].title


def _schema_of(gives: Any) -> dict[str, Any]:
    if isinstance(gives, type) and issubclass(gives, BaseModel):
        return _reference(gives)
    arguments = get_args(gives)
    if arguments and isinstance(arguments[0], type) and issubclass(arguments[0], BaseModel):
        return {"type": "array", "items": _reference(arguments[0])}
    return {"type": "object"}


def _reference(schema: type[BaseModel]) -> dict[str, Any]:
    return {"$ref": _SCHEMAS + schema.__name__}


def _example(schema: type[BaseModel]) -> dict[str, Any]:
    return {name: field.examples[0] for name, field in schema.model_fields.items() if field.examples}


def _components(app: Flask) -> dict[str, Any]:
    used: set[type[BaseModel]] = {schemas.ProblemAnswer}
    for _, _, declared in operations(app):
        for candidate in (declared.body, declared.gives, *get_args(declared.gives)):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                used.add(candidate)
    ordered = sorted(used, key=lambda schema: schema.__name__)
    _, described = models_json_schema([(schema, "validation") for schema in ordered], ref_template=_SCHEMAS + "{model}")
    components: dict[str, Any] = described["$defs"]
    return components


def _with_movie_id(document: dict[str, Any]) -> dict[str, Any]:
    """`document` with a real movie_id in the place of the examples' placeholder."""
    movie_id = _FALLBACK_MOVIE_ID
    model = serving().model
    if not isinstance(model, ModelUnavailable):
        movie_id = int(model.catalog.movie_ids[model.popular(top_k=1)[0]])
    text = orjson.dumps(document).replace(orjson.dumps(_ANY_MOVIE_ID), orjson.dumps(movie_id))
    filled: dict[str, Any] = orjson.loads(text)
    return filled
