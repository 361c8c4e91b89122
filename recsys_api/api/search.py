"""Movies by title or by what happens in them."""
from __future__ import annotations

from flask import Blueprint, Response

from recsys_api.api import answers, questions, schemas
from recsys_api.api.accounts import searching
from recsys_api.api.operations import operation
from recsys_api.serving import serving

blueprint = Blueprint("search", __name__, url_prefix="/search")


@blueprint.get("")
@operation("Search titles and content", query=questions.SearchQuery, gives=schemas.SearchResults, errors=(503,))
def by_query(asked: questions.SearchQuery) -> Response:
    return _search(asked)


@blueprint.post("")
@operation("Search titles and content", body=questions.SearchQuery, gives=schemas.SearchResults, errors=(503,))
def by_body(asked: questions.SearchQuery) -> Response:
    return _search(asked)


def _search(asked: questions.SearchQuery) -> Response:
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
