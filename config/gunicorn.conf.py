"""How gunicorn runs the service. Workers come from WEB_CONCURRENCY, everything else from RECSYS_ settings."""
import os
import socket
import sys

from recsys_api.errors import ModelUnavailable, SettingsError
from recsys_api.settings import Settings

try:
    _settings = Settings.from_environment()
except SettingsError as error:
    sys.exit(f"error: {error}")

# Before prometheus_client is imported anywhere, so that it counts in files that all workers share.
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_settings.metrics_dir)

wsgi_app = "wsgi:app"
bind = f"[{_settings.host}]:{_settings.port}" if ":" in _settings.host else f"{_settings.host}:{_settings.port}"
worker_class = "gthread"
threads = _settings.threads
timeout = _settings.timeout
graceful_timeout = _settings.timeout
keepalive = 5
max_requests = _settings.max_requests
max_requests_jitter = _settings.max_requests // 10
preload_app = True  # one mapped model and one set of compiled kernels for all workers
control_socket_disable = True  # it would be shared by every service of this user, and needs a home to write to
accesslog = None  # the application logs each request itself


def on_starting(server):
    """Refuse at once what cannot work: a missing model, a taken port, workers that would each count for themselves."""
    from recsys_api.serving import EXTENSION

    here = server.app.wsgi().extensions[EXTENSION]
    if isinstance(here.model, ModelUnavailable):
        sys.exit(f"error: {here.model}")
    if not here.metrics.counts_with_others:
        sys.exit("error: prometheus_client was imported before config/gunicorn.conf.py could set its shared folder.")
    _refuse_taken_port(_settings.host, _settings.port)
    here.metrics.workers.labels("expected").set(server.cfg.workers)


def on_reload(server):
    """Take the model that is current now; the application itself is the one that was preloaded."""
    from recsys_api.app import reopen_model

    reopen_model(server.app.wsgi())


def when_ready(server):
    """Tell a person where to go."""
    host = "localhost" if _settings.host in {"127.0.0.1", "0.0.0.0", "::", "::1"} else _settings.host  # noqa: S104
    url = f"http://{host}:{_settings.port}"
    print(
        f"Movie Recommendation API: {url}/\n"
        f"  docs     {url}/docs\n"
        f"  health   {url}/health\n"
        f"  metrics  {url}/metrics\n"
        f"  try      {url}/search?query=seven+samurai",
        file=sys.stderr,
        flush=True,
    )


def nworkers_changed(server, new_value, old_value):
    """Keep the expected number of workers in the metrics."""
    server.app.wsgi().extensions["recsys_metrics"].workers.labels("expected").set(new_value)


def pre_fork(server, worker):
    """Give the worker the lowest slot that no live worker has."""
    from recsys_api.metrics import slots

    worker.slot = slots.lowest_free(other.slot for other in server.WORKERS.values())


def post_fork(server, worker):
    """Count in the slot's files from here on."""
    from recsys_api.metrics import slots

    slots.become(worker.slot)


def post_worker_init(worker):
    """Say that this worker serves."""
    from recsys_api.app import worker_started

    worker_started(worker.app.wsgi())


def child_exit(server, worker):
    """Free the slot."""
    from recsys_api.metrics import slots

    slots.free(worker.slot)


def _refuse_taken_port(host, port):
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            sys.exit(
                f"error: cannot listen on {host}:{port} ({error.strerror}); "
                "stop what listens there or set RECSYS_PORT or RECSYS_HOST."
            )
