"""The movies of the catalogue."""
from __future__ import annotations

import orjson
from flask import Blueprint, Response

from recsys_api.api import answers, questions, schemas
from recsys_api.api.accounts import listing_popular
from recsys_api.api.operations import operation
from recsys_api.serving import serving

blueprint = Blueprint("movies", __name__, url_prefix="/movies")


@blueprint.get("/<int:movie_id>")
@operation("One movie", gives=schemas.Movie, errors=(404, 503))
def movie(movie_id: int) -> Response:
    catalog = serving().recommender.catalog
    return answers.from_model(orjson.Fragment(catalog.json(catalog.row(movie_id))))


@blueprint.get("/popular")
@operation(
    "The most popular movies, best first", query=questions.PopularQuery, gives=list[schemas.Movie], errors=(503,)
)
def popular(asked: questions.PopularQuery) -> Response:
    recommender = serving().recommender
    with listing_popular():
        rows = recommender.popular(top_k=asked.top_k, filters=asked.filters)
        return answers.from_model(answers.movies(recommender.catalog, rows))


@blueprint.get("/random")
@operation("Some different movies", query=questions.RandomQuery, gives=list[schemas.Movie], errors=(503,))
def some(asked: questions.RandomQuery) -> Response:
    recommender = serving().recommender
    rows = recommender.random(count=asked.count, seed=asked.seed)
    answer = answers.fresh if asked.seed is None else answers.from_model
    return answer(answers.movies(recommender.catalog, rows))
