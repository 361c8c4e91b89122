#!/usr/bin/env python3
"""Start or stop the monitoring as processes of this machine, for start_monitoring.sh and stop_monitoring.sh.

Needs nothing but Python. What was started is remembered in run/monitoring/, and only that is ever stopped.
"""
from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.files import write_whole
from scripts.monitoring_stack import (
    ROOT,
    Addresses,
    MonitoringError,
    Stack,
    end,
    find_program,
    grafana_password,
    how_to_get,
    lives,
    started_at,
    variable_of_port,
    write_configuration,
)  # fmt: skip

FOLDER = ROOT / "run" / "monitoring"
STARTED = FOLDER / "started.json"
LOCK = FOLDER / "lock"
NEEDED = ("alertmanager", "prometheus")
WELCOME = ("node-exporter", "grafana")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PORTS = {"prometheus": 9090, "alertmanager": 9093, "node-exporter": 9100, "grafana": 3000}


def main(argv: Sequence[str] | None = None) -> int:
    """Start or stop; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["start", "stop"])
    action = parser.parse_args(argv).action
    try:
        with _alone():
            return start() if action == "start" else stop()
    except MonitoringError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def start() -> int:
    """Start what is installed, wait until it is ready, and say where it is."""
    if running := _running():
        raise MonitoringError(
            f"the monitoring runs already ({', '.join(running)}); ./scripts/stop_monitoring.sh stops it."
        )
    missing = [part for part in NEEDED if find_program(part) is None]
    if missing:
        raise MonitoringError("\n".join(f"{part} is not installed; {how_to_get(part)}" for part in missing))
    parts = [*NEEDED, *(part for part in WELCOME if find_program(part) is not None)]
    addresses = _addresses(parts)
    write_configuration(FOLDER, addresses)
    stack = Stack(FOLDER, addresses)
    print(f"Starting {', '.join(parts)} ...", flush=True)
    for number in SIGNALS:
        signal.signal(number, lambda *_: stack.interrupted.set())
    try:
        stack.start(parts, started=lambda: _remember(stack))
    finally:
        if not _running():
            STARTED.unlink(missing_ok=True)
    _ignore_signals()
    _say_where(addresses, parts)
    return 0


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Refuse to run beside another start or stop of the same checkout."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with LOCK.open("w") as lock:  # not inherited: what is started does not hold it
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MonitoringError("the monitoring is being started or stopped already; try again after that.") from None
        yield


def _ignore_signals() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def stop() -> int:
    """Stop what `start` has started, and nothing else."""
    _ignore_signals()
    running = _running()
    for part, pid in running.items():
        end(pid)
        print(f"stopped {part}")
    if not running:
        print("Nothing to stop: no monitoring runs that was started from here.")
    STARTED.unlink(missing_ok=True)
    return 0


def _addresses(parts: Sequence[str]) -> Addresses:
    at = {part: f"localhost:{_port(variable_of_port(part), PORTS[part])}" for part in PORTS}
    return Addresses(
        api=[f"localhost:{_port('RECSYS_PORT', 8000)}"],
        prometheus=at["prometheus"],
        alertmanager=at["alertmanager"],
        node_exporter=at["node-exporter"] if "node-exporter" in parts else None,
        grafana=at["grafana"],
    )


def _port(variable: str, default: int) -> int:
    text = os.environ.get(variable, str(default))
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise MonitoringError(f"{variable}={text!r} cannot be used: it is a port, from 1 to 65535.")
    return int(text)


def _remember(stack: Stack) -> None:
    """Write down which processes these are: a number alone may be another process's tomorrow."""
    write_whole(STARTED, json.dumps({part: [pid, started_at(pid)] for part, pid in stack.pids.items()}))


def _running() -> dict[str, int]:
    """The processes that were started from here and still run."""
    try:
        known = json.loads(STARTED.read_text(encoding="utf-8"))
        return {part: pid for part, (pid, started) in known.items() if lives(pid) and started_at(pid) == started}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:
        raise MonitoringError(f"{STARTED} is damaged ({error}); stop what it names, and delete it.") from None


def _say_where(addresses: Addresses, parts: Sequence[str]) -> None:
    print(
        f"\nPrometheus      http://{addresses.prometheus}/alerts\n"
        f"Alertmanager    http://{addresses.alertmanager}"
    )
    if "grafana" in parts:
        print(f"Grafana         http://{addresses.grafana}  ({os.environ.get('GRAFANA_USER', 'admin')})")
        if grafana_password() == "admin123":
            print("                Its first password is admin123; GRAFANA_PASSWORD counts at the very first start.")
            print("                Later: grafana cli admin reset-admin-password, before others can reach it.")
    if "node-exporter" in parts:
        print(f"node exporter   http://{addresses.node_exporter}/metrics")
    print(f"The service     http://{addresses.api[0]}  ({_state_of_service(addresses.api[0])})")
    for part in WELCOME:
        if part not in parts:
            print(f"Not there: {part}; {how_to_get(part)}")
    if "grafana" not in parts:
        print(
            "A dashboard without Grafana: .venv/bin/python scripts/render_dashboard.py "
            f"--prometheus http://{addresses.prometheus} --output dashboard.png"
        )
    print(f"Configuration, data and logs are in {FOLDER.relative_to(ROOT)}/; ./scripts/stop_monitoring.sh ends it.")


def _state_of_service(address: str) -> str:
    try:
        with urllib.request.urlopen(f"http://{address}/health/ready", timeout=3):
            return "ready"
    except urllib.error.HTTPError as error:
        return f"answers with status {error.code}"
    except OSError:
        return "does not answer; ./scripts/start_api.sh starts it"


if __name__ == "__main__":
    sys.exit(main())
