"""Content-based movie recommendations over HTTP."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recsys_api.version import __version__

if TYPE_CHECKING:
    from recsys_api.app import create_app

__all__ = ["__version__", "create_app"]


def __getattr__(name: str) -> Any:
    # Not at import: it brings prometheus_client, which decides as it is imported whether it counts in shared files, and
    # config/gunicorn.conf.py needs this package's settings to say where those are.
    if name == "create_app":
        from recsys_api.app import create_app  # noqa: PLC0415

        return create_app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
