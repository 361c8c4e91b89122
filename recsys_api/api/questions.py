"""What clients send; the same models parse it and make the OpenAPI description."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from recsys_api.catalog import EVERYTHING, Filters
from recsys_api.model.mood import DEFAULT, Mood
from recsys_api.model.variety import MOST_OF_A_SERIES

_FLAGS = frozenset({"true", "false", "1", "0"})


def _flag(value: object) -> object:
    if isinstance(value, str) and value not in _FLAGS:
        raise ValueError("should be true, false, 1 or 0")
    return value


class Asked(BaseModel):
    """Base of everything that a client sends: an unknown name is an error, since it would silently do nothing."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, frozen=True, allow_inf_nan=False)


_TopK = Annotated[int, Field(ge=1, le=50, description="How many movies are wanted.", examples=[5])]
_MinSimilarity = Annotated[
    float, Field(ge=0, le=1, description="Leave out movies that are less similar than this.", examples=[0.05])
]
_MovieIds = Annotated[Sequence[int], Field(max_length=20)]

_Mood = Annotated[
    Mood,
    Field(
        description="How much being well known counts: balanced, popular, or deep_cuts for what few have seen. It "
        "changes the order and never a similarity. Where nobody voted on the catalogue's movies it has no effect, and "
        "mood_applied is false.",
        examples=["popular"],
    ),
]


_Genres = Annotated[Sequence[Annotated[str, Field(min_length=1, max_length=100)]], Field(max_length=20)]
_Genre = Annotated[_Genres, Field(description="Only movies that have all of these genres; may be repeated.")]
_Language = Annotated[
    str | None,
    Field(min_length=1, max_length=100, description="Only movies of this original language, an ISO 639-1 code."),
]
_Year = Annotated[int, Field(ge=1850, le=2150)]


class NothingAsked(Asked):
    """A call that takes no parameters."""


class MetricsQuery(Asked):
    """What `GET /metrics` takes."""

    names: list[str] = Field(
        [],
        alias="name[]",
        description="Only the metrics of this name; may be repeated.",
        examples=["http_requests_total"],
    )


class ModelCardQuery(Asked):
    """What `GET /model/card` takes."""

    format: Literal["json", "text"] | None = Field(
        None, description="As JSON, or as plain text to read; without it as the Accept header has it."
    )


class PopularQuery(Asked):
    """What `GET /movies/popular` takes."""

    top_k: int = Field(20, ge=1, le=100, description="How many movies are wanted.", examples=[5])
    genre: _Genre = ()
    year: _Year | None = Field(None, description="Only movies of this year.")
    language: _Language = None

    @property
    def filters(self) -> Filters:
        """The filters that were asked for."""
        return Filters(
            genre=tuple(self.genre), year_min=self.year or 0, year_max=self.year or 0, language=self.language or ""
        )


class Filtered(Asked):
    """Base of what takes filters. A movie whose year, language or votes are unknown meets no filter on them."""

    genre: _Genre = ()
    exclude_genre: _Genres = Field((), description="Only movies that have none of these genres; may be repeated.")
    year_min: _Year | None = Field(None, description="Only movies of this year or later.")
    year_max: _Year | None = Field(None, description="Only movies of this year or earlier.")
    language: _Language = None
    min_votes: int = Field(0, ge=0, le=2**31 - 1, description="Only movies that at least so many people voted on.")
    min_rating: float = Field(0.0, ge=0, le=10, description="Only movies whose mean vote is at least this.")

    @property
    def filters(self) -> Filters:
        """The filters that were asked for."""
        if self.model_fields_set.isdisjoint(_FILTERS):
            return EVERYTHING
        return Filters(
            tuple(self.genre), tuple(self.exclude_genre), self.year_min or 0, self.year_max or 0, self.language or "",
            self.min_votes, self.min_rating,
        )  # fmt: skip


_FILTERS = frozenset(Filtered.model_fields)


class RandomQuery(Asked):
    """What `GET /movies/random` takes."""

    count: int = Field(10, ge=1, le=50, description="How many movies are wanted.", examples=[3])
    seed: int | None = Field(None, description="The same seed gives the same list.", examples=[7])


class RecommendationsQuery(Filtered):
    """What `GET /recommendations/{movie_id}` takes."""

    top_k: _TopK = 10
    min_similarity: _MinSimilarity = 0.0
    exclude_same_year: Annotated[
        bool,
        BeforeValidator(_flag),
        Field(description="Leave out movies released in the same year as the source.", examples=[True]),
    ] = False
    mood: _Mood = DEFAULT
    explain: Annotated[
        bool,
        BeforeValidator(_flag),
        Field(description="Say of each movie why it is there, with the exact part of every term in its similarity."),
    ] = False
    diversity: float = Field(
        0.0,
        ge=0,
        le=1,
        description="How much the movies of the list should differ from each other, instead of being as near as can "
        f"be; above 0 at most {MOST_OF_A_SERIES} are of one series.",
    )
    like: _MovieIds = Field((), description="More movies to find others like, each as important as the first.")
    unlike: _MovieIds = Field(
        (), description="Movies to keep away from: half of their mean similarity is taken off."
    )
    text: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="What the movies should be about, in a few words; as important as one movie.",
    )


_NOTHING: tuple[object, ...] = (None, (), [])


class _Seeds(RecommendationsQuery):
    _ONE_OF: ClassVar[tuple[str, ...]]

    title: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="A movie by its title, found as a search finds it; where several fit about equally well, the "
        "answer is a 409 with the candidates.",
    )
    year: _Year | None = Field(None, description="The year of the movie with this title.")

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if all(getattr(self, name) in _NOTHING for name in self._ONE_OF):
            raise ValueError(f"one of {', '.join(self._ONE_OF)} is required")
        if self.year and not self.title:
            raise ValueError("year is that of a title; year_min and year_max are the filters")
        return self


class SeedsQuery(_Seeds):
    """What `GET /recommendations` takes: at least one of title, like and text."""

    _ONE_OF = ("title", "like", "text")

    like: _MovieIds = Field(
        (), description="Movies to find others like, each as important as the other.", examples=[["<movie_id>"]]
    )


class RecommendationsBody(_Seeds):
    """What `POST /recommendations` takes: at least one of movie_id, title, like and text."""

    _ONE_OF = ("movie_id", "title", "like", "text")

    movie_id: int | None = Field(None, description="A movie's id, as searches give it.", examples=["<movie_id>"])


class BatchBody(Asked):
    """What `POST /recommendations/batch` takes."""

    movie_ids: list[int] = Field(
        min_length=1, max_length=20, description="The movies to find others for.", examples=[["<movie_id>"]]
    )
    top_k: _TopK = 10
    min_similarity: _MinSimilarity = 0.0


class SearchQuery(Filtered):
    """What `GET` and `POST /search` take."""

    query: str = Field(
        min_length=1,
        max_length=200,
        description="A title, perhaps mistyped or with its year, or words about what happens in it.",
        examples=["seven samurai"],
    )
    top_k: _TopK = 10
