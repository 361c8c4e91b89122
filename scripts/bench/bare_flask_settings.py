"""gunicorn for bare Flask: the service's own settings, without the hooks that need the service.

The worker class is one of them: what makes the service's worker faster than gunicorn's gthread serves bare Flask, too,
and is no advantage of the service in the comparison.
"""
import runpy
from pathlib import Path

_ours = runpy.run_path(str(Path(__file__).resolve().parents[2] / "config" / "gunicorn.conf.py"))
_SAME = (
    "bind", "worker_class", "threads", "timeout", "graceful_timeout", "keepalive", "preload_app",
    "control_socket_disable", "logger_class", "loglevel", "accesslog",
)  # fmt: skip
globals().update({name: _ours[name] for name in _SAME})
wsgi_app = "scripts.bench.bare_flask:app"
