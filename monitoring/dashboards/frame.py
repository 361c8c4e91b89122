"""What the dashboards have in common: variables, annotations, links, refresh, and rows of panels on the grid."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from grafana_foundation_sdk.builders.dashboard import (
    AnnotationQuery,
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    QueryVariable,
    Row,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models import dashboard as schema

from .panels import BLUE, DATASOURCE, RED
from .queries import RECORDED, SERVICE, series

RUNBOOK = "https://example.org/recsys-api/monitoring/runbook.md"
"""Where people find the runbook: the external label `runbook` of monitoring/prometheus.yml."""
TAG = "recsys-api"

_ENDPOINTS = f"label_values({series('http_requests_total')}, endpoint)"
_VARIABLES = {
    "environment": ("Environment", f"label_values(up{{{SERVICE}}}, environment)"),
    "instance": ("Replica", f"label_values(up{{{RECORDED}}}, instance)"),
    "endpoint": ("Endpoint", _ENDPOINTS),
}
_MODEL = "recommendation_model_built_timestamp_seconds"
_FIRING = f'ALERTS{{alertstate="firing", {SERVICE}, environment=~"$environment|"}}'
_MODEL_CHANGED = (
    f"{series('recommendation_model_info')} and on (service, environment, instance) "
    f"(changes({series(_MODEL)}[$__rate_interval]) > 0)"
)

Rows = Sequence[tuple[str, Sequence[Any]]]
"""Titles of rows with their panels; panels side by side have one height, and each line of them fills the grid."""


def dashboard(uid: str, title: str, description: str, *, variables: Sequence[str], rows: Rows) -> schema.Dashboard:
    """A dashboard of rows; `variables` are those that its expressions use, besides the datasource."""
    board = Dashboard(title).uid(uid).description(description).tags([TAG]).readonly()
    board.refresh("5s").time("now-1h", "now").timezone("browser").tooltip(schema.DashboardCursorSync.CROSSHAIR)
    for variable in _variables(variables):
        board.with_variable(variable)
    board.annotation(_annotation("Firing alerts", _FIRING, RED, "{{alertname}}", "{{severity}}"))
    board.annotation(_annotation("Model changed", _MODEL_CHANGED, BLUE, "Model {{version}}", "from {{source}}"))
    for link in _links():
        board.link(link)
    number = 0
    for row, panels in rows:
        number += 1
        board.with_row(Row(row).id(number))
        for panel in panels:
            number += 1
            board.with_panel(panel.id(number))
    built = board.build()
    # The library hides links and annotations in a menu; a runbook has to be in sight.
    for shown in (*(built.links or ()), *(built.annotations.list_val or ())):
        shown.placement = None
    return built


def _variables(names: Sequence[str]) -> list[Any]:
    prometheus = schema.VariableOption(selected=True, text="Prometheus", value="prometheus")
    everything = schema.VariableOption(selected=True, text="All", value="$__all")
    built: list[Any] = [DatasourceVariable("datasource").label("Data source").type("prometheus").current(prometheus)]
    for name in names:
        label, query = _VARIABLES[name]
        variable = QueryVariable(name).label(label).datasource(DATASOURCE).definition(query)
        variable.query({"query": query, "refId": f"variable-{name}", "qryType": 1})
        variable.multi(True).include_all(True).all_value(".*").current(everything)
        built.append(variable.refresh(schema.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(schema.VariableSort(1)))
    return built


def _annotation(name: str, expression: str, colour: str, title: str, words: str) -> AnnotationQuery:
    query = AnnotationQuery().name(name).datasource(DATASOURCE).enable(True).hide(False).icon_color(colour)
    query.expr(expression).title_format(title).text_format(words).tag_keys("severity,instance").step("10s")
    return query.target(Dataquery().expr(expression).ref_id("Anno").interval("10s").range())


def _links() -> list[DashboardLink]:
    runbook = DashboardLink("Runbook").type(schema.DashboardLinkType.LINK).url(RUNBOOK).icon("doc").target_blank(True)
    others = DashboardLink("Dashboards").type(schema.DashboardLinkType.DASHBOARDS).tags([TAG]).icon("dashboard")
    return [
        runbook.tooltip("What each alert means and what to do"),
        others.as_dropdown(False).include_vars(True).keep_time(True),
    ]
