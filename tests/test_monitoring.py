"""The monitoring stack: its configuration by the tools of its makers, its messages, and the scripts that start it."""
from __future__ import annotations

import fcntl
import http.server
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import requests
import yaml

from recsys_api.version import __version__
from scripts import drill, monitoring_stack
from scripts.monitoring_stack import Addresses, Stack, with_durations, write_configuration

from .conftest import ROOT, Service, free_port, require, wait_until

MONITORING = ROOT / "monitoring"
COMPOSE = ROOT / "docker-compose.monitoring.yml"
DASHBOARDS = MONITORING / "grafana" / "dashboards"


def tool(name: str, *arguments: object) -> str:
    """What a tool prints; the test fails where its exit status is not 0."""
    ended = subprocess.run(
        [require(name), *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_prometheus_accepts_its_configuration() -> None:
    tool("promtool", "check", "config", MONITORING / "prometheus.yml")


def test_alertmanager_accepts_its_configuration() -> None:
    assert "SUCCESS" in tool("amtool", "check-config", MONITORING / "alertmanager.yml")


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ({"alertname": "RecsysServiceDown", "severity": "critical", "service": "recsys-api"}, "pages"),
        ({"alertname": "RecsysModelStale", "severity": "warning", "service": "recsys-api"}, "tickets"),
        ({"alertname": "HostMemoryLow", "severity": "warning", "service": "host"}, "platform"),
        ({"alertname": "PrometheusRuleFailures", "severity": "critical", "service": "monitoring"}, "pages"),
        ({"alertname": "Watchdog", "severity": "none", "service": "monitoring"}, "heartbeat"),
        ({"alertname": "SomethingElse"}, "screen"),
    ],
)
def test_an_alert_goes_to_its_role(labels: dict[str, str], receiver: str) -> None:
    pairs = [f"{name}={value}" for name, value in labels.items()]
    routed = tool("amtool", "config", "routes", "test", f"--config.file={MONITORING / 'alertmanager.yml'}", *pairs)
    assert routed.split() == [receiver]


def test_inhibitions_name_alerts_that_exist() -> None:
    rules = yaml.safe_load((MONITORING / "rules" / "alerts.yml").read_text())
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    routing = yaml.safe_load((MONITORING / "alertmanager.yml").read_text())
    matchers = [m for rule in routing["inhibit_rules"] for m in rule["source_matchers"] + rule["target_matchers"]]
    named = {name for matcher in matchers for name in re.findall(r"\bRecsys\w+(?!\.)\b", matcher)}
    assert named
    assert named <= alerts


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[Any]:
    """Starts a real Alertmanager whose alerts of the highest severity go to the receiver of the given name."""
    stacks = []

    def running(receiver: str, edits: Sequence[tuple[str, str]] = (), **secrets: str) -> str:
        require("alertmanager")
        addresses = Addresses(alertmanager=f"127.0.0.1:{free_port()}")
        write_configuration(tmp_path, addresses, shorten=drill.shortening(60))
        for name, secret in secrets.items():
            (tmp_path / "alertmanager" / "secrets" / name).write_text(secret)
        path = tmp_path / "alertmanager.yml"
        text = path.read_text().replace("receiver: pages", f"receiver: {receiver}")
        for old, new in edits:
            assert old in text
            text = text.replace(old, new)
        path.write_text(text)
        stack = Stack(tmp_path, addresses)
        stack.start(["alertmanager"])
        stacks.append(stack)
        return f"http://{addresses.alertmanager}"

    yield running
    for stack in stacks:
        stack.stop()


ALERT = {
    "labels": {
        "alertname": "RecsysServiceDown", "severity": "critical", "service": "recsys-api", "environment": "production",
    },
    "annotations": {
        "summary": "The service is down.", "description": "All 3 replicas do not answer.",
        "runbook_url": "https://example.org/runbook.md#recsysservicedown",
        "dashboard_url": "http://localhost:3000/d/recsys-api",
    },
}  # fmt: skip


class Receiver:
    """An HTTP server that keeps what it is sent."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], Any]] = []
        kept = self.requests

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                kept.append((dict(self.headers), body))
                self.send_response(202)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def first(self) -> tuple[dict[str, str], Any]:
        """Headers and content of the first request, once it is there."""
        wait_until(lambda: bool(self.requests), "a message")
        return self.requests[0]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    here = Receiver()
    threading.Thread(target=here.server.serve_forever, daemon=True).start()
    yield here
    here.server.shutdown()
    here.server.server_close()


def test_a_message_for_a_chat_says_what_and_where_to_go(alertmanager: Any, receiver: Receiver) -> None:
    url = alertmanager("slack", slack_url=receiver.url + "/chat")
    assert requests.post(f"{url}/api/v2/alerts", json=[ALERT], timeout=10).ok
    said = receiver.first()[1]["attachments"][0]
    assert said["title"] == "CRITICAL: The service is down. (production)"
    assert said["title_link"] == "http://localhost:3000/d/recsys-api"
    lines = said["text"].splitlines()
    assert lines[0] == "All 3 replicas do not answer."
    assert re.fullmatch(r"RecsysServiceDown, since \d\d:\d\d:\d\d UTC", lines[1])
    assert lines[2:4] == [
        "What to do: https://example.org/runbook.md#recsysservicedown", "Dashboard: http://localhost:3000/d/recsys-api",
    ]  # fmt: skip


def test_a_page_says_the_same_and_how_bad_it_is(alertmanager: Any, receiver: Receiver) -> None:
    key = "routing_key_file: alertmanager/secrets/pagerduty_key"
    url = alertmanager("pagerduty", [(key, f"{key}\n        url: {receiver.url}")], pagerduty_key="k" * 32)
    assert requests.post(f"{url}/api/v2/alerts", json=[ALERT], timeout=10).ok
    said = receiver.first()[1]
    assert said["routing_key"] == "k" * 32
    assert said["payload"]["summary"] == "CRITICAL: The service is down. (production)"
    assert said["payload"]["severity"] == "critical"
    assert said["payload"]["custom_details"]["what"].startswith("All 3 replicas do not answer.\n")


def test_a_webhook_gets_its_token_from_a_file(alertmanager: Any, receiver: Receiver) -> None:
    url = alertmanager("webhook", [("http://localhost:9095/alerts", receiver.url)], webhook_token="a-token")
    assert requests.post(f"{url}/api/v2/alerts", json=[ALERT], timeout=10).ok
    headers, said = receiver.first()
    assert headers["Authorization"] == "Bearer a-token"
    assert [alert["labels"] for alert in said["alerts"]] == [ALERT["labels"]]


def test_a_message_by_mail_is_html_without_a_gap(tmp_path: Path) -> None:
    data = {
        "status": "firing", "commonLabels": ALERT["labels"], "commonAnnotations": ALERT["annotations"],
        "externalURL": "http://localhost:9093", "groupLabels": {}, "receiver": "email",
        "alerts": [{"status": "firing", **ALERT, "startsAt": "2026-01-02T03:04:05Z"}],
    }  # fmt: skip
    (tmp_path / "data.json").write_text(json.dumps(data))
    html = tool(
        "amtool", "template", "render", "--template.type=html", f"--template.data={tmp_path / 'data.json'}",
        f"--template.glob={MONITORING / 'alertmanager' / '*.tmpl'}", '--template.text={{ template "recsys.html" . }}',
    )  # fmt: skip
    assert "<h2" in html
    assert "All 3 replicas do not answer." in html
    assert "since 2026-01-02 03:04:05 UTC" in html
    assert 'href="https://example.org/runbook.md#recsysservicedown"' in html


def test_every_secret_is_read_from_a_file() -> None:
    text = (MONITORING / "alertmanager.yml").read_text()
    assert not re.search(r"\b(api_url|routing_key|auth_password|credentials|password|bearer_token):", text)


def test_only_durations_that_count_are_shortened() -> None:
    text = """
      - alert: Slow
        expr: rate(a:rate5m{slo="latency-100ms"}[5m]) > 2 * rate(b[1h:30s] offset 1d)
        for: 10m
        labels: {window: 1h}
    interval: 30s
    group_wait: 10s
"""
    assert with_durations(text, lambda seconds: seconds / 10) == """
      - alert: Slow
        expr: rate(a:rate5m{slo="latency-100ms"}[30000ms]) > 2 * rate(b[360000ms:3000ms] offset 8640000ms)
        for: 60000ms
        labels: {window: 1h}
    interval: 3000ms
    group_wait: 1000ms
"""


def test_shortened_durations_keep_their_order() -> None:
    shorten = drill.shortening(30)
    seconds = [10, 60, 300, 1800, 3600, 7200, 21600, 86400, 259200, 2592000]
    shortened = [shorten(float(duration)) for duration in seconds]
    assert shortened == sorted(set(shortened))
    assert drill.shortening(1)(86400.0) == 86400.0


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The compose file as it is without anything set in the environment."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", COMPOSE.read_text()).replace("$$", "$")
    compose_spec.PyOptions(apply_merge=True).from_yaml(text).validate()
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def test_the_compose_file_is_valid_and_complete(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {"api", "prometheus", "alertmanager", "grafana", "node-exporter", "cadvisor"}
    ports = {port for service in compose["services"].values() for port in service.get("ports", ())}
    assert ports == {f"127.0.0.1:{port}:{port}" for port in (8000, 9090, 9093, 3000)}
    for name, service in compose["services"].items():
        tag = service["image"].rpartition(":")[2]
        assert re.fullmatch(r"v?\d+\.\d+\.\d+", tag), f"{name} has no pinned version"
        assert service["restart"] == "unless-stopped", name
        assert service["healthcheck"]["test"], name
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}, name
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged"), name
        for volume in service.get("volumes", ()):
            mounted = volume["read_only"] if isinstance(volume, dict) else volume.endswith(":ro")
            assert mounted or volume.partition(":")[0] in compose["volumes"], name
    assert compose["services"]["api"]["image"] == f"recsys-api:{__version__}"
    users = {name: service.get("user", "the image's") for name, service in compose["services"].items()}
    assert {name for name, user in users.items() if user == "the image's"} == {"api", "cadvisor"}
    assert re.search(r"^USER \d{3,}$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)


def test_what_the_compose_file_mounts_is_there(compose: dict[str, Any]) -> None:
    mounted = [
        volume.partition(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", ())
        if isinstance(volume, str) and volume.startswith("./")
    ]
    assert len(mounted) >= 5
    for path in mounted:
        assert (ROOT / path).exists(), path
    for volume in compose["volumes"]:
        assert any(f"{volume}:/" in str(service.get("volumes")) for service in compose["services"].values()), volume


def test_prometheus_looks_for_the_parts_where_the_compose_file_has_them(compose: dict[str, Any]) -> None:
    configuration = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    assert configuration["global"]["scrape_interval"] == "10s"
    hosts = {job["job_name"]: job["static_configs"][0]["targets"][0] for job in configuration["scrape_configs"]}
    assert hosts.pop("prometheus") == "localhost:9090"
    assert hosts["recsys-api"] == "api:8000"
    assert {host.partition(":")[0] for host in hosts.values()} <= set(compose["services"])
    for job in configuration["scrape_configs"]:
        assert set(job["static_configs"][0]["labels"]) == {"service", "environment"}, job["job_name"]


def test_of_the_containers_prometheus_keeps_what_rules_read() -> None:
    jobs = yaml.safe_load((MONITORING / "prometheus.yml").read_text())["scrape_configs"]
    kept = next(job for job in jobs if job["job_name"] == "containers")["metric_relabel_configs"][0]["regex"]
    rules = (MONITORING / "rules" / "alerts.yml").read_text()
    assert set(kept.split("|")) == set(re.findall(r"\bcontainer_\w+", rules))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the scripts need, so that nothing they leave is in the way of a person's own stack."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("scripts", "monitoring"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(COMPOSE, folder)
    for name in (".venv", ".servers"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def run_script(folder: Path, name: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [folder / "scripts" / name, *arguments], cwd=folder, env={**os.environ, **variables}, capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture
def ports() -> dict[str, str]:
    return {f"{part}_PORT": str(free_port()) for part in ("PROMETHEUS", "ALERTMANAGER", "GRAFANA", "NODE_EXPORTER")}


def answers_nowhere(ports: dict[str, str]) -> bool:
    for port in ports.values():
        try:
            requests.get(f"http://127.0.0.1:{port}/", timeout=5)
        except requests.ConnectionError:
            continue
        return False
    return True


def test_the_native_stack_starts_watches_the_service_and_stops(
    checkout: Path, service: Service, ports: dict[str, str]
) -> None:
    require("prometheus")
    require("alertmanager")
    ports["RECSYS_PORT"] = service.url.rpartition(":")[2]
    started = run_script(checkout, "start_monitoring.sh", "--native", **ports)
    try:
        assert started.returncode == 0, started.stderr
        prometheus = f"http://localhost:{ports['PROMETHEUS_PORT']}"
        assert f"{prometheus}/alerts" in started.stdout
        assert f"http://localhost:{ports['ALERTMANAGER_PORT']}" in started.stdout
        assert f"{service.url.replace('127.0.0.1', 'localhost')}  (ready)" in started.stdout
        rules = requests.get(f"{prometheus}/api/v1/rules", timeout=10).json()["data"]["groups"]
        assert {Path(group["file"]).name for group in rules} == {"recording.yml", "alerts.yml"}
        targets = f"{prometheus}/api/v1/targets"
        wait_until(
            lambda: requests.get(targets, timeout=5).text.count('"health":"up"') >= 3, "a scrape of every target"
        )
        again = run_script(checkout, "start_monitoring.sh", "--native", **ports)
        assert again.returncode == 1
        assert "runs already" in again.stderr
    finally:
        stopped = run_script(checkout, "stop_monitoring.sh")
    assert stopped.stdout.count("stopped ") >= 2
    del ports["RECSYS_PORT"]
    assert answers_nowhere(ports)
    assert "Nothing to stop" in run_script(checkout, "stop_monitoring.sh").stdout


def test_a_stack_that_cannot_start_whole_leaves_nothing(checkout: Path, ports: dict[str, str]) -> None:
    require("prometheus")
    require("alertmanager")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(ports["PROMETHEUS_PORT"])))
        taken.listen()
        started = run_script(checkout, "start_monitoring.sh", "--native", **ports)
    assert started.returncode == 1
    assert f"something listens at localhost:{ports['PROMETHEUS_PORT']} already" in started.stderr
    assert answers_nowhere(ports)
    assert "Nothing to stop" in run_script(checkout, "stop_monitoring.sh").stdout


def test_a_part_that_dies_is_shown_with_its_last_words(checkout: Path, ports: dict[str, str], tmp_path: Path) -> None:
    require("prometheus")
    require("alertmanager")
    shutil.copytree(checkout, tmp_path / "broken", symlinks=True, ignore=shutil.ignore_patterns("run"))
    with (tmp_path / "broken" / "monitoring" / "rules" / "alerts.yml").open("a") as rules:
        rules.write("\nnonsense: true\n")
    started = run_script(tmp_path / "broken", "start_monitoring.sh", "--native", **ports)
    assert started.returncode == 1
    assert "prometheus does not start" in started.stderr
    assert "nonsense" in started.stderr
    assert answers_nowhere(ports)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_start_that_is_interrupted_leaves_nothing(
    checkout: Path, ports: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    """A stand-in for Grafana that never gets ready keeps it waiting."""
    require("prometheus")
    require("alertmanager")
    grafana = tmp_path / "grafana"
    grafana.write_text("#!/bin/sh\nexec sleep 60\n")
    grafana.chmod(0o755)
    with subprocess.Popen(
        [sys.executable, "scripts/native_monitoring.py", "start"], cwd=checkout, text=True, stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL, env={**os.environ, **ports, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    ) as started:  # fmt: skip
        remembered = checkout / "run" / "monitoring" / "started.json"
        wait_until(lambda: remembered.exists() and '"grafana"' in remembered.read_text(), "the start of the last part")
        started.send_signal(number)
        assert started.stderr is not None
        assert started.stderr.read() == "error: interrupted; nothing was left running.\n"
    assert started.returncode == 1
    assert answers_nowhere(ports)
    assert not remembered.exists()


def test_two_starts_at_once_do_not_meet(checkout: Path, ports: dict[str, str]) -> None:
    lock = checkout / "run" / "monitoring" / "lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        for action in ("start", "stop"):
            ended = subprocess.run(
                [sys.executable, "scripts/native_monitoring.py", action], cwd=checkout, env={**os.environ, **ports},
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert ended.returncode == 1
            assert "being started or stopped already" in ended.stderr
    assert answers_nowhere(ports)


def test_targets_of_ones_own_are_left_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(MONITORING, tmp_path / "monitoring")
    path = tmp_path / "monitoring" / "prometheus.yml"
    path.write_text(path.read_text().replace('["api:8000"]', '["api-1:8000", "api-2:8000"]'))
    monkeypatch.setattr(monitoring_stack, "CONFIGURATION", tmp_path / "monitoring")
    write_configuration(tmp_path / "run", Addresses(alertmanager="localhost:9193"))
    written = (tmp_path / "run" / "prometheus.yml").read_text()
    assert '["api-1:8000", "api-2:8000"]' in written
    assert written.count('["localhost:9193"]') == 2


def test_what_is_taken_away_from_the_configuration_is_forgotten(tmp_path: Path) -> None:
    write_configuration(tmp_path, Addresses())
    left = (tmp_path / "rules" / "team.yml", tmp_path / "alertmanager" / "secrets" / "slack_url")
    for path in left:
        path.write_text("groups: []")
    write_configuration(tmp_path, Addresses())
    assert not any(path.exists() for path in left)


def test_the_node_exporter_is_asked_for_the_same_everywhere(compose: dict[str, Any]) -> None:
    flags = [flag for flag in compose["services"]["node-exporter"]["command"] if flag.startswith("--collector")]
    assert set(monitoring_stack.COLLECTORS) == {flag for flag in flags if "exclude" not in flag}
    assert f"--storage.tsdb.retention.time={monitoring_stack.RETENTION}" in compose["services"]["prometheus"]["command"]


@pytest.fixture
def docker(tmp_path: Path) -> Any:
    """A stand-in for Docker, which notes what it is told."""

    def stand_in(*, ends_up_with: int, runs: str = "") -> tuple[dict[str, str], Callable[[], str]]:
        program = tmp_path / "docker"
        program.write_text(
            f'#!/bin/sh\necho "$@" >>{tmp_path}/told\n'
            f'case "$*" in *" up "*) exit {ends_up_with} ;; *" ps --quiet"*) echo {runs} ;; esac\n'
        )
        program.chmod(0o755)
        return {"PATH": f"{tmp_path}:{os.environ['PATH']}"}, (tmp_path / "told").read_text

    return stand_in


def test_a_stack_that_docker_cannot_start_whole_is_taken_down(checkout: Path, docker: Any) -> None:
    path, told = docker(ends_up_with=1)
    started = run_script(checkout, "start_monitoring.sh", **path)
    assert started.returncode == 1
    assert "nothing of it was left running" in started.stderr
    assert told().index("docker-compose.monitoring.yml up") < told().index("docker-compose.monitoring.yml down")
    assert run_script(checkout, "stop_monitoring.sh").stdout.startswith("Nothing to stop")


def test_a_stack_that_docker_ran_before_is_never_taken_down(checkout: Path, docker: Any) -> None:
    for ends_up_with in (0, 1):
        path, told = docker(ends_up_with=ends_up_with, runs="0123abcd")
        started = run_script(checkout, "start_monitoring.sh", **path)
        assert started.returncode == ends_up_with
        assert run_script(checkout, "stop_monitoring.sh", **path).stdout.startswith("Nothing to stop")
        assert " down" not in told()
    assert "what ran before was left as it is" in started.stderr


def test_a_stack_that_docker_started_is_stopped(checkout: Path, docker: Any) -> None:
    path, told = docker(ends_up_with=0)
    assert run_script(checkout, "start_monitoring.sh", **path).returncode == 0
    assert run_script(checkout, "stop_monitoring.sh", **path).returncode == 0
    assert told().count("docker-compose.monitoring.yml down") == 1


@pytest.mark.parametrize("name", ["start_monitoring.sh", "stop_monitoring.sh"])
def test_the_scripts_explain_themselves(checkout: Path, name: str) -> None:
    assert "Usage" in run_script(checkout, name, "--help").stdout
    wrong = run_script(checkout, name, "--nativ")
    assert wrong.returncode == 2
    assert "--nativ is not understood" in wrong.stderr
