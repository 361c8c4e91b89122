"""What each call takes and gives, declared at its view: the view gets it parsed, the OpenAPI description repeats it."""
from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from flask import Response

from recsys_api.api.application import BEGUN, environment
from recsys_api.api.parsing import from_body, from_query
from recsys_api.api.questions import Asked, NothingAsked

JSON, TEXT = "application/json", "text/plain"


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of the API."""

    summary: str
    gives: Any
    """The type of a successful answer, None where it is no JSON."""
    query: type[Asked]
    body: type[Asked] | None
    errors: tuple[int, ...]
    """Statuses of the errors that it may answer with."""
    media_types: tuple[str, ...] = (JSON,)
    """What a successful answer may be, the first where the client has no wish."""

    @property
    def statuses(self) -> tuple[int, ...]:
        """Every status that the call can answer with."""
        return tuple(sorted({200, 500, *self.errors}))


View = Callable[..., Response]


def operation(
    summary: str,
    *,
    gives: Any = None,
    query: type[Asked] = NothingAsked,
    body: type[Asked] | None = None,
    errors: tuple[int, ...] = (),
    media_types: tuple[str, ...] = (JSON,),
) -> Callable[[View], View]:
    """Declare a view's call. The view gets what was asked as its last argument, if it can be asked anything."""
    always = (400, 413, 415) if body is not None else ()
    declared = Operation(summary, gives, query, body, tuple(sorted({422, *always, *errors})), media_types)

    def declare(view: View) -> View:
        @wraps(view)
        def answer(**path: Any) -> Response:
            environment()[BEGUN] = time.perf_counter_ns()
            asked = from_query(query)
            if body is not None:
                return view(**path, asked=from_body(body))
            return view(**path) if query is NothingAsked else view(**path, asked=asked)

        answer.operation = declared  # type: ignore[attr-defined]  # read by the OpenAPI description
        return answer

    return declare
