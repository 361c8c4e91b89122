"""The application as a worker has it, in a process of its own, asked without HTTP."""
from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from flask import Flask

from scripts.running_service import ROOT

Environ = dict[str, Any]
Samples = Mapping[str, list[float]]


def samples_of(module: str, model: Path, count: int) -> Samples:
    """What `module` prints, run with the model and a number; see tell().

    A process of its own, since prometheus_client decides when it is imported whether it counts in files.
    """
    with tempfile.TemporaryDirectory(prefix="recsys-bench-") as folder:
        command = [sys.executable, "-m", module, str(model.resolve()), str(count)]
        environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": folder}
        done = subprocess.run(command, env=environment, cwd=ROOT, check=True, stdout=subprocess.PIPE)  # noqa: S603 - a module of ours
    found: Samples = json.loads(done.stdout)
    return found


def tell(measure: Callable[[Path, int], Samples]) -> None:
    """Measure with the model and the number of the command line; stdout tells the samples, and nobody reads the log."""
    model, count = sys.argv[1:]
    told = os.dup(1)
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - the log's lines are written, and read by nobody
        os.dup2(nowhere.fileno(), 1)
        samples = measure(Path(model), int(count))
    os.write(told, json.dumps(samples).encode())


def working_application(model: Path, **settings: Any) -> Flask:
    """The application of a worker in the first slot."""
    from recsys_api.app import create_app, worker_started  # noqa: PLC0415 - only in the process that shares metrics
    from recsys_api.metrics import slots  # noqa: PLC0415
    from recsys_api.settings import Settings  # noqa: PLC0415

    slots.will_fork()
    folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    app = create_app(Settings(model_dir=model, metrics_dir=folder, log_format="json", **settings))
    app.extensions["recsys_metrics"].slots.take(0)
    app.extensions["recsys_metrics"].slots.begin()
    worker_started(app)
    return app


def asked(path: str, query: str = "") -> Environ:
    """What gunicorn hands over with a GET."""
    return {
        "REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": query, "HTTP_HOST": "x", "SERVER_NAME": "x",
        "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr, "wsgi.version": (1, 0),
    }  # fmt: skip


def answer(application: Callable[..., Iterable[bytes]], environ: Environ) -> str:
    """Do with a request what a server does; the status of the answer."""
    told: list[str] = []
    body = application(environ, lambda status, headers, error=None: told.append(status))
    for _part in body:
        pass
    if (close := getattr(body, "close", None)) is not None:
        close()
    return told[0]
