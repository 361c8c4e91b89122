"""Which movies exist."""
from recsys_api.catalog.catalog import Catalog
from recsys_api.catalog.facets import EVERYTHING, Facets, Filters
from recsys_api.catalog.movie import Movie

__all__ = ["EVERYTHING", "Catalog", "Facets", "Filters", "Movie"]
