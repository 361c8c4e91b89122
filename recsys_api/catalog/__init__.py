"""Which movies exist."""
from recsys_api.catalog.catalog import Catalog
from recsys_api.catalog.movie import Movie

__all__ = ["Catalog", "Movie"]
