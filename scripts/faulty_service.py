"""The service with a switch to break it, for drills: what is wrong stands in the file that RECSYS_TEST_FAULT names.

Served in the place of wsgi:app, and never by scripts/start_api.sh. Only what people ask for breaks: health and metrics
go on, as they do where a real fault is in the model or in what lies behind it.
"""
from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

from flask import Flask, request

from recsys_api import create_app
from recsys_api.app import worker_started
from recsys_api.errors import ModelUnavailable
from recsys_api.serving import EXTENSION

FAULT = "RECSYS_TEST_FAULT"
SLOW, FAILING, NO_MODEL = "slow", "failing", "no model"
SLOW_SECONDS = 2.5
_PRODUCT = ("/movies", "/recommendations", "/search")


def faulty_app() -> Flask:
    """The application that gunicorn serves."""
    app, switch = create_app(), Path(os.environ[FAULT])
    healthy = app.extensions[EXTENSION]
    modelless = replace(healthy, model=ModelUnavailable("The model was taken away, for a drill."))

    def break_if_told() -> None:
        fault = switch.read_text(encoding="utf-8") if switch.exists() else ""
        wanted = modelless if fault == NO_MODEL else healthy
        if app.extensions[EXTENSION] is not wanted:
            app.extensions[EXTENSION] = wanted
            worker_started(app)
        if not request.path.startswith(_PRODUCT):
            return
        if fault == SLOW:
            time.sleep(SLOW_SECONDS)
        if fault == FAILING:
            raise RuntimeError("broken, for a drill")

    app.before_request(break_if_told)
    return app
