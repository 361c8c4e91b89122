"""Every error the product raises on purpose, and the one table that turns an exception into problem+json.

    RecsysError
    ├── CatalogError        a source of movies cannot be read
    ├── ArtifactError       a model on disk is missing, truncated, altered or foreign
    ├── SettingsError       a setting has a value the service cannot run with
    ├── ModelUnavailable    the service runs, but has no model to answer from
    ├── MovieNotFound       no movie has this movie_id
    ├── TitleNotFound       no movie has a title like this
    └── RequestError        what the client sent cannot be understood
        ├── UnreadableBody      not JSON, although it says it is
        ├── UnsupportedMedia    does not say that it is JSON
        ├── InvalidRequest      understood, but a value is wrong
        ├── UnknownValue        a filter names what no movie of the catalogue has
        └── AmbiguousTitle      a title that several movies fit
"""
from __future__ import annotations

from typing import NamedTuple, TypedDict


class FieldError(TypedDict):
    """One wrong value in a request: where it is, what is wrong with it, and pydantic's word for that."""

    loc: list[str | int]
    msg: str
    type: str


class RecsysError(Exception):
    """Base of all errors whose text is meant for the person who can mend them."""


class CatalogError(RecsysError):
    """A source of movies cannot be read; the text names the file and the remedy."""


class ArtifactError(RecsysError):
    """A model on disk cannot be used; the text names the file, the reason and the remedy."""


class SettingsError(RecsysError):
    """A setting is wrong; the text names the variable, its value and what it may be."""


class ModelUnavailable(RecsysError):
    """There is no usable model to answer from; the text says why."""


class MovieNotFound(RecsysError, LookupError):
    """No movie of the catalogue has this `movie_id`."""

    def __init__(self, movie_id: int) -> None:
        shown = f"the movie_id {movie_id}" if abs(movie_id) < 10**20 else "a movie_id of so many digits"
        super().__init__(f"No movie has {shown}; find one with /search?query=<title>.")
        self.movie_id = movie_id


class TitleNotFound(RecsysError, LookupError):
    """No movie of the catalogue has a title like `title`."""

    def __init__(self, title: str) -> None:
        super().__init__(f"No movie has a title like {title!r}; /search finds movies by their content, too.")


class RequestError(RecsysError):
    """What the client sent cannot be understood."""


class UnreadableBody(RequestError):
    """The body says that it is JSON and is not."""


class UnsupportedMedia(RequestError):
    """The body does not say that it is JSON."""


class InvalidRequest(RequestError):
    """A value is missing, out of range, of the wrong type or of an unknown name.

    `errors` holds one entry for each, as the response will show it.
    """

    def __init__(self, errors: list[FieldError]) -> None:
        first = errors[0]
        where = ".".join(str(part) for part in first["loc"])
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        super().__init__(f"{where}: {first['msg']}{more}.")
        self.errors = errors


class UnknownValue(RequestError):
    """A filter names a genre or a language that no movie of the catalogue has; `nearest` are those it has."""

    def __init__(self, field: str, value: str, nearest: list[str]) -> None:
        has = f"the nearest that it has are {', '.join(nearest)}" if nearest else "it has none at all"
        super().__init__(f"no movie of the catalogue has {value!r}; {has}")
        self.field = field


class Candidate(TypedDict):
    """A movie that may have been meant."""

    movie_id: int
    title: str
    release_date: str
    directors: list[str]


class AmbiguousTitle(RequestError):
    """Several movies fit a title about equally well; `candidates` has them, the likeliest first."""

    def __init__(self, title: str, candidates: list[Candidate]) -> None:
        super().__init__(
            f"Several movies fit the title {title!r} about equally well; add a year, or ask with the movie_id of a "
            "candidate."
        )
        self.candidates = candidates


class Problem(NamedTuple):
    """How an error looks to a client (RFC 9457)."""

    status: int
    slug: str
    title: str


_WRONG_VALUE = Problem(422, "invalid-request", "A value in the request is wrong")

PROBLEMS: dict[type[RecsysError], Problem] = {
    UnreadableBody: Problem(400, "unreadable-body", "The body is not readable JSON"),
    MovieNotFound: Problem(404, "movie-not-found", "No such movie"),
    TitleNotFound: Problem(404, "title-not-found", "No such title"),
    AmbiguousTitle: Problem(409, "ambiguous-title", "Several movies fit the title"),
    UnsupportedMedia: Problem(415, "unsupported-media-type", "The body must be JSON"),
    InvalidRequest: _WRONG_VALUE,
    UnknownValue: _WRONG_VALUE,
    ModelUnavailable: Problem(503, "model-unavailable", "There is no usable model"),
}
"""The table from an exception of ours to what the client sees. What is not in it is a 500."""

HTTP_PROBLEMS: dict[int, tuple[Problem, str]] = {
    problem.status: (problem, detail)
    for problem, detail in (
        (Problem(400, "bad-request", "The request is malformed"), "The request cannot be understood; see /docs."),
        (Problem(404, "path-not-found", "No such path"), "Nothing is served at this path; /docs lists what is."),
        (
            Problem(405, "method-not-allowed", "The method is not allowed here"),
            "This path does not take this method; the Allow header lists those it takes.",
        ),
        (
            Problem(413, "body-too-large", "The body is too large"),
            "A body may have at most 64 KiB; ask for less at once.",
        ),
        (
            Problem(414, "address-too-long", "The address is too long"),
            "A line with an address may have at most 4,094 bytes; send what is long as a JSON body.",
        ),
        (
            Problem(431, "headers-too-large", "The headers are too large"),
            "There may be at most 100 headers of 8,190 bytes each; send fewer or shorter ones.",
        ),
        (
            Problem(500, "internal-error", "Something went wrong on our side"),
            "The request failed for a reason that is not yours; try again, and report the request_id if it lasts.",
        ),
    )
}
"""The same for what the framework raises by its HTTP status, with the sentence that the client gets."""
