"""The kinds of panels that the dashboards are made of, each with its unit, description and thresholds."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    gauge,
    heatmap,
    stat,
    statetimeline,
    table,
    text,
    timeseries,
)
from grafana_foundation_sdk.builders.dashboard import FieldColor, ThresholdsConfig
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models import common as models
from grafana_foundation_sdk.models import dashboard as schema
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode, HeatmapColorScale
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.text import TextMode

# Told apart by people with any kind of colour vision, after Okabe and Ito, "Color Universal Design" (2008).
GREEN, ORANGE, RED, BLUE = "#009E73", "#E69F00", "#D55E00", "#56B4E9"
PURPLE, YELLOW, DEEP_BLUE, GREY = "#CC79A7", "#F0E442", "#0072B2", "#8E8E8E"

_COLOUR_BLIND_SAFE = cast("schema.FieldColorModeId", "palette-colorblind")
"""Grafana's own palette of such colours, for series without one; not in the library yet."""

DATASOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
Steps = Sequence[tuple[float | None, str]]
Queries = Sequence[tuple[str, str]]
"""Pairs of legend and expression."""

PLAIN: Steps = ((None, BLUE),)
"""Thresholds of what is neither good nor bad."""
QUANTILE_COLOURS = {"P50": BLUE, "P95": ORANGE, "P99": PURPLE}
ENDPOINT_COLOURS = {
    "/recommendations/<int:movie_id>": BLUE, "/recommendations": DEEP_BLUE, "/recommendations/batch": PURPLE,
    "/search": ORANGE, "/movies/<int:movie_id>": GREEN, "/movies/popular": YELLOW, "/movies/random": "#B8E186",
    "/": "#A6761D", "/health": GREY, "/health/live": "#6E6E6E", "/health/ready": "#ADADAD", "/metrics": "#C9C9C9",
    "/model/stats": "#80B1D3", "/monitoring/summary": "#BEBADA", "unmatched": RED,
}  # fmt: skip
"""An endpoint has one colour in all panels."""


class _Panel(Protocol):
    def title(self, title: str) -> Any: ...
    def description(self, description: str) -> Any: ...
    def datasource(self, datasource: models.DataSourceRef) -> Any: ...
    def span(self, w: int) -> Any: ...
    def height(self, h: int) -> Any: ...
    def unit(self, unit: str) -> Any: ...
    def thresholds(self, thresholds: ThresholdsConfig) -> Any: ...
    def with_target(self, target: Dataquery) -> Any: ...


P = TypeVar("P", bound=_Panel)
V = TypeVar("V")


@dataclass(frozen=True)
class Shape:
    """What every panel has: its words, its place and how its values are read."""

    title: str
    description: str
    unit: str
    width: int
    height: int = 8
    thresholds: Steps = PLAIN


@dataclass(frozen=True)
class Column:
    """One column of a table: values of an instant query, and how they are read."""

    heading: str
    expression: str
    unit: str
    thresholds: Steps = ()
    decimals: int | None = None


def stat_panel(
    shape: Shape, queries: Queries, *, decimals: int | None = None, no_value: str = "", sparkline: bool = True,
    words: Mapping[str, tuple[str, str]] | None = None, maximum: float | None = None,
) -> stat.Panel:  # fmt: skip
    """Big numbers with the course that led to them; `words` says some values in words of a colour."""
    panel = _shaped(stat.Panel(), shape, _targets(queries))
    panel.reduce_options(_last()).color_mode(models.BigValueColorMode.VALUE)
    panel.graph_mode(models.BigValueGraphMode.AREA if sparkline else models.BigValueGraphMode.NONE)
    panel.color_scheme(_color(schema.FieldColorModeId.THRESHOLDS))
    if len(queries) > 1 or "{{" in queries[0][0]:
        panel.text_mode(models.BigValueTextMode.VALUE_AND_NAME)
    else:
        panel.text_mode(models.BigValueTextMode.VALUE)
    return _valued(panel, decimals=decimals, no_value=no_value, maximum=maximum, words=words)


def gauge_panel(shape: Shape, queries: Queries, *, decimals: int | None = None, no_value: str = "") -> gauge.Panel:
    """A share of 1 on a dial."""
    panel = _shaped(gauge.Panel(), shape, _targets(queries))
    panel.reduce_options(_last()).show_threshold_markers(True).show_threshold_labels(False)
    panel.color_scheme(_color(schema.FieldColorModeId.THRESHOLDS))
    return _valued(panel, decimals=decimals, no_value=no_value, minimum=0, maximum=1)


def course_panel(
    shape: Shape, queries: Queries, *, colours: Mapping[str, str] | None = None, stacked: bool = False,
    limits: bool = False, bars: bool = False, dashed: str = "", decimals: int | None = None, minimum: float | None = 0,
    maximum: float | None = None, no_value: str = "", summary: Sequence[str] = ("lastNotNull",), time_from: str = "",
    most_points: int = 0, beside: bool = False,
) -> timeseries.Panel:  # fmt: skip
    """Values over time. `limits` draws the thresholds as lines; `dashed` matches legends of lines to compare with."""
    panel = _shaped(timeseries.Panel(), shape, _targets(queries))
    panel.draw_style(models.GraphDrawStyle.BARS if bars else models.GraphDrawStyle.LINE)
    panel.line_width(1 if stacked or bars else 2).fill_opacity(70 if bars else 35 if stacked else 8)
    panel.gradient_mode(models.GraphGradientMode.NONE if stacked or bars else models.GraphGradientMode.OPACITY)
    panel.show_points(models.VisibilityMode.NEVER).span_nulls(False)
    panel.tooltip(common.VizTooltipOptions().mode(models.TooltipDisplayMode.MULTI).sort(models.SortOrder.DESCENDING))
    legend = common.VizLegendOptions().display_mode(models.LegendDisplayMode.TABLE).show_legend(True)
    legend.placement(models.LegendPlacement.RIGHT if beside else models.LegendPlacement.BOTTOM)
    panel.legend(legend.calcs(list(summary)))
    panel.color_scheme(_color(_COLOUR_BLIND_SAFE))
    if stacked or bars:
        panel.stacking(common.StackingConfig().mode(models.StackingMode.NORMAL).group("A"))
    if limits:
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(models.GraphThresholdsStyleMode.DASHED))
    for name, colour in (colours or {}).items():
        panel.override_by_name(name, [_property("color", {"mode": "fixed", "fixedColor": colour})])
    if dashed:
        style = [_property("custom.lineStyle", {"fill": "dash", "dash": [8, 8]}), _property("custom.fillOpacity", 0)]
        panel.override_by_regexp(dashed, style)
    if time_from:
        panel.time_from(time_from)
    if most_points:
        panel.max_data_points(most_points)
    return _valued(panel, decimals=decimals, no_value=no_value, minimum=minimum, maximum=maximum)


def heatmap_panel(shape: Shape, expression: str, *, decimals: int | None = None, no_value: str = "") -> heatmap.Panel:
    """Observations in each bucket over time, from the buckets of a histogram summed `by (le)`."""
    query = Dataquery().expr(expression).legend_format("{{le}}").format(PromQueryFormat.HEATMAP).range()
    panel = _shaped(heatmap.Panel(), shape, [query.ref_id("A").datasource(DATASOURCE)])
    color = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Viridis").steps(64).reverse(False)
    panel.color(color.scale(HeatmapColorScale.EXPONENTIAL).exponent(0.5))
    axis = heatmap.YAxisConfig().unit(shape.unit).axis_placement(models.AxisPlacement.LEFT)
    panel.y_axis(axis.decimals(decimals) if decimals is not None else axis)
    panel.calculate(False).cell_gap(1).filter_values(heatmap.FilterValueRange().le(1e-9)).show_legend()
    panel.cell_values(heatmap.CellValues().unit("cps").decimals(2))
    panel.tooltip(heatmap.HeatmapTooltip().mode(models.TooltipDisplayMode.SINGLE).y_histogram(True))
    return _valued(panel, no_value=no_value)


def bars_panel(
    shape: Shape, queries: Queries, *, decimals: int | None = None, no_value: str = "", buckets: bool = False,
    colours: Mapping[str, str] | None = None,
) -> bargauge.Panel:  # fmt: skip
    """Values of the time on show as bars; `buckets` are those of a histogram summed `by (le)`."""
    form = PromQueryFormat.HEATMAP if buckets else PromQueryFormat.TIME_SERIES
    panel = _shaped(bargauge.Panel(), shape, [query.instant().format(form) for query in _targets(queries)])
    panel.reduce_options(_last()).orientation(models.VizOrientation.HORIZONTAL).show_unfilled(True)
    panel.display_mode(models.BarGaugeDisplayMode.BASIC).value_mode(models.BarGaugeValueMode.TEXT)
    panel.color_scheme(_color(schema.FieldColorModeId.THRESHOLDS))
    for name, colour in (colours or {}).items():
        panel.override_by_name(name, [_property("color", {"mode": "fixed", "fixedColor": colour})])
    return _valued(panel, decimals=decimals, no_value=no_value, minimum=0)


def states_panel(shape: Shape, queries: Queries, words: Mapping[str, tuple[str, str]]) -> statetimeline.Panel:
    """Which state held when; `words` names the states and their colours."""
    panel = _shaped(statetimeline.Panel(), shape, _targets(queries))
    panel.merge_values(True).show_value(models.VisibilityMode.AUTO).row_height(0.8).fill_opacity(75)
    panel.color_scheme(_color(schema.FieldColorModeId.THRESHOLDS))
    legend = common.VizLegendOptions().display_mode(models.LegendDisplayMode.LIST).show_legend(True)
    panel.legend(legend.placement(models.LegendPlacement.BOTTOM).calcs([]))
    return _valued(panel, words=words)


def table_panel(
    shape: Shape, labels: Mapping[str, str], columns: Sequence[Column], *, sort: str = "", no_value: str = "",
) -> table.Panel:  # fmt: skip
    """One line for each set of labels; `labels` gives their headings, empty for a label not shown."""
    targets = _targets([("", column.expression) for column in columns])
    panel = _shaped(table.Panel(), shape, [query.instant().format(PromQueryFormat.TABLE) for query in targets])
    names = ["Value"] if len(columns) == 1 else [f"Value #{_ref(place)}" for place in range(len(columns))]
    shown = {name: heading for name, heading in labels.items() if heading}
    order = {name: place for place, name in enumerate([*shown, *names])}
    renamed = shown | {name: column.heading for name, column in zip(names, columns, strict=True)}
    hidden = {"Time": True, **{name: True for name, heading in labels.items() if not heading}}
    hidden |= {name: True for name, column in zip(names, columns, strict=True) if not column.heading}
    panel.with_transformation(schema.DataTransformerConfig(id_val="merge", options={}))
    organized = {"excludeByName": hidden, "indexByName": order, "renameByName": renamed}
    panel.with_transformation(schema.DataTransformerConfig(id_val="organize", options=organized))
    panel.show_header(True).cell_height(models.TableCellHeight.SM)
    for column in (column for column in columns if column.heading):
        properties = [_property("unit", column.unit)]
        if column.decimals is not None:
            properties.append(_property("decimals", column.decimals))
        if column.thresholds:
            steps = [{"value": value, "color": colour} for value, colour in column.thresholds]
            properties.append(_property("thresholds", {"mode": "absolute", "steps": steps}))
            properties.append(_property("custom.cellOptions", {"type": "color-text"}))
        panel.override_by_name(column.heading, properties)
    if sort:
        panel.sort_by([common.TableSortByFieldState().display_name(sort).desc(True)])
    return _valued(panel, no_value=no_value)


def text_panel(title: str, description: str, content: str, *, width: int, height: int) -> text.Panel:
    """Words for the reader, in Markdown."""
    panel = text.Panel().title(title).description(description).span(width).height(height)
    return panel.mode(TextMode.MARKDOWN).content(content)


def _shaped(panel: P, shape: Shape, targets: Sequence[Dataquery]) -> P:
    panel.title(shape.title)
    panel.description(shape.description)
    panel.datasource(DATASOURCE)
    panel.span(shape.width)
    panel.height(shape.height)
    panel.unit(shape.unit)
    steps = [schema.Threshold(value=value, color=colour) for value, colour in shape.thresholds]
    panel.thresholds(ThresholdsConfig().mode(schema.ThresholdsMode.ABSOLUTE).steps(steps))
    for target in targets:
        panel.with_target(target)
    return panel


def _valued(
    shaped: V, *, decimals: int | None = None, no_value: str = "", minimum: float | None = None,
    maximum: float | None = None, words: Mapping[str, tuple[str, str]] | None = None,
) -> V:  # fmt: skip
    panel: Any = shaped
    if decimals is not None:
        panel.decimals(decimals)
    if minimum is not None:
        panel.min(minimum)
    if maximum is not None:
        panel.max(maximum)
    if no_value:
        panel.no_value(no_value)
    if words:
        results = {
            value: schema.ValueMappingResult(text=said, color=colour, index=place)
            for place, (value, (said, colour)) in enumerate(words.items())
        }
        panel.mappings([schema.ValueMap(options=results)])
    return shaped


def _targets(queries: Queries) -> list[Dataquery]:
    return [
        Dataquery().expr(expression).legend_format(legend).ref_id(_ref(place)).range().datasource(DATASOURCE)
        for place, (legend, expression) in enumerate(queries)
    ]


def _ref(place: int) -> str:
    return chr(ord("A") + place)


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields("")


def _color(mode: schema.FieldColorModeId) -> FieldColor:
    return FieldColor().mode(mode)


def _property(name: str, value: object) -> schema.DynamicConfigValue:
    return schema.DynamicConfigValue(id_val=name, value=value)
