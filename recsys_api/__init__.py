"""Content-based movie recommendations over HTTP."""
from recsys_api.version import __version__

__all__ = ["__version__"]
