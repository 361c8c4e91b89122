"""The dashboards: current, sound in structure, true to the catalogue of metrics; and how pictures of them look."""
from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import promql_parser
import pytest
import yaml

from monitoring.dashboards.expressions import (
    EVERYTHING,
    ONLY_FOR_FAULTS,
    SCRAPE_SECONDS,
    expressions,
    filled_in,
    raw_expressions,
)
from recsys_api.metrics.catalogue import CATALOGUE
from scripts import build_dashboards, render_dashboard
from scripts.dashboard_picture import page, units
from scripts.dashboard_picture.graphs import apart
from scripts.dashboard_picture.prometheus import Course, Prometheus
from scripts.dashboard_picture.tiles import table

from .conftest import ROOT, free_port

MONITORING = ROOT / "monitoring"
FOLDER = MONITORING / "grafana" / "dashboards"
DASHBOARDS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}

UNITS_OF_GRAFANA = {"none", "short", "percentunit", "locale", "bytes", "s", "reqps", "cps"}
"""Of the ids in @grafana/data 13.2.3, valueFormats/categories; any `suffix:` is allowed beside them."""
PANEL_TYPES = {"timeseries", "stat", "gauge", "heatmap", "bargauge", "table", "text", "state-timeline", "row"}
OF_GRAFANA = {"__rate_interval", "__interval", "__range"}
TARGET_LABELS = {"service", "environment", "instance"}
OF_PROMETHEUS = {
    "up": TARGET_LABELS, "scrape_duration_seconds": TARGET_LABELS, "scrape_samples_scraped": TARGET_LABELS,
    "ALERTS": {"alertname", "alertstate", "severity", "service", "environment", "instance", "slo", "window"},
}  # fmt: skip
"""Series that neither the service nor a rule of ours makes, with their labels."""
OF_RULES = {"service", "environment", "slo"}

by_dashboard = pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """All panels that show data."""
    return [panel for panel in dashboard["panels"] if panel["type"] not in {"row", "text"}]


@cache
def rules(name: str) -> list[dict[str, str]]:
    groups = yaml.safe_load((MONITORING / "rules" / name).read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def selectors(node: Any) -> Iterator[Any]:
    """All selectors of series in a parsed expression."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    elif isinstance(node, promql_parser.MatrixSelector):
        yield node.vector_selector
    elif isinstance(node, promql_parser.ParenExpr | promql_parser.AggregateExpr):
        yield from selectors(node.expr)
    elif isinstance(node, promql_parser.BinaryExpr):
        yield from selectors(node.lhs)
        yield from selectors(node.rhs)
    elif isinstance(node, promql_parser.Call):
        for argument in node.args:
            yield from selectors(argument)


def stem(name: str) -> str:
    """The metric of the catalogue that a series belongs to."""
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    return base if base in CATALOGUE and CATALOGUE[base].kind == "histogram" else name


def labels_of(name: str) -> set[str] | None:
    """The labels that a series can have; None where there is no such series."""
    recorded = {rule["record"] for rule in rules("recording.yml") if "record" in rule}
    if name in OF_PROMETHEUS:
        return OF_PROMETHEUS[name]
    if name in recorded:
        return OF_RULES
    if stem(name) not in CATALOGUE:
        return None
    return set(CATALOGUE[stem(name)].labels) | TARGET_LABELS | ({"le"} if name.endswith("_bucket") else set())


EXPRESSIONS = list(expressions(FOLDER))


def test_the_json_is_what_the_source_makes() -> None:
    assert build_dashboards.pages() == {path: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}


def test_a_stale_dashboard_fails_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_dashboards, "FOLDER", tmp_path / "made")
    assert build_dashboards.main(["--check"]) == 1
    assert build_dashboards.main([]) == 0
    assert build_dashboards.main(["--check"]) == 0
    (tmp_path / "made" / "api.json").write_text("{}")
    assert build_dashboards.main(["--check"]) == 1


def test_uids_are_stable_and_titles_are_unique() -> None:
    assert {name: (each["uid"], each["title"]) for name, each in DASHBOARDS.items()} == {
        "api": ("recsys-api", "Movie Recommendation API"),
        "usage": ("recsys-usage", "Usage"),
        "workers": ("recsys-workers", "Workers and metrics"),
    }
    for dashboard in DASHBOARDS.values():
        for key in ("id", "title"):
            values = [panel[key] for panel in dashboard["panels"]]
            assert len(set(values)) == len(values)


@by_dashboard
def test_panels_fill_the_grid_without_overlap(dashboard: dict[str, Any]) -> None:
    cells: dict[tuple[int, int], str] = {}
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= page.COLUMNS, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in cells, f"{panel['title']} lies on {cells.get((x, y))}"
                cells[x, y] = panel["title"]
    assert len(cells) == page.COLUMNS * (1 + max(y for _, y in cells)), "there are holes"


@by_dashboard
def test_variables_are_declared_and_used(dashboard: dict[str, Any]) -> None:
    declared = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(dashboard))) - OF_GRAFANA - {"__all"}
    assert declared == used
    for variable in dashboard["templating"]["list"]:
        if variable["type"] != "datasource":
            assert (variable["type"], variable["multi"], variable["includeAll"]) == ("query", True, True)
            assert variable["allValue"] == EVERYTHING[variable["name"]]


@by_dashboard
def test_every_panel_says_what_it_shows(dashboard: dict[str, Any]) -> None:
    for panel in panels(dashboard):
        defaults = panel["fieldConfig"]["defaults"]
        units_used = [defaults["unit"]] + [
            each["value"] for override in panel["fieldConfig"]["overrides"] for each in override["properties"]
            if each["id"] == "unit"
        ]  # fmt: skip
        for unit in units_used:
            assert unit in UNITS_OF_GRAFANA or unit.startswith("suffix:"), panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert defaults["thresholds"]["steps"][0]["value"] is None, panel["title"]
        steps = [step["value"] for step in defaults["thresholds"]["steps"][1:]]
        assert steps == sorted(steps), panel["title"]
    assert {panel["type"] for panel in dashboard["panels"]} <= PANEL_TYPES
    assert [panel["title"] for panel in dashboard["panels"] if panel["type"] == "text"] == ["How to read this"]


@by_dashboard
def test_data_comes_from_the_chosen_datasource(dashboard: dict[str, Any]) -> None:
    asking = [*panels(dashboard), *(target for panel in panels(dashboard) for target in panel["targets"])]
    asking += dashboard["annotations"]["list"]
    asking += [variable for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
    for each in asking:
        assert each["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@by_dashboard
def test_it_is_fresh_shows_an_hour_and_shares_its_crosshair(dashboard: dict[str, Any]) -> None:
    assert (dashboard["refresh"], dashboard["time"]) == ("5s", {"from": "now-1h", "to": "now"})
    assert (dashboard["graphTooltip"], dashboard["editable"]) == (1, False)


@by_dashboard
def test_ranges_follow_the_time_on_show(dashboard: dict[str, Any]) -> None:
    for title, _, expression in raw_expressions(dashboard):
        ranges = re.findall(r"\[([^\]]*)\]", expression)
        assert set(ranges) <= {"$__rate_interval", "$__range"}, title
        assert expression.count("rate(") + expression.count("increase(") + expression.count("changes(") == len(ranges)


@by_dashboard
def test_it_marks_alerts_and_models_and_links_to_the_runbook(dashboard: dict[str, Any]) -> None:
    alerts, models = dashboard["annotations"]["list"]
    assert alerts["expr"] == 'ALERTS{alertstate="firing", service="recsys-api", environment=~"$environment|"}'
    assert "recommendation_model_built_timestamp_seconds" in models["expr"]
    for annotation in (alerts, models):
        assert annotation["enable"]
        assert annotation["target"]["expr"] == annotation["expr"]
    runbook, others = dashboard["links"]
    labels = yaml.safe_load((MONITORING / "prometheus.yml").read_text(encoding="utf-8"))["global"]["external_labels"]
    assert (runbook["type"], runbook["url"], runbook["targetBlank"]) == ("link", labels["runbook"], True)
    assert (others["type"], others["tags"]) == ("dashboards", dashboard["tags"])
    assert "placement" not in runbook, "in a menu nobody finds it"


def test_titles_of_panels_for_faults_exist() -> None:
    titles = {each.panel for each in EXPRESSIONS}
    assert titles >= ONLY_FOR_FAULTS


@pytest.mark.parametrize("one", EXPRESSIONS, ids=lambda one: f"{one.dashboard}-{one.panel}-{one.ref_id}")
def test_expressions_name_only_what_exists(one: Any) -> None:
    tree = promql_parser.parse(one.expression)
    found = list(selectors(tree))
    assert found
    known: set[str] = set()
    for selector in found:
        labels = labels_of(selector.name)
        assert labels is not None, f"nothing makes {selector.name}"
        known |= labels
        for matcher in selector.matchers.matchers:
            assert matcher.name in labels, f"{selector.name} has no label {matcher.name}"
    for group in re.findall(r"\b(?:by|on|group_left|group_right|ignoring) \(([^)]*)\)", one.expression):
        assert {label.strip() for label in group.split(",") if label.strip()} <= known, group


def test_legends_name_labels_that_are_left() -> None:
    for dashboard in DASHBOARDS.values():
        for panel in panels(dashboard):
            for target in panel["targets"]:
                for label in re.findall(r"{{(\w+)}}", target.get("legendFormat", "")):
                    kept = re.findall(r"\bby \(([^)]*)\)", target["expr"])
                    assert not kept or label in {each.strip() for each in kept[0].split(",")}, panel["title"]


def test_every_metric_of_the_catalogue_is_used() -> None:
    texts = [one.expression for one in EXPRESSIONS]
    texts += [rule["expr"] for name in ("recording.yml", "alerts.yml") for rule in rules(name)]
    used = {stem(name) for text in texts for name in re.findall(r"[a-z_:]+[a-z]", text)}
    assert CATALOGUE.keys() - used == set()


def test_the_burn_that_a_dashboard_tells_is_that_of_the_alert() -> None:
    titles = str(DASHBOARDS["api"])
    alerts = [rule for rule in rules("alerts.yml") if rule.get("alert") == "RecsysErrorBudgetBurn"]
    assert len(alerts) == 4
    for rule in alerts:
        (burn,) = set(re.findall(r"\(([\d.]+) \* \(1 - slo", rule["expr"])) or {"1"}
        does = "pages" if rule["labels"]["severity"] == "critical" else "warns"
        assert f"{rule['labels']['window']} ({does} at {burn})" in titles


def test_objectives_are_written_in_the_rules_alone() -> None:
    for one in EXPRESSIONS:
        assert not re.search(r"\b0?\.9{1,3}\d*\b", re.sub(r"histogram_quantile\(0\.\d+", "", one.expression)), one


def test_the_parts_of_the_provisioning_agree() -> None:
    provisioning = MONITORING / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    (folder,) = yaml.safe_load((provisioning / "dashboards" / "recsys-api.yml").read_text())["providers"]
    scraping = yaml.safe_load((MONITORING / "prometheus.yml").read_text())["global"]
    assert (source["uid"], source["url"]) == ("prometheus", "${PROMETHEUS_URL}")
    assert source["jsonData"]["timeInterval"] == scraping["scrape_interval"] == f"{SCRAPE_SECONDS}s"
    assert (folder["folder"], folder["allowUiUpdates"]) == ("Movie Recommendation API", False)
    for dashboard in DASHBOARDS.values():
        assert dashboard["templating"]["list"][0]["current"]["value"] == source["uid"]


def test_a_variable_without_a_value_is_an_error() -> None:
    assert filled_in("rate(x{a=~\"$a\"}[${__range}])", {"a": "1|2", "__range": "60s"}) == 'rate(x{a=~"1|2"}[60s])'
    with pytest.raises(ValueError, match=r"\$b has no value"):
        filled_in("$b", {"a": ""})


@pytest.mark.parametrize(
    ("value", "unit", "decimals", "said"),
    [
        (1.2, "s", 1, "1.2 s"), (0.015, "s", 0, "15 ms"), (0.00025, "s", None, "250 µs"), (90, "s", 1, "1.5 mins"),
        (3600, "s", None, "1 hour"), (0, "s", 2, "0 s"), (0.9995, "s", None, "1000 ms"),
        (3.4 * 2**20, "bytes", 1, "3.4 MiB"),
        (0, "bytes", None, "0 B"), (12, "reqps", None, "12 req/s"), (1234.5, "reqps", None, "1.23K req/s"),
        (0.9995, "percentunit", 2, "99.95%"), (1, "percentunit", None, "100%"), (1000, "short", None, "1 K"),
        (36158, "locale", 0, "36,158"), (-0.0001, "none", 2, "0.00"), (14.4, "suffix:x", None, "14.4 x"),
        (2.5, "none", None, "2.50"), (0.12345, "none", None, "0.123"), (float("inf"), "none", None, "∞"),
    ],
)  # fmt: skip
def test_values_are_written_as_grafana_writes_them(value: float, unit: str, decimals: int | None, said: str) -> None:
    """All of these are what @grafana/data 13.2.3 answers."""
    assert units.formatted(value, unit, decimals) == said


def test_all_units_of_the_dashboards_can_be_drawn() -> None:
    assert set(units.UNITS) == UNITS_OF_GRAFANA
    with pytest.raises(ValueError, match="'furlong' is not known"):
        units.formatted(1, "furlong")


@by_dashboard
def test_boxes_of_a_picture_lie_beside_each_other_within_the_page(dashboard: dict[str, Any]) -> None:
    boxes = [page.box_of(panel["gridPos"], 1600) for panel in page.chosen_panels(dashboard, ())]
    for box in boxes:
        assert box.x >= page.MARGIN - 1e-6
        assert box.x + box.width <= 1600 - page.MARGIN + 1e-6
    for one, other in combinations(boxes, 2):
        beside = one.x + one.width <= other.x or other.x + other.width <= one.x
        assert beside or one.y + one.height <= other.y or other.y + other.height <= one.y


def test_rows_can_be_chosen_and_close_up() -> None:
    chosen = page.chosen_panels(DASHBOARDS["api"], ("Latency", "Search"))
    assert [panel["title"] for panel in chosen if panel["type"] == "row"] == ["Latency", "Search"]
    lines = sorted({(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"]) for panel in chosen})
    assert lines[0][0] == 0
    assert all(end == start for (_, end), (start, _) in pairwise(lines))
    with pytest.raises(ValueError, match=r"no row 'Lateness'; it has Service level objectives, "):
        page.chosen_panels(DASHBOARDS["api"], ("Lateness",))


def test_cumulative_buckets_come_apart() -> None:
    bounds = {"+Inf": 9.0, "0.1": 2.0, "10": 9.0, "0.25": 6.0}
    courses = [Course({"le": bound}, np.array([value])) for bound, value in bounds.items()]
    assert [(bound, values[0]) for bound, values in apart(courses)] == [(0.1, 2), (0.25, 4), (10, 3), (np.inf, 0)]


def test_a_table_joins_its_queries_by_their_labels() -> None:
    panel = {
        "options": {"sortBy": [{"displayName": "Much", "desc": True}]},
        "transformations": [
            {"id": "merge", "options": {}},
            {"id": "organize", "options": {
                "excludeByName": {"Time": True}, "indexByName": {"who": 0, "Value #A": 1, "Value #B": 2},
                "renameByName": {"who": "Who", "Value #A": "Much", "Value #B": "Little"},
            }},
        ],
    }  # fmt: skip
    found = [({"refId": "A"}, [({"who": "x"}, 1.0), ({"who": "y"}, 2.0)]), ({"refId": "B"}, [({"who": "x"}, 0.5)])]
    assert table(panel, found) == (["Who", "Much", "Little"], [["y", 2.0, None], ["x", 1.0, 0.5]])


def test_points_stand_at_round_times() -> None:
    assert [Prometheus("", 0, 3600).step(points) for points in (1000, 120, 100)] == [10, 30, 60]
    assert page.seconds("15m") == 900


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["--dashboard", "nowhere.json"], 1, "nowhere.json cannot be read (No such file or directory)"),
        (["--dashboard", str(ROOT / "README.md")], 1, "README.md is not JSON"),
        (["--var", "colour=red"], 1, "'colour=red' is not NAME=VALUE of a variable of this dashboard: environment, "),
        (["--range", "soon"], 1, "'soon' is no duration"),
        (["--to", "tomorrow"], 1, "--to 'tomorrow' is no time"),
        (["--output", "nowhere/a.png"], 1, "the folder of --output nowhere/a.png does not exist"),
        ([], 3, "Prometheus cannot be reached at http://127.0.0.1:"),
    ],
)
def test_a_picture_that_cannot_be_drawn_says_why(
    arguments: list[str], status: int, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--prometheus", f"http://127.0.0.1:{free_port()}", "--output", str(tmp_path / "none.png"), *arguments]
    assert render_dashboard.main(given) == status
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
