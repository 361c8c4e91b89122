"""Requests whose time is taken at the socket, so that what Python does before and after is not mistaken for latency."""
from __future__ import annotations

import http.client
import io
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

USER_AGENT = "recsys-load-test"


class _Clock(threading.local):
    """When the request of this thread was due, begun, and last heard of; seconds of time.monotonic()."""

    due = 0.0
    timeout = 0.0
    begun = 0.0
    heard = 0.0

    def begin(self) -> None:
        """At the first byte to be sent, or the connection to be made for it: wait until it is due."""
        if self.begun:
            return
        early = self.due - time.monotonic()
        if early > 0:
            time.sleep(early)
        self.begun = time.monotonic()


_clock = _Clock()


class _Heard(io.RawIOBase):
    """What comes in from a socket; notes when, and ends what takes longer than it may in all."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        count = self._raw.readinto(buffer)
        _clock.heard = time.monotonic()
        if _clock.heard - _clock.begun > _clock.timeout:
            raise TimeoutError("the answer did not end in time")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp: io.BufferedReader = io.BufferedReader(_Heard(self.fp.detach()), 65536)


class _Timed:
    """Takes the time when a connection is made for a request, or its first byte is sent over one that is open."""

    def connect(self) -> None:
        _clock.begin()
        super().connect()  # type: ignore[misc]  # of the connection that this is mixed into

    def send(self, data: Any) -> None:
        _clock.begin()
        super().send(data)  # type: ignore[misc]


class _TimedHTTP(_Timed, HTTPConnection):
    response_class = _Response


class _TimedHTTPS(_Timed, HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _TimedHTTP


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _TimedHTTPS


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}


@dataclass(frozen=True)
class Exchange:
    """What became of a request; `error` where there was no answer. `begun` and `ended` as time.monotonic()."""

    begun: float
    ended: float
    status: int = 0
    body: bytes = b""
    headers: Mapping[str, str] | None = None
    error: str = ""
    detail: str = ""


def open_session(headers: Mapping[str, str] | None = None) -> requests.Session:
    """A session of one user: one connection, kept; no redirects followed, nothing read from the environment."""
    session = requests.Session()
    session.trust_env = False
    session.headers = {"User-Agent": USER_AGENT, "Accept": "application/json", **(headers or {})}
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(pool_connections=1, pool_maxsize=1))
    return session


def exchange(
    session: requests.Session, prepared: requests.PreparedRequest, *, timeout: float, due: float = 0.0
) -> Exchange:
    """Send a request, not before it is `due`, and read its whole answer; `timeout` seconds bound both together."""
    _clock.due, _clock.timeout, _clock.begun, _clock.heard = due, timeout, 0.0, 0.0
    try:
        answer = session.send(prepared, timeout=timeout, allow_redirects=False, proxies={})
        body = answer.content
    except (requests.RequestException, OSError, http.client.HTTPException, ValueError) as error:
        ended = time.monotonic()
        return Exchange(_clock.begun or ended, ended, error=kind_of(error), detail=root_cause(error))
    return Exchange(_clock.begun, _clock.heard, answer.status_code, body, answer.headers)


def kind_of(error: BaseException) -> str:
    """The few words under which failures of one kind are counted together."""
    causes = list(_causes(error))
    names = " ".join(type(cause).__name__ for cause in causes)
    text = str(error)
    for kind, signs in _KINDS.items():
        if any(sign in names or sign in text for sign in signs):
            return kind
    return "connection failed"


_KINDS = {
    "TLS": ("SSL", "certificate"),
    "timeout": ("Timeout", "timed out", "TimeoutError"),
    "unknown host": ("NameResolutionError", "gaierror"),
    "connection refused": ("ConnectionRefused", "NewConnectionError"),
    "answer broke off": ("IncompleteRead", "InvalidChunkLength"),
    "not HTTP": ("BadStatusLine", "LineTooLong", "InvalidHeader", "HeaderParsing", "UnknownProtocol", "ContentDecod"),
    "connection closed": ("RemoteDisconnected", "ConnectionReset", "BrokenPipe", "ConnectionAborted"),
}
"""The first kind counts of which a sign is in the names of the errors, or in what they say."""


def root_cause(error: BaseException) -> str:
    """What the innermost error says."""
    last = list(_causes(error))[-1]
    return " ".join(f"{type(last).__name__}: {last}".split())[:200]


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting:
        here = waiting.pop(0)
        if isinstance(here, BaseException) and here not in found:
            found.append(here)
            waiting += [*here.args, getattr(here, "reason", None), here.__cause__ or here.__context__]
    return found
