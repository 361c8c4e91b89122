"""Flask with nothing on it: what the service is measured against. It returns answers that the service has given."""
from __future__ import annotations

import os
from pathlib import Path

from flask import Flask, Response, request

from scripts.bench.answers import Answers

app = Flask("bare")
_answers = Answers(Path(os.environ["ANSWERS"]))


@app.get("/recommendations/<int:movie_id>")
def recommendations(movie_id: int) -> Response:
    """The recorded answer for a movie."""
    return Response(_answers[str(movie_id)], mimetype="application/json")


@app.get("/search")
def search() -> Response:
    """The recorded answer to a query."""
    return Response(_answers[request.args["query"]], mimetype="application/json")
