"""For the people who run the service: health, metrics, model statistics, the caches."""
from __future__ import annotations

import gzip
import time

from flask import Blueprint, Response, request

from recsys_api.api import answers, questions, schemas
from recsys_api.api.operations import JSON, TEXT, operation
from recsys_api.errors import ModelUnavailable
from recsys_api.serving import serving

blueprint = Blueprint("ops", __name__)

_GZIP_LEVEL = 1


@blueprint.get("/health")
@operation("Whether the service can do its work", gives=schemas.Health, errors=(503,))
def health() -> Response:
    here = serving()
    snapshot = here.metrics.snapshot()
    reason = str(here.model) if isinstance(here.model, ModelUnavailable) else None
    content = {
        "status": "unhealthy" if reason else "healthy",
        "model_loaded": reason is None,
        "uptime_seconds": round(time.time() - snapshot.value("process_start_time_seconds"), 3),
        "total_requests": int(snapshot.total("http_requests_total")),
        "model_version": None if reason else here.recommender.stats.model_version,
        "workers": int(snapshot.value("gunicorn_workers", state="live")),
    }
    return answers.fresh({**content, "reason": reason}, status=503) if reason else answers.fresh(content)


@blueprint.get("/health/live")
@operation("Whether this process answers", gives=schemas.Probe)
def live() -> Response:
    return answers.fresh({"status": "alive"})


@blueprint.get("/health/ready")
@operation("Whether this worker can recommend", gives=schemas.Readiness, errors=(503,))
def ready() -> Response:
    return answers.fresh({"status": "ready", "model_version": serving().recommender.stats.model_version})


@blueprint.get("/metrics")
@operation("All metrics, for Prometheus", query=questions.MetricsQuery, media_types=(TEXT,))
def metrics(asked: questions.MetricsQuery) -> Response:
    text, content_type = serving().metrics.generate_metrics(request.headers.get("Accept"), list(asked.names))
    response = Response(text, content_type=content_type)
    if request.accept_encodings["gzip"]:
        response.set_data(gzip.compress(text, _GZIP_LEVEL))
        response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept, Accept-Encoding"
    return response


@blueprint.get("/monitoring/summary")
@operation("The most important metrics, for people", gives=schemas.MonitoringSummary)
def summary() -> Response:
    snapshot = serving().metrics.snapshot()
    hits = snapshot.value("recommendation_cache_hits_total")
    looked_up = hits + snapshot.value("recommendation_cache_misses_total")
    return answers.fresh(
        {
            "model_status": {
                "loaded": bool(snapshot.value("recommendation_model_loaded")),
                "total_movies": int(snapshot.value("recommendation_model_total_movies")),
                "vocabulary_size": int(snapshot.value("recommendation_model_vocabulary_size")),
            },
            "cache_metrics": {
                "hits": int(hits),
                "misses": int(looked_up - hits),
                "hit_rate": round(hits / looked_up, 4) if looked_up else 0.0,
                "current_size": int(snapshot.value("recommendation_cache_size")),
            },
            "request_metrics": {
                "recommendations_generated": int(snapshot.total("recommendations_generated_total", status="success")),
                "search_queries": int(snapshot.total("movie_search_queries_total")),
                "model_errors": int(snapshot.total("recommendation_model_errors_total")),
            },
        }
    )


@blueprint.get("/model/stats")
@operation("The model in use", gives=schemas.ModelStatsAnswer, errors=(503,))
def model_stats() -> Response:
    stats = serving().recommender.stats
    snapshot = serving().metrics.snapshot()
    return answers.fresh(
        {
            "total_movies": stats.total_movies,
            "vocabulary_size": stats.vocabulary_size,
            "matrix_shape": list(stats.matrix_shape),
            "model_loaded": True,
            "cache_size": int(snapshot.value("recommendation_cache_size")),
            "model_version": stats.model_version,
            "built_at": stats.built_at,
            "source": stats.source,
        }
    )


@blueprint.get("/model/card")
@operation(
    "What the model is",
    query=questions.ModelCardQuery,
    gives=schemas.ModelCard,
    errors=(503,),
    media_types=(JSON, TEXT),
)
def model_card(asked: questions.ModelCardQuery) -> Response:
    here = serving().recommender
    preferred = request.accept_mimetypes.best_match((JSON, TEXT), default=JSON)
    if asked.format == "text" or (asked.format is None and preferred == TEXT):
        response = Response(here.card_as_text(), content_type="text/plain; charset=utf-8")
        response.headers["Cache-Control"] = "no-store"
    else:
        stats = here.stats
        response = answers.fresh({"model_version": stats.model_version, "built_at": stats.built_at, "card": here.card})
    response.headers["Vary"] = "Accept"
    return response


@blueprint.delete("/cache")
@operation("Empty the caches of all workers", gives=schemas.Message)
def clear_cache() -> Response:
    serving().cache_generation.advance()
    return answers.fresh({"message": "Cache cleared successfully"})
