"""From movies to a model, step by step. Build time only: it imports scikit-learn."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol

from recsys_api.catalog import Catalog, Movie
from recsys_api.catalog.widths import narrow
from recsys_api.errors import CatalogError
from recsys_api.model import features, kin, mood
from recsys_api.model.card import describe
from recsys_api.model.fields import MAX_FEATURES
from recsys_api.model.kernel import Int32s, Scores, SimilarityIndex, Table, TopK
from recsys_api.model.neighbours import neighbours as nearest
from recsys_api.model.store import Model
from recsys_api.model.titles import TitleIndex
from recsys_api.model.vocabulary import Vocabulary
from recsys_api.model.weights import SHIPPED, Weights

NEIGHBOURS = 50
"""How many of each movie's nearest are kept in the table: as many as a list may have."""

Progress = Callable[[str, int, int], None]
"""Told a step's name, how much of it is done and how much there is."""


class Ranking(Protocol):
    """What finds the table of neighbours: `neighbours.neighbours`, or the same on other machines."""

    def __call__(
        self, index: SimilarityIndex, k: int, *, factors: Scores, copies: Int32s, progress: Callable[[int], None]
    ) -> TopK:
        """Every row's best `k` other rows; see neighbours.neighbours."""


def build(
    movies: Iterable[Movie],
    *,
    source: str,
    max_features: int = MAX_FEATURES,
    neighbours: int = NEIGHBOURS,
    weights: Weights = SHIPPED,
    rank: Ranking = nearest,
    progress: Progress = lambda step, done, total: None,
) -> Model:
    """The model of `movies`, in memory. Raises CatalogError for fewer than two movies or a movie_id given twice."""
    progress("catalog", 0, 1)
    catalog = Catalog.from_movies(movies)
    if len(catalog) < 2:
        raise CatalogError("A model needs at least two movies; look at the report of rows dropped.")
    progress("features", 0, len(catalog))
    names: list[kin.Names] = []
    fitted = features.fit(
        _noting(names, catalog),
        max_features=max_features,
        weights=weights,
        progress=lambda counted: progress("features", counted, len(catalog)),
    )
    with ThreadPoolExecutor(1) as beside:  # plain Python, while compiled code does the rest
        titles = beside.submit(
            TitleIndex.build,
            [(each.title, each.original_title) for each in names],
            years=catalog.years,
            popular_rows=catalog.popular_rows,
        )
        franchises = beside.submit(kin.franchises, names)
        index = SimilarityIndex.from_matrix(fitted.matrix)
        multipliers = mood.multipliers(catalog.votes, catalog.ratings)
        copies = kin.copies(names, catalog.years, index, text=features.columns_of("overview", fitted.terms))
        ranked = 0

        def on_block(rows_done: int) -> None:
            nonlocal ranked
            ranked += rows_done
            progress("neighbours", ranked, len(catalog))

        progress("neighbours", 0, len(catalog))
        factors = multipliers[mood.MOODS.index(mood.DEFAULT)]
        table = rank(index, neighbours, factors=factors, copies=copies, progress=on_block)
    settings = {"max_features": max_features, "neighbours": neighbours, **fitted.weights.described()}
    model = Model(
        catalog=catalog,
        index=index,
        neighbours=Table(narrow(table.rows, len(catalog)), table.scores),
        multipliers=multipliers,
        copies=copies,
        franchises=franchises.result(),
        titles=titles.result(),
        terms=fitted.terms,
        vocabulary=Vocabulary.from_terms(fitted.terms, fitted.idf, settings["field_weights"]),
        source=source,
        settings=settings,
        card={},
    )
    return replace(model, card=describe(model))


def _noting(names: list[kin.Names], movies: Iterable[Movie]) -> Iterator[Movie]:
    """`movies`, the names of each put down as it passes: to read a movie once more takes longer."""
    for movie in movies:
        names.append(kin.Names.of(movie))
        yield movie
