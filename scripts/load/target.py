"""The service under test, as the tester itself asks it: whether it is there, what it knows, what it has counted."""
from __future__ import annotations

from collections import Counter
from typing import Any

import orjson
import requests

from scripts.load.wire import OWN_LIMIT, Exchange, exchange, open_session, printable
from scripts.scraped import Samples, answers_counted, samples_of

METRICS = "GET /metrics"


class Unreachable(Exception):
    """The service cannot be tested; the text says why, and what to do."""


class Target:
    """Asks the service on the tester's own behalf, and keeps an account of it."""

    def __init__(self, url: str, *, headers: dict[str, str], timeout: float, ca_file: str = "") -> None:
        self.url = url
        self.headers = headers
        self._timeout = timeout
        self._session = open_session(headers, ca_file=ca_file)
        self.answers: Counter[tuple[str, int]] = Counter()
        """The answers to the tester's own scrapes, by endpoint and status."""
        self.unanswered: Counter[str] = Counter()

    def check(self) -> dict[str, Any]:
        """What the service says of its health; raises Unreachable if it is not there, not healthy, or another."""
        became = self._ask("/health")
        health = self._json(became, "/health")
        if not isinstance(health, dict) or "model_loaded" not in health:
            raise Unreachable(
                f"{self.url} is not this service: its /health says nothing of a model. "
                "Name the address of the movie recommendation service: --url http://localhost:8000"
            )
        if health.get("status") != "healthy":
            why = printable(str(health.get("reason") or health.get("status")))
            raise Unreachable(f"the service at {self.url} is not healthy: {why}. Mend that first; see its /health.")
        if became.status != 200:
            raise Unreachable(f"{self.url}/health was answered with {became.status}; it should be 200.")
        return health

    def is_there(self) -> bool:
        """Whether anything answers, be it too late."""
        return self._ask("/health", heeded=False).error in {"", "timeout"}

    def ask(self, path: str) -> Any:
        """The JSON of an answer; raises Unreachable where it is none, or not 200."""
        became = self._ask(path)
        content = self._json(became, path)
        if became.status != 200:
            raise Unreachable(f"{self.url}{path} was answered with {became.status}: {_said(became)}")
        return content

    def movies(self, path: str) -> list[dict[str, Any]]:
        """A list of movies; raises Unreachable where the answer is none."""
        found = self.ask(path)
        if not isinstance(found, list) or not all(_is_movie(one) for one in found):
            raise Unreachable(f"{self.url} is not this service: {path} gives no list of movies.")
        return found

    def scrape(self) -> Samples:
        """All that the service has counted; raises Unreachable where it cannot be had in three attempts."""
        for _ in range(3):
            became = self._ask("/metrics", heeded=False)
            if became.error:
                self.unanswered[METRICS] += 1  # whoever was to answer may have been killed, and may have counted it
                continue
            self.answers[METRICS, became.status] += 1
            if became.status == 200:
                return _samples(became, self.url)
        raise Unreachable(f"{self.url}/metrics cannot be read: {became.error or became.status}: {_said(became)}")

    def begin_account(self) -> None:
        """Forget all scrapes but the last, which the service had not counted yet when it made it."""
        self.answers = Counter({(METRICS, 200): 1})
        self.unanswered.clear()

    def _ask(self, path: str, *, heeded: bool = True) -> Exchange:
        request = requests.Request("GET", self.url + path, self._session.headers)
        try:
            prepared = request.prepare()
        except (ValueError, requests.RequestException) as error:
            raise Unreachable(f"--url {self.url} cannot be asked: {error}") from error
        became = exchange(self._session, prepared, timeout=self._timeout)
        for _ in range(2 * heeded):  # the worker that was to answer may just have been replaced
            if became.error == "connection closed":
                became = exchange(self._session, prepared, timeout=self._timeout)
        if became.error and heeded:
            raise Unreachable(f"{self.url} {_FAILED.get(became.error, 'cannot be asked')} ({became.detail}).")
        return became

    def _json(self, became: Exchange, path: str) -> Any:
        try:
            return orjson.loads(became.body)
        except ValueError as error:
            to = (became.headers or {}).get("Location")
            where = f" (it sends to {printable(to)})" if to else ""
            raise Unreachable(
                f"{self.url} is not this service: {path} was answered with {became.status} and something that is not "
                f"JSON{where}."
            ) from error


_FAILED = {
    "TLS": "cannot be trusted, or does not speak TLS; is it http:// rather than https://? --ca-file names the "
    "certificate of an authority of one's own",
    OWN_LIMIT: "cannot be asked, since this machine has no more files, ports or memory to give",
    "timeout": "does not answer in time; is it overloaded, or is --timeout too short?",
    "unknown host": "names a host that is not known; is it spelt right?",
    "connection refused": "cannot be reached; is the service started? ./scripts/start_api.sh starts it",
    "not HTTP": "does not speak HTTP; is it https:// rather than http://, or another port?",
    "connection closed": "closes the connection without an answer; is it this service, or https:// rather than http://?",
    "answer broke off": "breaks off in the middle of its answer",
}
"""What is said of a service that gave no answer."""


def _is_movie(content: object) -> bool:
    return (
        isinstance(content, dict)
        and isinstance(content.get("movie_id"), int)
        and isinstance(content.get("title"), str)
        and isinstance(content.get("overview"), str)
    )


def _said(became: Exchange) -> str:
    return became.detail or printable(became.body[:400].decode(errors="replace"))


def _samples(became: Exchange, url: str) -> Samples:
    try:
        samples = samples_of(became.body.decode())
    except ValueError as error:
        raise Unreachable(f"{url}/metrics is not in the text format of Prometheus: {error}") from error
    try:
        counted = answers_counted(samples)
    except (ValueError, KeyError) as error:
        raise Unreachable(f"{url}/metrics is not this service's: its http_requests_total is odd ({error}).") from error
    if not counted:
        raise Unreachable(f"{url}/metrics counts no answers: it has no http_requests_total, which is to be verified.")
    return samples
