"""Answers of a live Prometheus: ranges of values, values of one moment, and the values of a label."""
from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import requests

_TIMEOUT_SECONDS = 30.0


class Unreachable(Exception):
    """No Prometheus answers there."""


class Refused(Exception):
    """Prometheus does not accept a query."""


@dataclass(frozen=True)
class Course:
    """One series over time, with NaN where it has no value."""

    labels: Mapping[str, str]
    values: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Prometheus:
    """A server, and the part of time that is on show."""

    url: str
    start: float
    end: float

    def step(self, points: int) -> int:
        """Seconds between the points of a graph that has room for `points`: a round number, as Grafana takes it."""
        wanted = (self.end - self.start) / max(points, 1)
        return next((step for step in (10, 15, 20, 30, 60, 120, 300, 600, 1800, 3600) if step >= wanted), 86_400)

    def over_time(self, expression: str, *, step: int) -> tuple[npt.NDArray[np.float64], list[Course]]:
        """Times in seconds, and what the expression gives at them."""
        first = math.ceil(self.start / step) * step
        times = np.arange(first, self.end + 1e-6, step)
        if not len(times):
            return times, []
        found = self._ask("query_range", query=expression, start=times[0], end=times[-1], step=step)["result"]
        courses = []
        for series in found:
            values = np.full(len(times), np.nan)
            for moment, value in series["values"]:
                values[round((float(moment) - times[0]) / step)] = float(value)
            courses.append(Course(series["metric"], values))
        return times, courses

    def now(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Labels and values at the end of the time on show."""
        answer = self._ask("query", query=expression, time=self.end)
        if answer["resultType"] == "scalar":
            return [({}, float(answer["result"][1]))]
        return [(series["metric"], float(series["value"][1])) for series in answer["result"]]

    def check(self) -> None:
        """Raises Unreachable if no Prometheus answers."""
        self._ask("query", query="vector(1)")

    def _ask(self, what: str, **parameters: str | float) -> Any:
        remedy = "start it, or give its address with --prometheus."
        try:
            answer = requests.post(f"{self.url}/api/v1/{what}", data=parameters, timeout=_TIMEOUT_SECONDS)
        except requests.RequestException as error:
            raise Unreachable(f"Prometheus cannot be reached at {self.url}; {remedy}") from error
        try:
            body = answer.json()
            status = body["status"]
        except (ValueError, TypeError, KeyError) as error:
            raise Unreachable(f"what answers at {self.url} is not Prometheus; {remedy}") from error
        if status == "error":
            raise Refused(f"Prometheus refused {parameters['query']!r}: {body.get('error')}")
        if status != "success":
            raise Unreachable(f"what answers at {self.url} is not Prometheus; {remedy}")
        return body["data"]
