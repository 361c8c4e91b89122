"""Movies like a movie."""
from __future__ import annotations

from flask import Blueprint, Response

from recsys_api.api import answers, questions, schemas
from recsys_api.api.accounts import recommending
from recsys_api.api.operations import operation
from recsys_api.serving import serving

blueprint = Blueprint("recommendations", __name__, url_prefix="/recommendations")


@blueprint.get("/<int:movie_id>")
@operation(
    "Movies like a movie", query=questions.RecommendationsQuery, gives=schemas.Recommendations, errors=(404, 503)
)
def by_id(movie_id: int, asked: questions.RecommendationsQuery) -> Response:
    return _recommend(asked, movie_id)


@blueprint.get("")
@operation(
    "Movies like a movie by its title, like several movies, or about something",
    query=questions.SeedsQuery, gives=schemas.Recommendations, errors=(404, 409, 503),
)  # fmt: skip
def by_seeds(asked: questions.SeedsQuery) -> Response:
    return _recommend(asked, title=asked.title, year=asked.year)


@blueprint.post("")
@operation(
    "Movies like a movie, by its number or title, like several movies, or about something",
    body=questions.RecommendationsBody, gives=schemas.Recommendations, errors=(404, 409, 503),
)  # fmt: skip
def by_body(asked: questions.RecommendationsBody) -> Response:
    return _recommend(asked, asked.movie_id, title=asked.title, year=asked.year)


@blueprint.post("/batch")
@operation("Movies like each of several", body=questions.BatchBody, gives=schemas.BatchRecommendations, errors=(503,))
def batch(asked: questions.BatchBody) -> Response:
    recommender = serving().recommender
    with recommending(asked.top_k) as account:
        found, unknown = recommender.recommend_many(
            asked.movie_ids, top_k=asked.top_k, min_similarity=asked.min_similarity
        )
        account.found()
        for answer in found.values():
            account.gave(answer, recommender.catalog)
        account.missed(len(unknown))
    return answers.from_model(
        {
            "results": {
                str(movie_id): answers.scored_movies(recommender.catalog, answer)
                for movie_id, answer in found.items()
            },
            "errors": {str(movie_id): str(error) for movie_id, error in unknown.items()},
            **answers.timed(),
            "model_version": recommender.stats.model_version,
        }
    )


def _recommend(
    asked: questions.RecommendationsQuery,
    movie_id: int | None = None,
    *,
    title: str | None = None,
    year: int | None = None,
) -> Response:
    recommender = serving().recommender
    with recommending(asked.top_k) as account:
        movie_ids = [] if movie_id is None else [movie_id]
        if title is not None:
            movie_ids.append(recommender.movie_titled(title, year=year or 0))
        movie_ids += asked.like
        answer = recommender.recommend(
            *movie_ids,
            unlike=asked.unlike,
            text=asked.text or "",
            top_k=asked.top_k,
            min_similarity=asked.min_similarity,
            exclude_same_year=asked.exclude_same_year,
            mood=asked.mood,
            filters=asked.filters,
            diversity=asked.diversity,
            explain=asked.explain,
        )
        account.found()
        account.gave(answer, recommender.catalog)
    content = {
        "movie_id": movie_ids[0] if movie_ids else None,
        "recommendations": answers.scored_movies(recommender.catalog, answer),
        **answers.timed(),
        "model_version": recommender.stats.model_version,
    }
    return answers.from_model(content | answers.told_where_asked(asked, answer))
