"""Flask, less what no request to this service needs: sessions, host names, signals and hooks that nobody set."""
from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any

from flask import Flask, Request, Response, request
from flask.ctx import RequestContext
from flask.sessions import NullSession, SessionInterface
from werkzeug.routing import Map, MapAdapter, Rule

from recsys_api.metrics.requests import ENDPOINT

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_ENDS_IN_A_NUMBER = re.compile(r"(?P<before>.*)/<int:(?P<name>\w+)>")
BEGUN = "recsys.begun"
"""Where the WSGI environment holds when the view of a request began, as time.perf_counter_ns() has it."""
_LONGEST_NUMBER = 18
"""Digits; what is longer goes the long way, where a number has no bounds."""


def environment() -> WSGIEnvironment:
    """The WSGI environment of the request at hand; the proxy's own attributes cost as much as parsing a query."""
    environ: WSGIEnvironment = request._get_current_object().environ  # type: ignore[attr-defined]  # the proxy's door
    return environ


class Routes:
    """Those routes that are plain paths, or plain paths with a number at the end: found by a look into a dict."""

    def __init__(self, url_map: Map) -> None:
        self._plain: dict[tuple[str, str], Rule] = {}
        self._numbered: dict[tuple[str, str], tuple[Rule, str]] = {}
        for rule in url_map.iter_rules():
            for method in (rule.methods or set()) - {"OPTIONS"}:
                if not rule.arguments:
                    self._plain[method, rule.rule] = rule
                elif found := _ENDS_IN_A_NUMBER.fullmatch(rule.rule):
                    self._numbered[method, found["before"]] = rule, found["name"]

    def find(self, method: str, path: str) -> tuple[Rule, dict[str, Any]] | None:
        """The route of a request with the arguments of its view; None for what only werkzeug can tell."""
        plain = self._plain.get((method, path))
        if plain is not None:
            return plain, {}
        before, _, last = path.rpartition("/")
        numbered = self._numbered.get((method, before))
        if numbered is not None and last.isascii() and last.isdigit() and len(last) <= _LONGEST_NUMBER:
            rule, name = numbered
            return rule, {name: int(last)}
        return None


class _NoSessions(SessionInterface):
    """Nobody is remembered from one request to the next."""

    _none = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:
        return self._none

    def is_null_session(self, obj: object) -> bool:
        return True


_READ_AT_ONCE = frozenset({"scheme", "server", "root_path", "path", "query_string", "headers", "remote_addr"})
"""What werkzeug takes from the environment for every request."""


class _Request(Request):
    """A request of which is read only what is asked for, and whose end costs nothing where no files came with it."""

    def __init__(self, environ: WSGIEnvironment, populate_request: bool = True, shallow: bool = False) -> None:
        self.environ = environ
        self.shallow = shallow
        self.method = environ["REQUEST_METHOD"].upper()
        if populate_request and not shallow:
            environ["werkzeug.request"] = self

    def __getattr__(self, name: str) -> Any:
        """Read what was left out, now that something of it is missing."""
        if name not in _READ_AT_ONCE:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        super().__init__(self.environ, populate_request=False, shallow=self.shallow)
        return vars(self)[name]

    def close(self) -> None:
        """Close what was uploaded."""
        if "files" in vars(self):
            super().close()


class Application(Flask):
    """Flask's own way is taken wherever something is asked for that the short one leaves out."""

    session_interface = _NoSessions()
    request_class = _Request

    @cached_property
    def routes(self) -> Routes:
        """The routes as they are when the first request comes."""
        return Routes(self.url_map)

    def request_context(self, environ: WSGIEnvironment) -> RequestContext:
        """The context of a request, which knows its route."""
        return _Context(self, environ)

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """What makes URLs: the same for every request, since no route depends on the host."""
        return super().create_url_adapter(request) if request is None else self._url_adapter

    @cached_property
    def _url_adapter(self) -> MapAdapter:
        return self.url_adapter_for("/", "GET")

    def url_adapter_for(self, path: str, method: str) -> MapAdapter:
        """What finds the route of a request by its path alone."""
        return MapAdapter(self.url_map, "localhost", "/", "", "http", path, method)

    def full_dispatch_request(self) -> Response:
        """The answer to the request at hand, made by its view or by the handler of an error."""
        if self.before_request_funcs or self.after_request_funcs or self.url_value_preprocessors:
            return super().full_dispatch_request()
        try:
            answer = self.dispatch_request()
        except Exception as error:  # noqa: BLE001 - handlers answer every one
            answer = self.handle_user_exception(error)
        return answer if isinstance(answer, Response) else self.make_response(answer)

    def do_teardown_request(self, *error: BaseException | None) -> None:
        """After a request: what is to be called then, if anything is."""
        if self.teardown_request_funcs:
            super().do_teardown_request(*error)

    def do_teardown_appcontext(self, *error: BaseException | None) -> None:
        """The same after its context."""
        if self.teardown_appcontext_funcs:
            super().do_teardown_appcontext(*error)

    def dispatch_request(self) -> Any:
        """What the view of the request at hand gives."""
        asked: Request = request._get_current_object()  # type: ignore[attr-defined]  # the proxy's door
        rule = asked.url_rule
        if rule is None or asked.method == "OPTIONS":
            return super().dispatch_request()
        return self.view_functions[rule.endpoint](**(asked.view_args or {}))


class _Context(RequestContext):
    app: Application

    def match_request(self) -> None:
        """Find the route, and note it for what is counted outside of the application."""
        request = self.request
        found = self.app.routes.find(request.method, request.environ.get("PATH_INFO", ""))
        if found is None:
            self.url_adapter = self.app.url_adapter_for(request.path, request.method)
            super().match_request()
        else:
            request.url_rule, request.view_args = found
        if request.url_rule is not None:
            request.environ[ENDPOINT] = request.url_rule.rule
