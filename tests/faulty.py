"""The application with a view and a hook that fail, for tests of what becomes of faults."""
from __future__ import annotations

import re

from flask import Response, request

from recsys_api import create_app

app = create_app()


@app.before_request
def break_if_told() -> None:
    if request.args.get("break_hook"):
        raise RuntimeError("a hook failed")


@app.get("/faulty/view")
def fail() -> Response:
    raise ZeroDivisionError("a secret of the house")


@app.get("/faulty/stream")
def stream() -> Response:
    """A body that breaks off after its first part."""

    def parts() -> object:
        yield b"first"
        raise RuntimeError("the stream broke")

    return Response(parts())


@app.get("/faulty/slow")
def slow() -> Response:
    """Sends and waits until its client is gone."""

    def parts() -> object:
        while True:
            yield b"x" * 65536

    return Response(parts())


@app.get("/faulty/first")
def fail_at_first() -> Response:
    """A body that fails before its first part."""

    def parts() -> object:
        raise RuntimeError("no first part")
        yield b""

    return Response(parts())


@app.get("/faulty/hang")
def hang() -> str:
    """Holds the interpreter's lock for good, as a pattern that backtracks does."""
    return str(re.match(r"(a+)+$", "a" * 60 + "b"))
