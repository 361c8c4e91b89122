"""What similarity is measured to: one movie, or several movies and words, liked and unliked, as one query."""
from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recsys_api.model.kernel import WEIGHT_ONE
from recsys_api.model.store import Model
from recsys_api.model.vocabulary import Query

UNLIKED = 0.5
"""How much the mean similarity to the unliked movies takes from the mean similarity to the liked ones."""


class Seeds(NamedTuple):
    """Where recommendations start from; hashable, a part of the cache's key."""

    likes: tuple[int, ...] = ()
    """Rows."""
    unlikes: tuple[int, ...] = ()
    """Rows."""
    text: str = ""
    """Words that count as one more liked movie."""


def query(model: Model, seeds: Seeds) -> Query:
    """`seeds` as one query: similarity to it is the mean over the liked, less UNLIKED times the mean over the unliked.

    The means are taken of the features, so that every shared term has its exact part in the similarity. A query
    without features is like nothing.
    """
    if len(seeds.likes) == 1 and not seeds.unlikes and not seeds.text:
        return Query(*model.index.features_of(seeds.likes[0]), 1.0)
    parts = [Query(*model.index.features_of(row), 1 / _liked(seeds)) for row in seeds.likes]
    parts += [Query(*model.index.features_of(row), -UNLIKED / len(seeds.unlikes)) for row in seeds.unlikes]
    if seeds.text:
        words = model.vocabulary.understood(seeds.text)
        parts.append(words._replace(scale=words.scale / _liked(seeds)))
    features, places = np.unique(np.concatenate([part.features for part in parts]), return_inverse=True)
    scaled = np.concatenate([part.weights * (part.scale / WEIGHT_ONE) for part in parts])
    weights = np.bincount(places, weights=scaled, minlength=features.size)
    scale = max(1.0, float(np.linalg.norm(weights)))  # the kernel takes norms of at most 1
    return Query(features.astype(np.int32), np.trunc(weights / scale * WEIGHT_ONE).astype(np.int32), scale)


def _liked(seeds: Seeds) -> int:
    return len(seeds.likes) + bool(seeds.text)
