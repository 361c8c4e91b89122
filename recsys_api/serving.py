"""What one running application holds, in `app.extensions`: settings, metrics, and the model or why there is none."""
from __future__ import annotations

from dataclasses import dataclass

from flask import current_app

from recsys_api.cache import SharedGeneration
from recsys_api.errors import ModelUnavailable
from recsys_api.metrics import Metrics
from recsys_api.model.recommender import Recommender
from recsys_api.settings import Settings

EXTENSION = "recsys_api"


@dataclass(frozen=True, slots=True)
class Serving:
    """Lives as long as its application."""

    settings: Settings
    metrics: Metrics
    model: Recommender | ModelUnavailable
    cache_generation: SharedGeneration
    """Raised to empty the similarity caches of all workers."""

    @property
    def recommender(self) -> Recommender:
        """The model's door; raises ModelUnavailable while there is no usable model."""
        if isinstance(self.model, ModelUnavailable):
            raise ModelUnavailable(*self.model.args)
        return self.model


def serving() -> Serving:
    """What the application that answers the current request holds."""
    held: Serving = current_app._get_current_object().extensions[EXTENSION]  # type: ignore[attr-defined]  # the proxy's door
    return held
