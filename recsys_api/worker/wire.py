"""What gunicorn does around every request, without what need not be done each time.

Of the time that a short answer takes, most is gunicorn's, and much of that went into four things: a head and a body
that are sent apart, the date, whether a known client is a proxy to be trusted, and the search for the rest of a body
where there is none. What is parsed, checked and sent stays the same; gunicorn's hooks around requests are not called.
"""
from __future__ import annotations

import errno
import socket
import struct
import time
from functools import lru_cache
from typing import Any

from gunicorn import util
from gunicorn.http import wsgi
from gunicorn.http.message import Request, _ip_in_allow_list
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import TConn, ThreadWorker

_ADDRESSES = 1024


class QuickWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn ships no types
    """A worker with threads that spends less time on each request."""

    alive: bool

    def init_process(self) -> None:
        """Make every setting a plain attribute: gunicorn asks for twenty of them at each request, by a long way."""
        self.cfg.__dict__.update({name: setting.get() for name, setting in self.cfg.settings.items()})
        super().init_process()

    def handle_request(self, req: Any, conn: Any) -> bool:
        """Have the application answer a request; whether the connection can be used again."""
        if self.log.access_log_enabled:
            return bool(super().handle_request(req, conn))
        answer, environ = wsgi.create(req, conn.sock, conn.client, conn.server, self.cfg, response_class=Response)
        environ["wsgi.multithread"] = True
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.alive = False
        try:
            self._answer_by(answer, environ)
        except BlockingIOError as error:
            raise _gone() from error
        except OSError:  # the client is gone
            raise
        except (Exception, SystemExit):
            if not answer.headers_sent:
                raise
            self.log.exception("Error handling request")  # a second head would come in the middle of the first answer
            util.close_graceful(conn.sock)
            raise StopIteration from None
        return not answer.should_close()

    def _answer_by(self, answer: Response, environ: dict[str, Any]) -> None:
        parts = self.wsgi(environ, answer.start_response)
        if not self.alive or not self.cfg.keepalive or len(self.keepalived_conns) >= self.max_keepalived:
            answer.force_close()
        try:
            if isinstance(parts, environ["wsgi.file_wrapper"]):
                answer.write_file(parts)
            else:
                for part in parts:
                    answer.write(part)
            answer.close()
        finally:
            if hasattr(parts, "close"):
                parts.close()

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:
        kept = keepalive and (conn.is_read() or bool(super()._keepalive_after(conn, keepalive)))
        if kept:
            conn.parser.mesg = None  # or its body would be sought again before the next request
        return kept


class Connection(TConn):  # type: ignore[misc]
    """A client's connection."""

    def __init__(self, cfg: Any, sock: Any, client: Any, server: Any) -> None:
        super().__init__(cfg, sock, client, server)
        self.descriptor: int = sock.fileno()
        """What it is known by while it is listened to, whatever becomes of the socket."""
        self.drained = 0
        """Bytes that came after the last answer."""
        patience = struct.pack("ll", cfg.timeout, 0)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):  # or a client that is gone would keep its thread
            sock.setsockopt(socket.SOL_SOCKET, option, patience)

    def init(self) -> None:
        """Make ready for the first request."""
        super().init()
        if isinstance(self.parser, RequestParser):
            self.parser.mesg_class = _Request
            begun, self.parser.unreader = self.parser.unreader.buf, _Unreader(self.sock)
            self.parser.unreader.buf = begun

    def is_read(self) -> bool:
        """Whether nothing of the last request is still to come: it had no body, or one that was read."""
        return getattr(self.parser.mesg.body.reader, "length", None) == 0


class _Unreader(SocketUnreader):  # type: ignore[misc]
    def chunk(self, size_hint: int | None = None) -> bytes:
        try:
            return bytes(super().chunk(size_hint))
        except BlockingIOError as error:
            raise _gone() from error


def _gone() -> ConnectionResetError:
    """What a client is told apart by that neither sends nor reads for the worker's timeout."""
    return ConnectionResetError(errno.ECONNRESET, "the client does nothing")


class _Request(Request):  # type: ignore[misc]
    def _peer_is_trusted_proxy(self) -> bool:
        return not isinstance(self.peer_addr, tuple) or _is_trusted_proxy(self.peer_addr[0], self.cfg)


@lru_cache(_ADDRESSES)
def _is_trusted_proxy(address: str, cfg: Any) -> bool:
    return bool(_ip_in_allow_list(address, cfg.forwarded_allow_ips, cfg.forwarded_allow_networks()))


class Response(wsgi.Response):  # type: ignore[misc]
    """An answer, whose head is sent together with its body where that is whole."""

    headers_sent: bool

    def write(self, arg: bytes) -> None:
        """Send a part of the body."""
        if self.headers_sent or self._omits_body or len(arg) != self.response_length:
            super().write(arg)
            return
        self.headers_sent, self.sent = True, len(arg)
        util.write(self.sock, self._head() + arg)

    def send_headers(self) -> None:
        """Send the head alone."""
        if not self.headers_sent:
            self.headers_sent = True
            util.write(self.sock, self._head())

    def _head(self) -> bytes:
        lines = self.default_headers() + [f"{name}: {value}\r\n" for name, value in self.headers]
        return ("".join(lines) + "\r\n").encode("latin-1")

    def default_headers(self) -> list[str]:
        """The lines of the head that are gunicorn's."""
        major, minor = self.req.version
        connection = "upgrade" if self.upgrade else "close" if self.should_close() else "keep-alive"
        lines = [
            f"HTTP/{major}.{minor} {self.status}\r\nServer: {self.version}\r\n",
            f"Date: {_date(int(time.time()))}\r\nConnection: {connection}\r\n",
        ]
        return [*lines, "Transfer-Encoding: chunked\r\n"] if self.chunked else lines


@lru_cache(2)
def _date(second: int) -> str:
    return str(util.http_date(second))
