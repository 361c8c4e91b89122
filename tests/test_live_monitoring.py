"""The monitoring at work: five faults that raise what the runbook promises, and a service whose dashboards are full.

Three services of two workers under mixed traffic, one worker killed, are scraped by a real Prometheus with the
configuration as shipped while the faults are drilled; then it is looked at.
"""
from __future__ import annotations

import contextlib
import math
import os
import re
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from monitoring.dashboards.expressions import ONLY_FOR_FAULTS, expressions
from recsys_api.metrics.catalogue import CATALOGUE
from recsys_api.model import store
from scripts import drill, render_dashboard
from scripts.monitoring_stack import Addresses, Stack, write_configuration
from scripts.running_service import running_service
from scripts.traffic import calls, steady_traffic

from .conftest import ROOT, free_port, require, wait_until

DASHBOARDS = ROOT / "monitoring" / "grafana" / "dashboards"


@dataclass(frozen=True)
class LiveStack:
    """Three services under traffic, and the Prometheus that scrapes them."""

    prometheus: str
    urls: list[str]
    instances: list[str]
    end_traffic: Callable[[], None]


@pytest.fixture(scope="module")
def live(young_stack: LiveStack) -> LiveStack:
    """The live stack once there is enough to see: five scrapes of each service, and every rule evaluated on them.

    The slowest rules are evaluated once a minute, the first time before anything is scraped.
    """
    seen = 'min(count_over_time(up{service="recsys-api"}[10m])) >= 5'
    slowest = "service:slo_error_budget:remaining_ratio30d"

    def ripe() -> bool:
        return all(query(young_stack.prometheus, one) for one in (seen, slowest)) and "unknown" not in {
            rule["health"] for rule in rules(young_stack.prometheus)
        }

    wait_until(ripe, "a minute of scrapes and two of rules", 150)
    return young_stack


@pytest.fixture(scope="module", autouse=True)
def young_stack(measured_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """Three services of two workers, one of which is killed, under mixed traffic, watched as the product is shipped."""
    require("prometheus")
    require("alertmanager")
    folder, model = tmp_path_factory.mktemp("live"), measured_models / store.CURRENT
    with contextlib.ExitStack() as running:
        services = [
            running.enter_context(running_service(model, folder / f"service-{number}", workers=2))
            for number in range(3)
        ]
        instances = [f"127.0.0.1:{service.port}" for service in services]
        addresses = Addresses(
            api=instances, prometheus=f"127.0.0.1:{free_port()}", alertmanager=f"127.0.0.1:{free_port()}"
        )
        write_configuration(folder / "monitoring", addresses)
        stack = Stack(folder / "monitoring", addresses)
        running.callback(stack.stop)
        stack.start(("alertmanager", "prometheus"))
        traffic = running.enter_context(contextlib.ExitStack())
        for service in services:
            traffic.enter_context(steady_traffic(service.port, calls(10), rate=8, clients=2))
        os.kill(services[0].pids()[0], signal.SIGKILL)
        url = f"http://{addresses.prometheus}"
        yield LiveStack(url, [f"http://{instance}" for instance in instances], instances, traffic.close)


def test_the_runbook_tells_how_long_each_alert_takes() -> None:
    table = drill.RUNBOOK.read_text().partition(drill.BEGIN)[2].partition(drill.END)[0]
    rows = [line for line in table.splitlines() if "](#" in line]
    assert len(rows) >= len(drill.FAULTS)
    for row in rows:
        assert re.search(r"\| (?:\d+ min )?\d+ s \|$|\| silenced by Recsys\w+ \|$", row), row


def test_five_faults_raise_exactly_the_alerts_that_the_runbook_promises(six_models: Path) -> None:
    """Real services, Prometheus and Alertmanager, at thirty times the speed; each alert and its end are told."""
    require("prometheus")
    require("alertmanager")
    drilled = subprocess.run(
        [sys.executable, "scripts/drill.py", "--model", six_models / "current"],
        cwd=ROOT, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert drilled.returncode == 0, drilled.stdout + drilled.stderr
    assert set(re.findall(r"^\| ([^|]+?) \| \[Recsys", drilled.stdout, re.MULTILINE)) == set(drill.FAULTS)


def rules(prometheus: str) -> list[dict[str, Any]]:
    """All rules, with how their last evaluation went."""
    groups = requests.get(f"{prometheus}/api/v1/rules", timeout=10).json()["data"]["groups"]
    return [rule for group in groups for rule in group["rules"]]


def query(prometheus: str, expression: str) -> list[dict[str, Any]]:
    """The result of a query; the test fails where it is an error."""
    answer = requests.get(f"{prometheus}/api/v1/query", params={"query": expression}, timeout=30).json()
    assert answer["status"] == "success", f"{expression}: {answer.get('error')}"
    result: list[dict[str, Any]] = answer["data"]["result"]
    return result


def is_finite(result: list[dict[str, Any]]) -> bool:
    return any(math.isfinite(float(one["value"][1])) for one in result)


def test_three_replicas_are_scraped_and_every_rule_works(live: LiveStack) -> None:
    assert len(query(live.prometheus, 'up{service="recsys-api"} == 1')) == 3
    all_rules = rules(live.prometheus)
    assert len(all_rules) > 40
    assert [rule["name"] for rule in all_rules if rule["health"] != "ok"] == []
    recorded = {rule["name"] for rule in all_rules if rule["type"] == "recording"}
    counted_in_five_minutes = {f"service:slo_errors:increase{window}" for window in ("6h", "1d", "3d", "30d")}
    assert recorded > counted_in_five_minutes  # which are known once there are five
    assert {name for name in recorded - counted_in_five_minutes if not query(live.prometheus, name)} == set()


@pytest.mark.parametrize("replicas", ["all", "one"])
def test_every_expression_of_every_dashboard_works(live: LiveStack, replicas: str) -> None:
    chosen = {"environment": ".*", "instance": ".*" if replicas == "all" else live.instances[0], "endpoint": ".*"}
    found: dict[tuple[str, str], bool] = {}
    for one in expressions(DASHBOARDS, variables=chosen):
        place = one.dashboard, one.panel
        found[place] = found.get(place, False) or is_finite(query(live.prometheus, one.expression))
    assert len(found) > 40
    assert {place for place, full in found.items() if not full and place[1] not in ONLY_FOR_FAULTS} == set()


def test_prometheus_has_every_metric_of_the_catalogue(live: LiveStack) -> None:
    names = requests.get(f"{live.prometheus}/api/v1/label/__name__/values", timeout=10).json()["data"]
    stems = {re.sub(r"_(bucket|count|sum)$", "", name) for name in names}
    assert CATALOGUE.keys() - stems == set()


def test_a_dashboard_is_drawn_without_grafana(live: LiveStack, tmp_path: Path) -> None:
    picture = tmp_path / "api.png"
    arguments = ["--prometheus", live.prometheus, "--range", "5m", "--output", str(picture)]
    assert render_dashboard.main(["--dashboard", str(DASHBOARDS / "api.json"), *arguments]) == 0
    content = picture.read_bytes()
    assert content.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", content[16:24])
    assert width > 1000
    assert height > 1000


def test_prometheus_counts_what_the_service_counts(live: LiveStack) -> None:
    """To the last request, once the traffic has ended; last of all, since it ends it."""
    live.end_traffic()
    for url, instance in zip(live.urls, live.instances, strict=True):
        ours = f'http_requests_total{{endpoint!~"/metrics|/health.*", instance="{instance}"}}'
        text = requests.get(f"{url}/metrics?name[]=http_requests_total", timeout=10).text
        counted = {
            frozenset(re.findall(r'(\w+)="([^"]*)"', labels)): float(value)
            for labels, value in re.findall(r"^http_requests_total(\{.*\}) (\S+)$", text, re.MULTILINE)
            if not re.search(r'endpoint="/(metrics|health)', labels)
        }
        assert sum(counted.values()) > 100

        def known(ours: str = ours) -> dict[frozenset[tuple[str, str]], float]:
            return {
                frozenset((name, one["metric"][name]) for name in ("method", "endpoint", "status_code")):
                    float(one["value"][1])
                for one in query(live.prometheus, ours)
            }  # fmt: skip

        wait_until(lambda known=known, counted=counted: known() == counted, "the same counts in Prometheus")
