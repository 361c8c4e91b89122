"""Prometheus, Alertmanager and what else of the monitoring is installed, as processes of this machine.

Needs nothing but Python's own library, so that scripts/start_monitoring.sh can use it before anything is installed. The
configuration is that of monitoring/; what is changed on the way are addresses and, for drills, durations.
"""
from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONFIGURATION = ROOT / "monitoring"
UNPACKED = ROOT / ".servers" / "usr" / "bin"
PROGRAMS = {
    "prometheus": ("prometheus",),
    "alertmanager": ("alertmanager", "prometheus-alertmanager"),
    "node-exporter": ("node_exporter", "prometheus-node-exporter"),
    "grafana": ("grafana", "grafana-server"),
}
"""Each part with the names that its program has, in the archives of its makers and in Debian's packages."""
READY = {
    "prometheus": "/-/ready", "alertmanager": "/-/ready", "node-exporter": "/metrics", "grafana": "/api/health",
}  # fmt: skip
DEADLINE_SECONDS = 60.0
RETENTION = "45d"
COLLECTORS = (
    "--collector.disable-defaults", "--collector.cpu", "--collector.meminfo", "--collector.loadavg",
    "--collector.filesystem",
)  # fmt: skip
"""What the node exporter is asked for: what rules read."""

_DURATION = r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)"
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATIONS = (
    re.compile(rf"(?P<before>\[){_DURATION}(?=[\]:])"),
    re.compile(rf"(?P<before>:){_DURATION}(?=\])"),
    re.compile(rf"(?P<before>\boffset ){_DURATION}\b"),
    re.compile(rf"(?P<before>^\s*(?:- )?(?:for|interval|\w+_(?:interval|timeout|wait)): ){_DURATION}\b", re.MULTILINE),
)

_TIMES = {"query.lookback-delta": 300.0, "rules.alert.resend-delay": 60.0}
"""Prometheus's flags of time with their defaults, in seconds."""
_ROLE = re.compile(r"^  - name: (screen|heartbeat|pages|platform|tickets)$", re.MULTILINE)

_TEMPLATES = Path("/usr/share/prometheus/alertmanager/default.tmpl")
"""Debian's Alertmanager does not start without it, wherever its program is."""
_PROC = Path("/proc")
_BOOT = _PROC / "sys" / "kernel" / "random" / "boot_id"
_STARTED = 19  # the place in /proc/<pid>/stat after the name: man 5 proc

Shorten = Callable[[float], float]
"""Given a duration in seconds, what it becomes."""


class MonitoringError(Exception):
    """A part that is missing or does not start; the message says which, why, and what to do."""


@dataclass(frozen=True)
class Addresses:
    """Where the parts are, as host:port; the parts that are not there are None."""

    api: Sequence[str] = ("localhost:8000",)
    prometheus: str = "localhost:9090"
    alertmanager: str = "localhost:9093"
    node_exporter: str | None = None
    grafana: str = "localhost:3000"


def write_configuration(
    folder: Path, addresses: Addresses, *, shorten: Shorten | None = None, webhook: str | None = None
) -> None:
    """Put a copy of monitoring/ for `addresses` into `folder`.

    The rest is for drills: each duration of the rules, the scrapes and the notifications becomes what `shorten`
    returns, and every role that is told of alerts gets the URL `webhook`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("rules", "alertmanager"):  # what was taken away there, a rule or a secret, is taken away here
        shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(CONFIGURATION / name, folder / name)
    for name in ("prometheus.yml", "alertmanager.yml"):
        shutil.copy(CONFIGURATION / name, folder)
    prometheus = folder / "prometheus.yml"
    prometheus.write_text(_with_addresses(prometheus.read_text(encoding="utf-8"), addresses), encoding="utf-8")
    if webhook is not None:
        alertmanager = folder / "alertmanager.yml"
        told = rf"\g<0>\n    webhook_configs: [{{url: '{webhook}', send_resolved: true}}]"
        alertmanager.write_text(_ROLE.sub(told, alertmanager.read_text(encoding="utf-8")), encoding="utf-8")
    if shorten is not None:
        for path in (prometheus, folder / "alertmanager.yml", *(folder / "rules").glob("*.yml")):
            path.write_text(with_durations(path.read_text(encoding="utf-8"), shorten), encoding="utf-8")


def with_durations(text: str, shorten: Shorten) -> str:
    """The text of a configuration with every duration that counts there changed by `shorten`."""

    def change(found: re.Match[str]) -> str:
        seconds = shorten(float(found[2]) * _SECONDS[found[3]])
        return f"{found['before']}{_milliseconds(seconds)}"

    for pattern in _DURATIONS:
        text = pattern.sub(change, text)
    return text


def _milliseconds(seconds: float) -> str:
    return f"{max(round(seconds * 1000), 1)}ms"


def _with_addresses(text: str, addresses: Addresses) -> str:
    """What is listed as shipped is changed; other targets, replicas elsewhere for one, stay as they are."""
    there: dict[str, Sequence[str]] = {
        "api:8000": addresses.api,
        "localhost:9090": [addresses.prometheus],
        "alertmanager:9093": [addresses.alertmanager],
        "node-exporter:9100": [addresses.node_exporter] if addresses.node_exporter else [],
        "cadvisor:8080": [],
    }
    for name, targets in there.items():
        text = text.replace(f'["{name}"]', json.dumps(list(targets)))
    return text.replace("http://localhost:3000", f"http://{addresses.grafana}")


def find_program(part: str) -> str | None:
    """The path of the program of a part, or of a tool of its makers, on this machine."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", str(UNPACKED)])
    found = next((found for name in PROGRAMS.get(part, (part,)) if (found := shutil.which(name, path=path))), None)
    if found and part == "alertmanager" and Path(found).parent == UNPACKED and not _TEMPLATES.exists():
        return None
    return found


@dataclass
class Stack:
    """Parts at work in `folder`, with their logs beside their data."""

    folder: Path
    addresses: Addresses
    shorten: Shorten = lambda seconds: seconds
    pids: dict[str, int] = field(default_factory=dict)
    interrupted: threading.Event = field(default_factory=threading.Event)
    """Set by whoever wants a start to end: an exception out of a signal could be lost wherever Python happens to be."""

    def start(self, parts: Sequence[str], *, started: Callable[[], None] = lambda: None) -> None:
        """Start the parts and return once all are ready; if one does not get there, none is left.

        `started` is called whenever another part has a process. Raises MonitoringError.
        """
        try:
            for part in parts:
                self._go_on()
                self._start(part)
                started()
            for part in parts:
                self._wait(part)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End every part, and forget it."""
        for pid in self.pids.values():
            end(pid)
        self.pids.clear()

    def _go_on(self) -> None:
        if self.interrupted.is_set():
            raise MonitoringError("interrupted; nothing was left running.")

    def _start(self, part: str) -> None:
        program = find_program(part)
        if program is None:
            raise MonitoringError(f"{part} is not installed; {how_to_get(part)}")
        address = self._address(part)
        if _is_taken(address):
            raise MonitoringError(
                f"something listens at {address} already; stop it, or set {variable_of_port(part)} to another port."
            )
        (self.folder / part).mkdir(parents=True, exist_ok=True)
        with self._log(part).open("w") as log:
            process = subprocess.Popen(  # noqa: S603 - a program that was looked up, with arguments of ours
                [program, *self._arguments(part, program)],
                cwd=self.folder, env=self._environment(part), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self.pids[part] = process.pid
        # Reaps it, so that one that has ended is seen to have ended.
        threading.Thread(target=process.wait, daemon=True).start()

    def _arguments(self, part: str, program: str) -> list[str]:
        port = self._address(part).rpartition(":")[2]
        here = f"127.0.0.1:{port}"
        if part == "prometheus":
            return [
                "--config.file=prometheus.yml", "--storage.tsdb.path=prometheus",
                f"--storage.tsdb.retention.time={RETENTION}", f"--web.listen-address={here}",
                f"--web.external-url=http://{self._address(part)}",
                *(f"--{name}={_milliseconds(self.shorten(seconds))}" for name, seconds in _TIMES.items()),
            ]  # fmt: skip
        if part == "alertmanager":
            return [
                "--config.file=alertmanager.yml", "--storage.path=alertmanager-data", f"--web.listen-address={here}",
                f"--web.external-url=http://{self._address(part)}", "--cluster.listen-address=",
            ]  # fmt: skip
        if part == "node-exporter":
            return [f"--web.listen-address={here}", *COLLECTORS]
        home = Path("/usr/share/grafana")
        command = ["server"] if Path(program).name == "grafana" else []
        return [*command, *([f"--homepath={home}"] if home.is_dir() else [])]

    def _environment(self, part: str) -> Mapping[str, str]:
        if part != "grafana":
            return os.environ
        return {
            "GF_SECURITY_ADMIN_USER": os.environ.get("GRAFANA_USER", "admin"),
            "GF_SECURITY_ADMIN_PASSWORD": grafana_password(),
            "GF_USERS_ALLOW_SIGN_UP": "false",
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
            "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
            **os.environ,
            "GF_SERVER_HTTP_ADDR": "127.0.0.1",
            "GF_SERVER_HTTP_PORT": self._address(part).rpartition(":")[2],
            "GF_PATHS_DATA": str(self.folder / "grafana"),
            "GF_PATHS_LOGS": str(self.folder / "grafana"),
            "GF_PATHS_PROVISIONING": str(CONFIGURATION / "grafana" / "provisioning"),
            "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH": str(CONFIGURATION / "grafana" / "dashboards" / "api.json"),
            "DASHBOARDS_PATH": str(CONFIGURATION / "grafana" / "dashboards"),
            "PROMETHEUS_URL": f"http://{self.addresses.prometheus}",
        }

    def _wait(self, part: str) -> None:
        end_of_patience = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < end_of_patience:
            self._go_on()
            if _answers(f"http://{self._address(part)}{READY[part]}", 5.0):
                return
            if not lives(self.pids[part]):
                break
            self.interrupted.wait(0.05)
        lines = self._log(part).read_text(errors="replace").splitlines()
        errors = [line for line in lines if "level=error" in line.lower()]
        last = "\n".join((errors or lines)[-5:])
        raise MonitoringError(f"{part} does not start; its log ({self._log(part)}) says:\n{last}")

    def _log(self, part: str) -> Path:
        return self.folder / f"{part}.log"

    def _address(self, part: str) -> str:
        address = getattr(self.addresses, part.replace("-", "_"))
        if address is None:
            raise MonitoringError(f"{part} has no address.")
        return str(address)


def grafana_password() -> str:
    """What Grafana's first user gets as password."""
    return os.environ.get("GRAFANA_PASSWORD", "admin123")


def variable_of_port(part: str) -> str:
    """The variable that sets a part's port."""
    return f"{part.upper().replace('-', '_')}_PORT"


def how_to_get(part: str) -> str:
    """A sentence on where a part comes from."""
    if part == "grafana":
        return "install Grafana as https://grafana.com/docs/grafana/latest/setup-grafana/installation/ describes."
    if part == "alertmanager" and (UNPACKED / "prometheus-alertmanager").exists():
        return f"Debian's was unpacked, and needs {_TEMPLATES}: sudo apt install prometheus-alertmanager puts it there."
    package = "prometheus" if part == "prometheus" else f"prometheus-{part}"
    return f"on Debian and Ubuntu: apt install {package}; else from https://prometheus.io/download/."


def lives(pid: int) -> bool:
    """Whether a process has not ended yet; one that nobody has reaped has ended."""
    if _PROC.is_dir():
        return _state(pid)[:1] not in ([], ["Z"])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def started_at(pid: int) -> str:
    """When a process was started, since which start of the machine; empty where the system does not say."""
    if not _BOOT.exists():
        return ""
    return " ".join([_BOOT.read_text().strip(), *_state(pid)[_STARTED : _STARTED + 1]])


def _state(pid: int) -> list[str]:
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def end(pid: int) -> None:
    """End a process: ask it, and kill it where it does not listen."""
    for number, patience in ((signal.SIGTERM, 15.0), (signal.SIGKILL, 5.0)):
        pause, end_of_patience = threading.Event(), time.monotonic() + patience
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        while lives(pid) and time.monotonic() < end_of_patience:
            pause.wait(0.02)
        if not lives(pid):
            return


def _is_taken(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1.0):
            return True
    except OSError:
        return False


def _answers(url: str, timeout: float) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:  # noqa: S310 - an address of this machine
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError, ValueError):
        return False
