"""How much each field counts: what scripts/learn_weights.py learned and weights.toml holds."""
from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("weights.toml")


@dataclass(frozen=True, slots=True)
class Weight:
    """What one field is worth."""

    weight: float
    """Share of the similarity; the weights of all fields add up to 1."""
    typical: float = 0.0
    """The field's share of what movies have in common with their nearest: what a movie without it lacks."""
    thin: float = 0.0
    """How many of its rarest terms bring a movie half of the field's weight; 0 where one term brings all."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What all fields are worth."""

    fields: Mapping[str, Weight]
    """By the name of the field."""
    compensation: float
    """How far a movie without a field is made up for it: from 0, not at all, to 1."""
    damping: float
    """How far a movie that is a little like everything is held back: 0 not at all."""
    stand_in: float = 0.0
    """How much of the keywords' weight the overview gets in a catalogue without keywords: 0 nothing, 1 all."""

    @classmethod
    def read(cls, path: Path) -> Weights:
        """The weights in the TOML file `path`."""
        told = tomllib.loads(path.read_text("utf-8"))
        compensation, damping, stand_in = (float(told.pop(name)) for name in ("compensation", "damping", "stand_in"))
        return cls({name: Weight(**values) for name, values in told.items()}, compensation, damping, stand_in)

    def for_catalogue(self, *, lacking: float) -> Weights:
        """The weights where a share `lacking` of the movies with an overview have no keywords, from 0 to 1.

        What a movie is about is told by its keywords first. Where they are missing its overview tells it, and in most
        words: it stands in for them, by the same rule that a movie of which little is told counts for less.
        """
        overview, keywords, moved = self.fields["overview"], self.fields["keywords"], self.stand_in * lacking
        told = replace(
            overview,
            weight=overview.weight + moved * keywords.weight,
            typical=overview.typical + moved * keywords.typical,
            thin=overview.thin + lacking * keywords.thin if moved else overview.thin,
        )
        left = replace(keywords, weight=(1 - moved) * keywords.weight, typical=(1 - moved) * keywords.typical)
        return replace(self, fields={**self.fields, "overview": told, "keywords": left})

    def described(self) -> dict[str, Any]:
        """What a model's settings say about the weights that it was built with."""
        return {
            "field_weights": {name: field.weight for name, field in self.fields.items()},
            "field_typical": {name: field.typical for name, field in self.fields.items()},
            "field_thin": {name: field.thin for name, field in self.fields.items()},
            "compensation": self.compensation,
            "damping": self.damping,
            "stand_in": self.stand_in,
        }


SHIPPED = Weights.read(FILE)
"""The weights that come with the package."""
