"""The only place that wires the rooms together."""
from __future__ import annotations

from dataclasses import replace

import structlog
from flask import Blueprint, Flask, Response
from flask_cors import CORS

from recsys_api import logs, ops
from recsys_api.api import answers, movies, openapi, problems, recommendations, schemas, search
from recsys_api.api.application import Application
from recsys_api.api.operations import operation
from recsys_api.cache import Cache, SharedGeneration
from recsys_api.errors import HTTP_PROBLEMS, ArtifactError, ModelUnavailable
from recsys_api.metrics import Metrics
from recsys_api.model import store
from recsys_api.model.recommender import Recommender
from recsys_api.serving import EXTENSION, Serving
from recsys_api.settings import Settings
from recsys_api.version import __version__

MOST_BODY_BYTES = 64 * 1024
_STATUSES_OF_FILES = (200, 206, 304, 404, 412, 416, 500)

root = Blueprint("root", __name__)
_log = structlog.get_logger()


def create_app(settings: Settings | None = None, *, recommender: Recommender | None = None) -> Flask:
    """The WSGI application.

    `settings` come from the environment where none are given. `recommender` is used as it is; without one the model at
    `settings.model_dir` is opened, and while that cannot be used the application answers 503 and says why.
    """
    settings = settings or Settings.from_environment()
    logs.configure(settings)
    settings.metrics_dir.mkdir(parents=True, exist_ok=True)
    generation = SharedGeneration(settings.metrics_dir / "cache.generation")
    metrics = Metrics(settings.metrics_dir, cache_generation=generation)
    model: Recommender | ModelUnavailable
    try:
        model = recommender or _open_model(settings, generation)
    except ArtifactError as error:
        _log.error("there is no usable model", reason=str(error))
        model = ModelUnavailable(str(error))

    app = Application(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MOST_BODY_BYTES
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False  # no redirects: a path is served or it is not
    app.extensions[EXTENSION] = Serving(settings, metrics, model, generation)
    for blueprint in (
        root, movies.blueprint, recommendations.blueprint, search.blueprint, ops.blueprint, openapi.blueprint,
    ):  # fmt: skip
        app.register_blueprint(blueprint)
    problems.init_app(app)
    if settings.cors_origins:
        CORS(app, origins=list(settings.cors_origins), expose_headers=["X-Request-ID", "ETag"])
        app.after_request(_vary_by_origin)
    metrics.init_app(
        app, begun=logs.request_begun, failed=problems.answer_failure, finished=logs.request_finished
    )
    _expect_every_series(app, metrics)
    if not metrics.slots.counts_with_others:
        worker_started(app)
    return app


def _vary_by_origin(response: Response) -> Response:
    """Keep caches from giving one page's answer to another, which flask-cors does only where an origin matches."""
    response.vary.add("Origin")
    return response


def _expect_every_series(app: Flask, metrics: Metrics) -> None:
    """Let every series that a route can count exist from the start."""
    metrics.expect_unmatched(HTTP_PROBLEMS)
    declared = {(rule.rule, method): call for rule, method, call in openapi.operations(app)}
    for rule in app.url_map.iter_rules():
        for method in rule.methods or ():
            call = declared.get((rule.rule, "GET" if method == "HEAD" else method))
            statuses = set(call.statuses) if call else {200, 500} if method == "OPTIONS" else set(_STATUSES_OF_FILES)
            metrics.expect(rule.rule, [method], statuses | ({304} if method in {"GET", "HEAD"} else set()))
        if rule.endpoint.startswith(f"{recommendations.blueprint.name}."):
            metrics.expect_recommendations(rule.rule)


def worker_started(app: Flask) -> None:
    """Say in the metrics that this process serves now, and with which model; a worker does so once it has its slot."""
    here: Serving = app.extensions[EXTENSION]
    if isinstance(here.model, ModelUnavailable):
        here.metrics.describe_missing_model()
    else:
        cache = here.model.cache
        here.metrics.describe_model(here.model.stats, cache.maxsize)
        here.metrics.expect_genres(here.model.catalog.genres)
        cache.on_event = here.metrics.count_cache_event


def reopen_model(app: Flask) -> None:
    """Open the model anew, for the workers that start from here on; one that cannot be used leaves the old in place."""
    here: Serving = app.extensions[EXTENSION]
    try:
        model = _open_model(here.settings, here.cache_generation)
    except ArtifactError as error:
        _log.error("the model in use stays: the new one cannot be used", reason=str(error))
    else:
        app.extensions[EXTENSION] = replace(here, model=model)


def _open_model(settings: Settings, generation: SharedGeneration) -> Recommender:
    model = store.load(settings.model_dir)
    _log.info("model opened", version=model.version, source=model.source, movies=len(model.catalog))
    return Recommender(model, cache=Cache(settings.cache_size, generation=generation))


@root.get("/")
@operation("Where to go from here", gives=schemas.Welcome)
def welcome() -> Response:
    return answers.fresh(
        {
            "message": "Movie Recommendation API",
            "version": __version__,
            "docs": "/docs",
            "health": "/health",
            "status": "running",
        }
    )
