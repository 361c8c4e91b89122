"""The alerts and their rules: sound by promtool's account, each with its runbook and with tests that would notice."""
from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from recsys_api.metrics.catalogue import CATALOGUE

from .conftest import ROOT, require

MONITORING = ROOT / "monitoring"
RULES = [MONITORING / "rules" / name for name in ("recording.yml", "alerts.yml")]
CASES = {path: yaml.safe_load(path.read_text()) for path in sorted((MONITORING / "tests").glob("*.yml"))}
RUNBOOK = (MONITORING / "runbook.md").read_text()
GENERAL_SECTIONS = {"How to use this page", "What silences what", "Objectives", "Drills"}
ALWAYS_FIRING = "Watchdog"
DASHBOARDS = {"recsys-api", "recsys-usage", "recsys-workers"}

TARGET_LABELS = {"job", "service", "environment", "instance"}
LABELS_OF_OURS = {"slo", "window", "severity"}
"""That rules add."""
FOREIGN = re.compile(r"up|ALERTS|(scrape|prometheus|alertmanager|node|container)_\w+")
FOREIGN_LABELS = {
    "alertname", "alertstate", "fstype", "mountpoint", "id", "rule_group", "integration", "alertmanager",
}  # fmt: skip
"""Of metrics that are not ours: those of Prometheus, Alertmanager, the node exporter and cAdvisor."""


@dataclass(frozen=True)
class Rule:
    """A rule as its file has it."""

    group: str
    content: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.content.get("alert") or self.content["record"])

    @property
    def expr(self) -> str:
        return str(self.content["expr"])


ALL_RULES = [
    Rule(group["name"], rule)
    for path in RULES
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = [rule for rule in ALL_RULES if "alert" in rule.content]
RECORDED = {rule.name for rule in ALL_RULES if "record" in rule.content}
ALERT_NAMES = sorted({alert.name for alert in ALERTS})


@pytest.fixture(scope="module")
def promtool() -> str:
    return require("promtool")


def test_the_objectives_are_told_as_they_are_set() -> None:
    objectives = [rule for rule in ALL_RULES if rule.name == "slo:objective:ratio"]
    assert len(objectives) == 3
    for rule in objectives:
        share = f"{float(rule.expr.removeprefix('vector(').removesuffix(')')) * 100:g} %"
        assert share in (ROOT / "README.md").read_text()
        assert re.search(rf"^\| `{rule.content['labels']['slo']}` .* \| {share} \|$", RUNBOOK, re.MULTILINE)


def test_promtool_finds_no_fault_in_the_rules(promtool: str) -> None:
    assert not _complaint(promtool, "check", "rules", "--lint=all", "--lint-fatal", *RULES)


def test_the_rules_do_what_their_tests_say(promtool: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        failures = list(pool.map(lambda path: _complaint(promtool, "test", "rules", path), CASES))
    assert not any(failures), "\n".join(failures)


def _complaint(promtool: str, *arguments: str | Path) -> str:
    """What promtool says where it finds fault; empty where it does not."""
    done = subprocess.run([promtool, *arguments], check=False, capture_output=True, text=True)
    return done.stdout + done.stderr if done.returncode else ""


def test_group_names_are_unique_since_tests_order_groups_by_name() -> None:
    names = [group["name"] for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: f"{alert.name}{alert.content['labels'].get('window', '')}")
def test_an_alert_says_how_bad_what_which_value_and_where_to_look(alert: Rule) -> None:
    labels, annotations = alert.content["labels"], alert.content["annotations"]
    assert labels["severity"] in ({"none"} if alert.name == ALWAYS_FIRING else {"critical", "warning"})
    assert annotations.keys() == {"summary", "description", "runbook_url", "dashboard_url"}
    assert "{{" not in annotations["summary"], "a summary is constant"
    value = "$labels" if alert.expr.startswith("absent(") else "$value"
    assert value in annotations["description"]
    assert annotations["runbook_url"] == "{{ $externalLabels.runbook }}#" + alert.name.lower()
    dashboard = annotations["dashboard_url"].removeprefix("{{ $externalLabels.grafana }}/d/")
    assert dashboard in DASHBOARDS


def test_several_rules_of_one_alert_have_one_summary() -> None:
    for name in ALERT_NAMES:
        assert len({alert.content["annotations"]["summary"] for alert in ALERTS if alert.name == name}) == 1


def test_every_alert_has_its_section_in_the_runbook_and_every_section_its_alert() -> None:
    headings = re.findall(r"^## (.+)$", RUNBOOK, re.MULTILINE)
    assert len(headings) == len(set(headings))
    assert set(headings) == {*ALERT_NAMES, *GENERAL_SECTIONS}


def test_every_section_of_an_alert_says_what_to_do() -> None:
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))
    for name in ALERT_NAMES:
        told = re.findall(r"^\*\*(.+?)\.\*\*", sections[name], re.MULTILINE)
        assert told == ["Meaning", "First look", "Likely causes", "Remedy"], name
        assert "```" in sections[name], f"{name} has nothing to paste"


def test_every_alert_is_seen_to_fire_with_its_labels_and_to_stay_silent() -> None:
    fires: dict[str, list[dict[str, str]]] = {name: [] for name in ALERT_NAMES}
    silent = {ALWAYS_FIRING}
    for file in CASES.values():
        for case in file["tests"]:
            for check in case.get("alert_rule_test", ()):
                fires[check["alertname"]] += [expected["exp_labels"] for expected in check["exp_alerts"]]
                if not check["exp_alerts"]:
                    silent.add(check["alertname"])
    assert silent == set(ALERT_NAMES)
    for name, all_labels in fires.items():
        assert all_labels, f"{name} is never expected to fire"
        for labels in all_labels:
            assert {"severity", "service"} <= labels.keys(), name


def test_every_objective_is_seen_to_burn_in_every_window() -> None:
    objectives = {rule.content["labels"]["slo"] for rule in ALL_RULES if rule.name == "slo:objective:ratio"}
    windows = {alert.content["labels"]["window"] for alert in ALERTS if alert.name == "RecsysErrorBudgetBurn"}
    seen = set(re.findall(r'window="(\w+)".*slo="([\w-]+)"', (MONITORING / "tests" / "budget.yml").read_text()))
    assert seen == {(window, objective) for window in windows for objective in objectives}


def test_every_metric_and_label_that_rules_name_exists() -> None:
    for rule in ALL_RULES:
        _check_names(rule.expr)
        for template in rule.content.get("annotations", {}).values():
            assert set(re.findall(r"\$labels\.(\w+)", template)) <= _known_labels(), rule.name


def test_every_metric_and_label_that_the_runbook_names_exists() -> None:
    queries = re.findall(r"^```promql\n(.*?)^```", RUNBOOK, re.MULTILINE | re.DOTALL)
    assert len(queries) > len(ALERT_NAMES)
    for query in queries:
        _check_names(query)
    first_words = {name.split("_")[0] for name in CATALOGUE}
    for word in re.findall(r"(?<![\w/.:-])([a-z]+_[a-z_]+)(?![\w/.:])", RUNBOOK):
        if word.split("_")[0] in first_words:
            assert _definition(word) is not None, f"the runbook names {word}, which is no metric"


def _check_names(expr: str) -> None:
    for node in _nodes(expr):
        if isinstance(node, promql_parser.VectorSelector):
            _check_selector(node, expr)
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            assert set(node.modifier.labels) <= _known_labels(), expr
        elif isinstance(node, promql_parser.BinaryExpr) and node.modifier is not None and node.modifier.matching:
            assert set(node.modifier.matching.labels) <= _known_labels(), expr


def _check_selector(selector: promql_parser.VectorSelector, expr: str) -> None:
    name = str(selector.name)
    matched = {matcher.name: matcher for matcher in selector.matchers.matchers}
    if name in RECORDED:
        assert matched.keys() <= TARGET_LABELS | {"slo"}, expr
        return
    definition = _definition(name)
    if definition is None:
        assert FOREIGN.fullmatch(name), f"{name} is neither in the catalogue nor recorded: {expr}"
        assert matched.keys() <= TARGET_LABELS | FOREIGN_LABELS | LABELS_OF_OURS, expr
        return
    assert matched.keys() <= TARGET_LABELS | definition.labels.keys() | {"le"}, expr
    for label in matched.keys() & definition.labels.keys():
        values = definition.labels[label].values
        assert not values or set(matched[label].value.split("|")) <= set(values), expr


def _nodes(expr: str) -> list[promql_parser.Expr]:
    nodes: list[promql_parser.Expr] = []

    def note(node: promql_parser.Expr) -> None:
        nodes.append(node.vector_selector if isinstance(node, promql_parser.MatrixSelector) else node)

    promql_parser.walk(promql_parser.parse(expr), note)
    return nodes


def _definition(name: str) -> Any:
    """What the catalogue says of a series; None where it knows none."""
    of_histogram = CATALOGUE.get(re.sub(r"_(bucket|sum|count)$", "", name))
    return of_histogram if of_histogram and of_histogram.buckets else CATALOGUE.get(name)


def _known_labels() -> set[str]:
    of_metrics = {label for definition in CATALOGUE.values() for label in definition.labels}
    return TARGET_LABELS | LABELS_OF_OURS | FOREIGN_LABELS | of_metrics | {"le"}


def test_a_changed_number_comparison_or_duration_makes_a_test_fail(promtool: str, tmp_path: Path) -> None:
    """Every alert, and every objective, is changed in each of many small ways; promtool has to notice each."""
    variants = {name: [("", rules := _concerned(name)), *_mutants(name, rules)] for name in ALERT_NAMES}
    longest_first = sorted(variants, key=lambda name: -len(variants[name]))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        unnoticed = pool.map(lambda name: _unnoticed(promtool, tmp_path / name, name, variants[name]), longest_first)
        held = dict(zip(longest_first, unnoticed, strict=True))
    for name, changes in held.items():
        assert "" in changes, f"the tests of {name} fail where only what it reads is there"
        assert changes == [""], f"no test of {name} notices {changes[1:]}"


def _unnoticed(promtool: str, folder: Path, name: str, variants: list[tuple[str, list[Rule]]]) -> list[str]:
    """Of variants of the rules of an alert, each with what was changed, those with which all its tests hold."""
    folder.mkdir()
    for number, (_, rules) in enumerate(variants):
        groups: dict[str, list[dict[str, Any]]] = {}
        for rule in rules:
            groups.setdefault(rule.group, []).append(rule.content)
        listed = [{"name": group, "rules": content} for group, content in groups.items()]
        (folder / f"{number}.rules").write_text(json.dumps({"groups": listed}))
    left = list(range(len(variants)))
    for path in CASES:
        tests = _tests_of(name, path)
        if tests["tests"] and left:
            files = [folder / f"{number}.{path.name}" for number in left]
            for number, file in zip(left, files, strict=True):
                file.write_text(json.dumps({**tests, "rule_files": [f"{number}.rules"]}))
            said = subprocess.run([promtool, "test", "rules", *files], check=False, capture_output=True, text=True)
            held = re.findall(r"^Unit Testing: +(\S+)\n +SUCCESS$", said.stdout, re.MULTILINE)
            left = [int(Path(file).name.split(".")[0]) for file in held]
    return [variants[number][0] for number in left]


def _tests_of(name: str, path: Path) -> dict[str, Any]:
    """The tests of one file, without what does not concern the alert `name`."""
    kept = []
    for case in CASES[path]["tests"]:
        for series in case["input_series"]:
            assert isinstance(series["values"], str), f"{path.name}: {series}: quote what YAML takes for a number"
        alerts = [check for check in case.get("alert_rule_test", ()) if check["alertname"] == name]
        queries = [check for check in case.get("promql_expr_test", ()) if f'alertname="{name}"' in check["expr"]]
        if alerts or queries:
            kept.append({**case, "alert_rule_test": alerts, "promql_expr_test": queries})
    return {**CASES[path], "tests": kept}


def _concerned(name: str) -> list[Rule]:
    """The rules of an alert and all that they read, in the order of the files."""
    needed, found = {name}, -1
    while found != len(needed):
        found = len(needed)
        needed |= {
            str(node.name)
            for rule in ALL_RULES
            if rule.name in needed
            for node in _nodes(rule.expr)
            if isinstance(node, promql_parser.VectorSelector) and node.name in RECORDED
        }
    return [rule for rule in ALL_RULES if rule.name in needed]


def _mutants(name: str, rules: list[Rule]) -> Iterator[tuple[str, list[Rule]]]:
    """Each small change of an alert, as a sentence and as the changed rules."""
    for i, rule in enumerate(rules):
        # What every objective's alerts read is tried once, with the alert that reads it all.
        if rule.name != name and not (rule.name.startswith("slo:") and name == "RecsysErrorBudgetBurn"):
            continue
        changes = [{"expr": expr} for expr in _changed_expressions(rule.expr)]
        if "for" in rule.content:
            seconds = promql_parser.parse_duration(rule.content["for"]).total_seconds()
            changes += [{"for": f"{seconds * factor:.0f}s"} for factor in (0.5, 2)]
        for change in changes:
            changed = Rule(rule.group, {**rule.content, **change})
            yield str(change), [*rules[:i], changed, *rules[i + 1 :]]


_NUMBER = r"(?<![\w.:])\d+(?:\.\d+)?(?![\w.:])"
_COMPARISON = r"[<>=!]=|[<>]"
_OPPOSITES = {">": "<", "<": ">", ">=": "<", "<=": ">", "==": "!=", "!=": "=="}
_SET_OPERATORS = {"and": "or", "or": "and", "unless": "and"}


def _changed_expressions(expr: str) -> Iterator[str]:
    """A number is changed in all its places: what stands twice is one threshold, for a long and for a short window."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]', lambda found: " " * len(found[0]), expr)
    places = list(re.finditer(rf"{_NUMBER}|{_COMPARISON}|\b(?:and|or|unless)\b", bare))
    for token in dict.fromkeys(place[0] for place in places):
        for other in _others(token, whole="round(" in expr):
            changed = expr
            for place in reversed(places):
                if place[0] == token:
                    changed = changed[: place.start()] + other + changed[place.end() :]
            yield changed


def _others(token: str, *, whole: bool) -> list[str]:
    if token in _OPPOSITES:
        return [_OPPOSITES[token]]
    if token in _SET_OPERATORS:
        return [_SET_OPERATORS[token]]
    number = float(token)
    if number == 0:
        return ["2", "-1"]
    return [f"{number - 1}", f"{number + 1}"] if whole else [f"{number / 1.05!r}", f"{number * 1.05!r}"]
