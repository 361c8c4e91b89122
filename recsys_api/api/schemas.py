"""What requests and answers look like; the same models parse requests and make the OpenAPI description."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

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


class Movie(BaseModel):
    """A movie; a field that the catalogue does not know is empty or zero."""

    movie_id: int
    title: str
    release_date: str = Field(description="YYYY-MM-DD, YYYY where only the year is known, or empty.")
    vote_average: float
    vote_count: int
    genres: list[str]
    overview: str
    original_title: str
    original_language: str = Field(description="ISO 639-1 code.")
    directors: list[str]
    cast: list[str] = Field(description="Leading first, at most ten.")
    keywords: list[str]
    countries: list[str] = Field(description="ISO 3166-1 alpha-2 codes.")
    collection: str = Field(description="The series that the movie belongs to.")
    imdb_id: str = Field(description="IMDb's id, as in tt0114709.")


class ScoredMovie(Movie):
    """A movie with its similarity to what was asked about, or, in a search, its match score."""

    similarity: float = Field(ge=0, le=1)


class TermReason(BaseModel):
    """One thing that a movie has in common with what was asked about."""

    term: str
    contribution: float = Field(description="Its part in the similarity; negative for what only the unliked have.")


class FieldReason(BaseModel):
    """What one field brings."""

    field: str
    contribution: float
    terms: list[TermReason] = Field(description="The greatest first.")


class Explanation(BaseModel):
    """Why a movie is where it is: similarity first, then what mood and diversity make of it."""

    sentence: str = Field(description="The strongest reasons in plain words.")
    fields: list[FieldReason] = Field(description="The greatest first; they add up to the similarity.")
    multiplier: float = Field(description="What the mood makes of the movie's votes; 1 where there are none.")
    score: float = Field(description="Similarity times multiplier: what orders the list where there is no diversity.")
    place_without_diversity: int | None = Field(
        description="Where the movie would be in the list without diversity, from 1; null where none was asked for."
    )


class Recommended(ScoredMovie):
    """A recommended movie."""

    explanation: Explanation | None = Field(None, description="Where it was asked for.")


class Recommendations(BaseModel):
    """Movies like what was asked about."""

    movie_id: int | None = Field(description="The movie that was asked about, the first of several; null for none.")
    recommendations: list[Recommended] = Field(
        description="Best first, ties by movie_id, never the movie itself. Where the catalogue has votes, best is by "
        "similarity times what the mood makes of them."
    )
    request_time: str = Field(description="ISO 8601 with offset.")
    processing_time_ms: float
    model_version: str
    matched: int | None = Field(
        None,
        description="How many movies meet the filters and the least similarity, the source left out. "
        "Told where there were filters or fewer came than asked for.",
    )
    intra_list_diversity: float | None = Field(
        None,
        description="1 less the mean similarity of all pairs of the list, where diversity was asked for.",
    )
    mood: Mood | None = Field(None, description="As asked for.")
    mood_applied: bool | None = Field(None, description="Whether the mood made a difference, where one was asked for.")


class BatchRecommendations(BaseModel):
    """Movies like each of several movies."""

    results: dict[str, list[ScoredMovie]] = Field(description="By movie_id.")
    errors: dict[str, str] = Field(description="By movie_id, why there is no result for it.")
    request_time: str = Field(description="ISO 8601 with offset.")
    processing_time_ms: float
    model_version: str


class SearchResults(BaseModel):
    """Movies that match a query."""

    query: str
    results: list[ScoredMovie] = Field(description="Titles that match first, then movies whose content does.")
    request_time: str = Field(description="ISO 8601 with offset.")
    processing_time_ms: float
    matched: int | None = Field(
        None,
        description="How many movies meet the filters, whether or not they match the query. "
        "Told where there were filters.",
    )


class Welcome(BaseModel):
    """Where to go from here."""

    message: str
    version: str
    docs: str
    health: str
    status: str


class Health(BaseModel):
    """Whether the service can do its work."""

    status: str = Field(description="healthy or unhealthy.")
    model_loaded: bool
    uptime_seconds: float
    total_requests: int = Field(description="Answered by all workers.")
    model_version: str | None
    workers: int = Field(description="Live workers.")
    reason: str | None = Field(None, description="Why it is unhealthy.")


class Probe(BaseModel):
    """A yes or no for a load balancer."""

    status: str


class Readiness(Probe):
    """That a worker can recommend, and from which model."""

    model_version: str


class ModelStatus(BaseModel):
    """The model in short."""

    loaded: bool
    total_movies: int
    vocabulary_size: int


class CacheMetrics(BaseModel):
    """The caches of all workers."""

    hits: int
    misses: int
    hit_rate: float
    current_size: int


class RequestMetrics(BaseModel):
    """What all workers have done."""

    recommendations_generated: int
    search_queries: int
    model_errors: int


class MonitoringSummary(BaseModel):
    """The most important metrics, for people."""

    model_status: ModelStatus
    cache_metrics: CacheMetrics
    request_metrics: RequestMetrics


class ModelStatsAnswer(BaseModel):
    """The model in full."""

    total_movies: int
    vocabulary_size: int
    matrix_shape: list[int] = Field(description="Rows and columns.")
    model_loaded: bool
    cache_size: int = Field(description="Entries in the caches of all workers.")
    model_version: str
    built_at: str
    source: str


class ModelCard(BaseModel):
    """What the model is: of what it was made, what its fields count, its self-checks, and what was measured."""

    model_version: str
    built_at: str
    card: dict[str, Any] = Field(
        description="By subject: data, sizes, fields, moods, self_checks, and read and evaluation where they are known."
    )


class Message(BaseModel):
    """A sentence."""

    message: str


class ProblemError(BaseModel):
    """One wrong value."""

    loc: list[str | int] = Field(description="Where it is: query, body or path, then the name.")
    msg: str
    type: str


class Candidate(BaseModel):
    """A movie that may have been meant."""

    movie_id: int
    title: str
    release_date: str
    directors: list[str]


class ProblemAnswer(BaseModel):
    """Every error looks like this (RFC 9457)."""

    type: str = Field(description="Where this kind of error is explained.")
    title: str
    status: int
    detail: str = Field(description="What was wrong, and what to do.")
    request_id: str
    errors: list[ProblemError] | None = Field(None, description="Each wrong value, of a 422.")
    candidates: list[Candidate] | None = Field(None, description="The movies that fit a title, of a 409.")
