"""What a model is, for people: of what it was made, what it knows, whether it passes its own checks."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_api.model import mood
from recsys_api.model.features import columns_of

if TYPE_CHECKING:
    from recsys_api.model.store import Model

_CHECKED = 50


def describe(model: Model) -> dict[str, Any]:
    """The card of `model`: data, sizes, how many movies have each field, weights, moods and self-checks.

    The command that builds adds what it read and, if ratings were given, what it measured.
    """
    movies = len(model.catalog)
    fields = {}
    for name, terms in model.terms.items():
        columns = columns_of(name, model.terms)
        postings = slice(*model.index.offsets[[columns.start, columns.stop]].tolist())
        with_it = np.zeros(movies, dtype=np.bool_)
        with_it[model.index.rows[postings]] = True
        fields[name] = {
            "weight": round(model.settings["field_weights"][name], 4),
            "terms": len(terms),
            "movies_with_it": round(int(with_it.sum()) / movies, 4),
        }
    return {
        "data": {"source": model.source, "movies": movies, "movies_with_votes": int((model.catalog.votes > 0).sum())},
        "sizes": {"features": len(model.vocabulary), "neighbours": int(model.neighbours.rows.shape[1])},
        "fields": fields,
        "moods": dict(mood.STRENGTHS) if model.multipliers.size else {},
        "self_checks": _self_checks(model),
    }


def _self_checks(model: Model) -> dict[str, bool]:
    """Whether what is stored is what would be worked out anew, for rows spread over the catalogue."""
    rows = np.unique(np.linspace(0, len(model.catalog) - 1, _CHECKED).astype(int)).tolist()
    factors = model.multipliers[mood.MOODS.index(mood.DEFAULT)]
    table, width = model.neighbours, model.neighbours.rows.shape[1]
    same = True
    for row in rows:
        query = model.index.features_of(row)
        live = model.index.top_k(*query, width, excluded=row, factors=factors, copies=model.copies)
        stored = table.rows[row] < len(model.catalog)
        same &= np.array_equal(live.rows, table.rows[row][stored])
        same &= np.array_equal(live.scores, table.scores[row][stored])
    return {
        "neighbours_equal_live_ranking": bool(same),
        "no_movie_is_its_own_neighbour": not bool((table.rows == np.arange(len(model.catalog))[:, None]).any()),
        "similarities_within_0_and_1": bool(((table.scores >= 0) & (table.scores <= 1)).all()),
    }
