"""Requests whose time is taken at the socket, so that what Python does before and after is not mistaken for latency."""
from __future__ import annotations

import errno
import http.client
import io
import socket
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
_LONGEST_SAID = 200


class _Clock(threading.local):
    """When the request of this thread was due, begun, and last heard of; seconds of time.monotonic()."""

    due = 0.0
    timeout = 0.0
    begun = 0.0
    heard = 0.0

    def left(self) -> float:
        """Seconds until the request has taken longer than it may; raises TimeoutError when there are none."""
        left = self.begun + self.timeout - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer did not end in time")
        return left

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
    """What comes in from a socket; notes when, and waits no longer than the request may take in all."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(_clock.left())
        count = self._raw.readinto(buffer)
        _clock.heard = time.monotonic()
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp: io.BufferedReader = io.BufferedReader(_Heard(self.fp.detach(), sock), 65536)


class _Timed:
    """Takes the time when a connection is made for a request, or its first byte is sent over one that is open."""

    def connect(self) -> None:
        _clock.begin()
        super().connect()  # type: ignore[misc]  # of the connection that this is mixed into

    def send(self, data: Any) -> None:
        _clock.begin()
        super().send(data)  # type: ignore[misc]

    def _new_conn(self) -> socket.socket:
        sock: socket.socket = super()._new_conn()  # type: ignore[misc]
        sock.settimeout(_clock.left())  # for what TLS has to say first
        return sock


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


def open_session(headers: Mapping[str, str] | None = None, *, ca_file: str = "") -> requests.Session:
    """A session of one user: one connection, kept; no redirects followed, nothing read from the environment.

    `ca_file` holds the certificates of the authorities to trust; empty for those that everybody does.
    """
    session = requests.Session()
    session.trust_env = False
    session.verify = ca_file or True
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
    causes = _causes(error)
    if any(isinstance(cause, OSError) and cause.errno in _OWN_LIMITS for cause in causes):
        return OWN_LIMIT
    names = " ".join(type(cause).__name__ for cause in causes)
    return next((kind for kind, signs in _KINDS.items() if any(sign in names for sign in signs)), "connection failed")


OWN_LIMIT = "limit of the tester"
"""Of files, ports or memory, on the machine that asks."""
_OWN_LIMITS = {errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM}
_KINDS = {
    "TLS": ("SSL",),
    "timeout": ("Timeout",),
    "unknown host": ("NameResolutionError", "gaierror"),
    "connection refused": ("ConnectionRefused", "NewConnectionError"),
    "answer broke off": ("IncompleteRead", "InvalidChunkLength"),
    "not HTTP": ("BadStatusLine", "LineTooLong", "InvalidHeader", "HeaderParsing", "UnknownProtocol", "ContentDecod"),
    "connection closed": ("RemoteDisconnected", "ConnectionReset", "BrokenPipe", "ConnectionAborted"),
}
"""The first kind counts of which a sign is in the names of the errors."""


def root_cause(error: BaseException) -> str:
    """What the innermost error says."""
    last = list(_causes(error))[-1]
    return printable(f"{type(last).__name__}: {last}")


def printable(text: str) -> str:
    """The beginning of what a server said, on one line and harmless to a terminal."""
    line = " ".join(text[: 2 * _LONGEST_SAID].split())[:_LONGEST_SAID]
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in line)


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting:
        here = waiting.pop(0)
        if isinstance(here, BaseException) and here not in found:
            found.append(here)
            waiting += [*here.args, getattr(here, "reason", None), here.__cause__ or here.__context__]
    return found
