"""What answers look like, for the OpenAPI description."""
from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from recsys_api.model.mood import Mood


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
