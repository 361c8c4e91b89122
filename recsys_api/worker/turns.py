"""A gunicorn worker whose threads take turns at the lead: the leader waits for requests and answers them itself.

gunicorn's gthread hands every request from the thread that waits for it to one of a pool, and the connection back,
which takes longer than most answers here. A leader answers at once. What keeps it for longer than PATIENCE_SECONDS, be
it a slow client or a large answer, must not hold up the rest: a thread that watches the leader then leads in its place,
and the one left behind joins in again once its request is answered. As many requests as there are threads may be in
progress so; one thread more goes on to accept connections, to close idle ones and to tell the master that the worker
lives.
"""
from __future__ import annotations

import errno
import os
import select
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from gunicorn.workers.gthread import DEFAULT_WORKER_DATA_TIMEOUT, STOP_KEEPALIVE_LINGER

from recsys_api.worker.wire import Connection, QuickWorker

PATIENCE_SECONDS = 0.01
"""How long one request may keep the leader before another thread leads: far more than nearly all requests take."""

_DOZE_AFTER = 100
"""How often the watcher looks at a leader without work before it dozes until the next request."""
_REST_SECONDS = 0.001
_FULL_SECONDS = 1.0
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_LINGER_SECONDS = 2.0
_DRAINED_AT_ONCE, _MOST_DRAINED = 2**16, 2**20


class LeadingWorker(QuickWorker):
    """A worker with threads, of which one leads. Connections, the poller and what waits belong to the leader alone."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lead = threading.Lock()
        """Over `_term` and `_answering`: whether the leader still leads when it has answered."""
        self._term = 0
        self._answering: Any = None
        self._begun = 0
        self._behind = 0
        """Threads that were left behind with a request."""
        self._waiting: deque[Any] = deque()
        """Connections with a request that no thread is free for, or that came together with another one."""
        self._parting: deque[Any] = deque()
        """Connections that are closed on our side, until the client has read all and closes them, too."""
        self._newest: Any = None
        """The connection that was accepted last, until it has its first answer."""
        self._watch = threading.Lock()
        self._accepts_from = 0.0
        """When the next connection may be accepted, by the monotonic clock."""
        self._dozing = False
        self._wake = threading.Event()
        self._stop_until: float | None = None
        self._ended = False
        self._failure: Exception | None = None

    def get_thread_pool(self) -> ThreadPoolExecutor:
        """As many threads as requests may be in progress, and the leader."""
        return ThreadPoolExecutor(self.cfg.threads + 1)

    def run(self) -> None:
        """Serve until the worker is told to stop and what was begun is answered."""
        self.poller.register(self.method_queue.fileno(), selectors.EVENT_READ, self.method_queue.run_callbacks)
        self.set_accept_enabled(True)
        try:
            for thread in range(self.cfg.threads + 1):
                self.tpool.submit(self._take_turns, leads=thread == 0)
            while not self._ended:  # the main thread is there for signals: a request would keep it from them
                select.select([self.PIPE[0]], [], [])
                os.read(self.PIPE[0], select.PIPE_BUF)
        finally:
            self._end()
        if self._failure is not None:
            raise self._failure
        self.murder_keepalived(force=True)
        self.tpool.shutdown(wait=False)
        self.poller.close()
        self.method_queue.close()

    def _take_turns(self, *, leads: bool) -> None:
        """Lead; then watch the leader, or wait to watch it, and lead again when it is kept."""
        while not self._ended:
            if leads:
                self._lead_on()
            with self._watch:
                leads = self._overtake()

    def _overtake(self) -> bool:
        """Take the lead once one request has kept the leader for PATIENCE_SECONDS; False at the end."""
        idle = 0
        while not self._ended:
            begun = self._begun
            time.sleep(PATIENCE_SECONDS)
            if self._begun != begun:
                idle = 0
            elif self._answering is not None and self._take_lead(begun):
                return True
            elif (idle := idle + 1) == _DOZE_AFTER:
                self._doze(begun)
                idle = 0
        return False

    def _take_lead(self, begun: int) -> bool:
        with self._lead:
            kept_by = self._answering
            if kept_by is None or self._begun != begun:
                return False
            self._answering = None
            self._term += 1
            self._behind += 1
        self.poller.unregister(kept_by.descriptor)
        return True

    def _doze(self, begun: int) -> None:
        """Wait for the next request after `begun`."""
        self._wake.clear()
        self._dozing = True
        if self._begun == begun and not self._ended:
            self._wake.wait()
        self._dozing = False

    def _end(self) -> None:
        self._ended = True
        self._wake.set()
        self.method_queue.defer(lambda: None)  # wakes the leader
        os.write(self.PIPE[1], b".")

    def _lead_on(self) -> None:
        """Lead until another thread does, or to the end."""
        term = self._term
        try:
            while not self._ended and (timeout := self._until_next()) is not None:
                asked_at = time.monotonic()
                self._answer_all(timeout, term)
                if self._term != term:
                    return
                self._close_idle(asked_at)
        except Exception as error:  # noqa: BLE001 - the main thread raises it
            self._failure = error
        finally:
            if self._term == term:
                self._end()

    def _until_next(self) -> float | None:
        """How many seconds to wait for requests before there is something else to see to; None when all is done."""
        self.notify()
        if self.alive and not self.is_parent_alive():
            self.alive = False
        if self.alive:
            rest = max(self._accepts_from - time.monotonic(), 0.0)
            self.set_accept_enabled(not rest and self.nr_conns < self.worker_connections)
            return rest or 1.0
        now = time.monotonic()
        if self._stop_until is None:
            self.set_accept_enabled(False)
            for listener in self.sockets:  # who comes now is to be refused at once, not to wait for nobody
                listener.close()
            self._cap_keepalive(now + STOP_KEEPALIVE_LINGER)
            self._stop_until = now + self.cfg.graceful_timeout
        if not self.nr_conns or now > self._stop_until:
            return None
        first = min((held[0].timeout for held in (self.keepalived_conns, self._parting) if held), default=now + 1)
        return float(min(max(first - now, 0.0), 1.0))

    def _answer_all(self, timeout: float, term: int) -> None:
        """Answer what has come, or comes within `timeout` seconds; or what part of it comes before another leads."""
        for key, _ in self.poller.select(0 if self._waiting and self._is_free() else timeout):
            key.data(key.fileobj)
            if self._term != term:
                return
        for _ in range(len(self._waiting)):
            if not self._is_free():
                break
            conn = self._waiting.popleft()
            self._listen_to(conn, self.on_client_socket_readable)
            self._answer(conn)
            if self._term != term:
                return

    def _is_free(self) -> bool:
        """Whether the leader may answer: whether, if that kept it, there would still be one to lead."""
        return bool(self._behind < self.cfg.threads)

    def accept(self, listener: Any) -> None:
        """Accept a connection; it is answered once its first request comes.

        The next one is left to the other workers until then, or for a moment: else one worker may take all of many
        connections that come together, and keep them while the others have nothing to do.
        """
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno in _EXHAUSTED:
                self.log.warning("No connection is accepted for a second: %s", error.strerror)
                self._accepts_from = time.monotonic() + _FULL_SECONDS
            elif error.errno not in {errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK}:
                raise
            return
        self.nr_conns += 1
        conn = Connection(self.cfg, client, address, listener.getsockname())
        conn.data_ready = True
        conn.timeout = time.monotonic() + DEFAULT_WORKER_DATA_TIMEOUT
        self.pending_conns.append(conn)
        self._listen_to(conn, self.on_client_socket_readable)
        if self.cfg.workers > 1:
            self._newest, self._accepts_from = conn, time.monotonic() + _REST_SECONDS

    def on_client_socket_readable(self, conn: Any, _: int) -> None:
        """Answer a connection's request, or have it wait for a thread."""
        (self.keepalived_conns if conn.initialized else self.pending_conns).remove(conn)
        if self._is_free():
            self._answer(conn)
        else:
            self.poller.unregister(conn.descriptor)
            self._waiting.append(conn)

    def _answer(self, conn: Any) -> None:
        """Answer the next request of a connection that is listened to."""
        if conn is self._newest:
            self._newest, self._accepts_from = None, 0.0
        term = self._term
        self._begun += 1
        self._answering = conn
        if self._dozing:
            self._wake.set()
        try:
            kept = self.handle(conn)
        except BaseException:  # whatever it is, it is the end of this connection and not of the others
            self.log.exception("A connection is closed for a fault of its handling")
            kept = False
        with self._lead:
            leads = self._term == term
            if leads:
                self._answering = None
        if leads:
            self._go_on(conn, kept)
        else:
            self.method_queue.defer(self._come_back, conn, kept)

    def _come_back(self, conn: Any, kept: Any) -> None:
        """Go on with a connection whose thread was left behind."""
        self._behind -= 1
        if kept:
            self._listen_to(conn, self.on_client_socket_readable)
            self._go_on(conn, kept)
        else:
            self._part(conn)

    def _go_on(self, conn: Any, kept: Any) -> None:
        """Wait for the next request of a connection, or part from it."""
        if kept and not conn.parser.unreader.buf.getvalue():
            conn.set_timeout()
            if not self.alive:
                conn.timeout = min(conn.timeout, time.monotonic() + STOP_KEEPALIVE_LINGER)
            self.keepalived_conns.append(conn)
            return
        self.poller.unregister(conn.descriptor)
        if kept:  # the next request came together with this one
            self._waiting.append(conn)
        else:
            self._part(conn)

    def _part(self, conn: Any) -> None:
        """Close our side: a client that still sends would lose the end of its answer if all were closed at once."""
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
            self._listen_to(conn, self._drain)
        except (OSError, ValueError):  # the client is gone, or the socket was closed already
            self.nr_conns -= 1
            conn.close()
            return
        conn.timeout = time.monotonic() + _LINGER_SECONDS
        self._parting.append(conn)

    def _drain(self, conn: Any, _: int) -> None:
        """Read what a client sends after its last answer, until it closes its side."""
        with suppress(OSError):
            more = len(conn.sock.recv(_DRAINED_AT_ONCE))
            conn.drained += more
            if more and conn.drained < _MOST_DRAINED:
                return
        self._parting.remove(conn)
        self._close(conn)

    def _close_idle(self, asked_at: float) -> None:
        """Close what was due when requests were last asked for, and had none: what came since is not lost."""
        for held in (self.keepalived_conns, self.pending_conns, self._parting):
            while held and held[0].timeout <= asked_at:
                self._close(held.popleft())

    def _close(self, conn: Any) -> None:
        self.poller.unregister(conn.descriptor)
        self.nr_conns -= 1
        conn.close()

    def _listen_to(self, conn: Any, then: Callable[[Any, Any], None]) -> None:
        self.poller.register(conn.descriptor, selectors.EVENT_READ, partial(then, conn))
