"""Movies by title or by what happens in them."""
from __future__ import annotations

from flask import Blueprint, Response

from recsys_api.api import answers, schemas
from recsys_api.api.accounts import searching
from recsys_api.api.operations import operation
from recsys_api.serving import serving

blueprint = Blueprint("search", __name__, url_prefix="/search")


@blueprint.get("")
@operation("Search titles and content", query=schemas.SearchQuery, gives=schemas.SearchResults, errors=(503,))
def by_query(asked: schemas.SearchQuery) -> Response:
    return _search(asked)


@blueprint.post("")
@operation("Search titles and content", body=schemas.SearchQuery, gives=schemas.SearchResults, errors=(503,))
def by_body(asked: schemas.SearchQuery) -> Response:
    return _search(asked)


def _search(asked: schemas.SearchQuery) -> Response:
    recommender = serving().recommender
    with searching() as account:
        answer = recommender.search(asked.query, top_k=asked.top_k, filters=asked.filters)
    account.gave(answer)
    return answers.from_model(
        {
            "query": asked.query,
            "results": answers.scored_movies(recommender.catalog, answer),
            **answers.timed(),
            **answers.matched(answer),
        }
    )
