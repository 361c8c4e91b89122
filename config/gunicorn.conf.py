"""How gunicorn runs the service. Workers come from WEB_CONCURRENCY, everything else from RECSYS_ settings."""
import errno
import os
import signal
import socket
import sys

from gunicorn.glogging import Logger

from recsys_api.errors import ModelUnavailable, SettingsError
from recsys_api.settings import Settings

try:
    _settings = Settings.from_environment()
except SettingsError as error:
    sys.exit(f"error: {error}")
_workers = int(os.environ.get("WEB_CONCURRENCY", "1"))  # gunicorn has refused already what is no number
if _workers < 1:
    sys.exit(f"error: WEB_CONCURRENCY={_workers} cannot be used: it is the number of worker processes, at least 1.")

# Before prometheus_client is imported anywhere, so that it counts in files that all workers share.
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_settings.metrics_dir)

from recsys_api import logs  # noqa: E402
from recsys_api.metrics import slots  # noqa: E402
from recsys_api.worker import Worker  # noqa: E402

slots.will_fork()
if not slots.in_use() and (reason := slots.unusable(_settings.metrics_dir, _workers)):
    sys.exit(
        f"error: workers cannot count together in {_settings.metrics_dir} ({reason}); "
        "set RECSYS_METRICS_DIR to a folder on a local disk that can be written and is not full."
    )
logs.configure(_settings)


class _OneForm(Logger):
    """gunicorn's own messages, in the form of all others."""

    def setup(self, cfg):
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            log.handlers.clear()
            log.propagate = True


wsgi_app = "wsgi:app"
bind = f"[{_settings.host}]:{_settings.port}" if ":" in _settings.host else f"{_settings.host}:{_settings.port}"
worker_class = Worker
threads = _settings.threads
timeout = _settings.timeout
graceful_timeout = _settings.timeout
keepalive = 5
pidfile = str(_settings.metrics_dir / "gunicorn.pid")
max_requests = _settings.max_requests
max_requests_jitter = _settings.max_requests // 10
preload_app = True  # one mapped model and one set of compiled kernels for all workers
control_socket_disable = True  # it would be shared by every service of this user, and needs a home to write to
logger_class = _OneForm
loglevel = _settings.log_level
accesslog = None  # the application logs each request itself


def _held(server):
    """What the application holds: settings, metrics and the model."""
    from recsys_api.serving import EXTENSION

    return server.app.wsgi().extensions[EXTENSION]


def on_starting(server):
    """Refuse at once what cannot work: a missing model, a taken port, workers that would each count for themselves."""
    here = _held(server)
    if isinstance(here.model, ModelUnavailable):
        sys.exit(f"error: {here.model}")
    if not here.metrics.slots.counts_with_others:
        sys.exit("error: prometheus_client was imported before config/gunicorn.conf.py could set its shared folder.")
    _refuse_taken_port(_settings.host, _settings.port)
    here.metrics.slots.forget_earlier_run()
    here.metrics.slots.expected = server.cfg.workers
    here.metrics.snapshot()  # the workers inherit what it learns about the series


def pre_exec(server):
    """Refuse gunicorn's upgrade in place (USR2): two masters would give their workers the same slots."""
    server.log.error("no second master is started beside this one; start a new service with its own RECSYS_METRICS_DIR")
    os._exit(1)


def on_reload(server):
    """Take the model that is current now; the application itself is the one that was preloaded."""
    from recsys_api.app import reopen_model

    for pid, worker in server.WORKERS.items():
        worker.reloads = getattr(worker, "reloads", 0) + 1
        if worker.reloads > 1:  # it hangs since the last reload; a third generation would need a third set of slots
            os.kill(pid, signal.SIGKILL)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    server.reap_workers()
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
        f"  try      {url}/search?query=seven+samurai\n"
        f"  reload   kill -HUP {os.getpid()}",
        file=sys.stderr,
        flush=True,
    )


def nworkers_changed(server, new_value, old_value):
    """Keep the expected number of workers in the metrics."""
    _held(server).metrics.slots.expected = new_value


def pre_fork(server, worker):
    """Give the worker the lowest slot that no live worker has."""
    taken = [other.slot for other in server.WORKERS.values()]
    worker.slot = _held(server).metrics.slots.reserve(taken)


def post_fork(server, worker):
    """Count in the slot's files from here on, and say that this worker serves."""
    from recsys_api.app import worker_started

    its_slots = _held(server).metrics.slots
    its_slots.take(worker.slot)
    worker_started(server.app.wsgi())
    its_slots.begin()


def worker_exit(server, worker):
    """Say why the worker ends, where it still can."""
    if worker.pid == os.getpid():
        recycled = worker.nr >= worker.max_requests
        _held(server).metrics.slots.say_farewell("recycled" if recycled else "exit")


def child_exit(server, worker):
    """Count the worker's end, log what it leaves unanswered, and free its slot."""
    unanswered = _held(server).metrics.worker_ended(worker.slot, timed_out=worker.aborted)
    logs.requests_lost(unanswered, timed_out=worker.aborted)


def _refuse_taken_port(host, port):
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        remedy = {
            errno.EADDRINUSE: "stop what listens there, or set RECSYS_PORT to another port",
            errno.EACCES: "set RECSYS_PORT to 1024 or more",
        }.get(error.errno, "set RECSYS_HOST to an address of this machine")
        sys.exit(f"error: cannot listen on {host}:{port} ({error.strerror}); {remedy}.")
