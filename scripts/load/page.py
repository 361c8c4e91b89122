"""The report as one page for people: plots first, then tables; it loads nothing, and needs no script."""
from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from scripts.load.conditions import FIGURES
from scripts.load.plots import Mark, Series, plot, round_ticks
from scripts.load.screen import changed, ms, percent, verdict_of

_BLUE, _AMBER, _RED, _GREEN, _GREY = "#2563eb", "#c2710c", "#c81e3a", "#15803d", "#64748b"
_QUANTILES = (("p50", "P50", _BLUE), ("p95", "P95", _AMBER), ("p99", "P99", _RED))
_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; color: #1e293b;
  background: #f6f7f9; margin: 0; }
main { max-width: 1120px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 28px; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 19px; margin: 0 0 2px; }
p { margin: 0 0 10px; max-width: 90ch; }
.quiet { color: #55637a; font-size: 14.5px; }
section { background: #fff; border: 1px solid #e3e7ed; border-radius: 10px; padding: 20px 22px; margin-top: 18px; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(132px, 1fr)); gap: 12px; margin-top: 20px; }
.card { background: #fff; border: 1px solid #e3e7ed; border-radius: 10px; padding: 12px 16px; }
.card b { display: block; font-size: 25px; line-height: 1.3; font-variant-numeric: tabular-nums; }
.card span { color: #55637a; font-size: 14px; }
.bad b, .bad { color: #b3122f; }
.note { border-left: 4px solid #2563eb; padding: 10px 16px; background: #eef4ff; border-radius: 4px; margin-top: 18px; }
.warning { border-left: 4px solid #c2710c; background: #fff6e9; }
.failed { border-left: 4px solid #c81e3a; background: #fff0f2; }
.passed { border-left: 4px solid #15803d; background: #edf9f0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 14.5px; font-variant-numeric: tabular-nums; width: 100%; }
th, td { padding: 6px 10px; text-align: right; border-bottom: 1px solid #edf0f4; white-space: nowrap; }
th { color: #55637a; font-weight: 600; }
th:first-child, td:first-child, .left { text-align: left; }
td.wrap { white-space: normal; text-align: left; overflow-wrap: anywhere; }
tr:first-child td { font-weight: 600; }
table.even tr:first-child td { font-weight: 400; }
code { font: 13.5px ui-monospace, "DejaVu Sans Mono", monospace; }
svg { display: block; width: 100%; height: auto; margin-top: 10px; }
svg text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #55637a; }
svg .name { font-weight: 600; }
svg .grid { stroke: #e3e7ed; } svg .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
svg .mark { stroke: #15803d; stroke-width: 1.5; stroke-dasharray: 5 4; }
svg .marked { fill: #15803d; font-weight: 600; }
"""


def make_page(report: Mapping[str, Any]) -> str:
    """The whole page as HTML text."""
    options = report["options"]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
            f"<title>Load test of {escape(options['url'])}</title><style>{_STYLE}</style></head><body><main>",
            f"<h1>Load test of {escape(options['url'])}</h1>",
            f'<p class="quiet">{_what_was_done(report)}</p>',
            *_verdicts(report),
            _cards(report),
            f'<div class="note">{escape(report["note"])}</div>',
            *(f'<div class="note warning">{escape(warning)}</div>' for warning in report["warnings"]),
            *(_capacity(report["capacity"]) if "capacity" in report else ()),
            *_over_time(report),
            _percentile_curve(report),
            _errors(report),
            _endpoints(report),
            *(_verification(report["verification"]) if "verification" in report else ()),
            *(_comparison(report["comparison"]) if "comparison" in report else ()),
            _how(report),
            "</main></body></html>",
            "",
        ]
    )


def _what_was_done(report: Mapping[str, Any]) -> str:
    options = report["options"]
    think = " to ".join(f"{seconds:g}" for seconds in dict.fromkeys(options["think_time"] or ()))
    load = (
        f"{options['rate']:g} requests a second, whatever the service did"
        if report["model"] == "open"
        else f"{options['users']} users, each thinking {think} s between answer and next request"
    )
    interrupted = ", interrupted by hand" if report["interrupted"] else ""
    return f"Begun {escape(report['started'])}. {load}; measured for {report['seconds']:.1f} s{interrupted}."


def _verdicts(report: Mapping[str, Any]) -> Iterable[str]:
    for threshold in report["thresholds"]:
        kind, word = ("failed", "Failed") if threshold["failed"] else ("passed", "Passed")
        yield (
            f'<div class="note {kind}"><b>{word}</b>: must not be {escape(threshold["condition"])}; '
            f"it was {escape(threshold['shown'])}.</div>"
        )


def _cards(report: Mapping[str, Any]) -> str:
    overall = report["overall"]
    latency = overall["latency_ms"]
    cards = [
        (f"{overall['throughput']:,.1f}", "answers a second", False),
        (f"{overall['requests']:,}", "requests", False),
        (f"{overall['errors']:,}", "errors", overall["errors"] > 0),
        ("-" if overall["success_rate"] is None else percent(overall["success_rate"]), "went well", False),
        (f"{ms(latency['p50'])} ms", "P50, half took at most", False),
        (f"{ms(latency['p95'])} ms", "P95, 95 in 100", False),
        (f"{ms(latency['p99'])} ms", "P99, 99 in 100", False),
    ]
    inside = "".join(
        f'<div class="card{" bad" if bad else ""}"><b>{value}</b><span>{label}</span></div>'
        for value, label, bad in cards
    )
    return f'<div class="cards">{inside}</div>'


def _section(title: str, text: str, *content: str) -> str:
    return f'<section><h2>{title}</h2><p class="quiet">{text}</p>{"".join(content)}</section>'


def _over_time(report: Mapping[str, Any]) -> Iterable[str]:
    periods = report["timeline"]
    if not periods:
        return
    end = periods[-1]["second"] + periods[-1]["seconds"]

    def drawn(series: Sequence[Series], *, title: str, y_label: str, may_be_log: bool = False) -> str:
        return plot(
            series, title=title, y_label=y_label, y_form=_short, may_be_log=may_be_log,
            x_label="seconds since the measurement began", x_ticks=_seconds(end), x_range=(0.0, float(end)),
        )  # fmt: skip

    each = "each second" if end <= len(periods) else f"each {periods[0]['seconds']} seconds"
    whole = [period for period in periods if period["second"] + period["seconds"] <= report["seconds"]] or periods
    middles = [period["second"] + period["seconds"] / 2 for period in whole]
    lines = [
        Series(
            name, color, [(x, period[f"{key}_ms"]) for x, period in zip(middles, whole, strict=True)],
            [f"{period['second']} s: {name} {ms(period[f'{key}_ms'])} ms" for period in whole],
        )
        for key, name, color in _QUANTILES
    ]  # fmt: skip
    yield _section(
        "Latency over time",
        f"P50, P95 and P99 of the answers that came back in {each}.",
        drawn(lines, title="latency over time", y_label="milliseconds", may_be_log=True),
    )
    rates = [(x, period["requests"] / period["seconds"]) for x, period in zip(middles, whole, strict=True)]
    hints = [f"{period['second']} s: {rate:,.1f} a second" for period, (_, rate) in zip(whole, rates, strict=True)]
    throughput = [Series("", _GREEN, rates, hints, "area", labelled=False)]
    yield _section(
        "Throughput",
        f"Requests a second that came to an end, well or not, in {each}.",
        drawn(throughput, title="throughput", y_label="requests a second"),
    )
    if report["overall"]["errors"]:
        bars = Series(
            "", _RED, [(period["second"], period["errors"] / period["seconds"]) for period in periods],
            [f"{period['second']} s: {period['errors']} errors" for period in periods],
            "bars", float(periods[0]["seconds"]), labelled=False,
        )  # fmt: skip
        yield _section(
            "Errors over time",
            f"Requests a second that failed, in {each}.",
            drawn([bars], title="errors over time", y_label="errors a second"),
        )


def _percentile_curve(report: Mapping[str, Any]) -> str:
    """Percentiles over an axis on which each step to the right is ten times rarer."""
    requests = max(report["overall"]["answers"], 1)
    rarest = max(math.ceil(math.log10(requests)), 1)

    def place(percentile: float) -> float:
        return min(-math.log10(max(1 - percentile / 100, 10.0**-rarest)), rarest)

    points, hints = [], []
    for percentile, value in report["overall"]["curve_ms"]:
        if percentile == 100 or place(percentile) < rarest:
            points.append((place(percentile), value))
            hints.append(f"{percentile:g} in 100 took at most {ms(value)} ms")
    ticks = [(place(p), f"{p:g} %") for p in (0, 50, 90, 99, 99.9, 99.99, 99.999) if place(p) < rarest - 0.1]
    drawn = plot(
        [Series("", _BLUE, points, hints, labelled=False)],
        title="percentile curve", x_label="share of requests that took at most so long; every step is ten times rarer",
        y_label="milliseconds", x_ticks=[*ticks, (float(rarest), "slowest")], x_range=(0.0, float(rarest)),
        y_form=_short, may_be_log=True,
    )  # fmt: skip
    text = "How slow the slowest are: at 99 % stands the time that one request in a hundred exceeded."
    return _section("Percentile curve", text, drawn)


def _capacity(capacity: Mapping[str, Any]) -> Iterable[str]:
    steps = sorted(capacity["steps"], key=lambda step: float(step["rate"]))
    most = steps[-1]["rate"]
    each_rate = {step["rate"]: step for step in steps}  # of two attempts at a rate the line has the latter
    lines = [
        Series(name, color, [(rate, step[f"{key}_ms"]) for rate, step in each_rate.items()])
        for key, name, color in _QUANTILES
    ]
    for held, color in ((True, _GREEN), (False, _RED)):
        those = [step for step in steps if step["held"] is held]
        lines.append(
            Series(
                "", color, [(step["rate"], step["p99_ms"]) for step in those],
                [
                    f"{step['rate']:g} a second: P99 {ms(step['p99_ms'])} ms, {step['errors']} errors, "
                    f"{'held' if held else 'broken'}"
                    for step in those
                ],
                "points", labelled=False,
            )
        )  # fmt: skip
    marks = [Mark(capacity["rate"], f"{capacity['rate']:g} a second")] if capacity["rate"] else []
    drawn = plot(
        lines, title="capacity", x_label="requests a second asked for", y_label="milliseconds",
        x_ticks=[(value, _short(value)) for value in round_ticks(most, 10) if value <= most],
        x_range=(0.0, most * 1.02), y_form=_short, may_be_log=True, marks=marks,
    )  # fmt: skip
    rows = [
        [
            f"{step['rate']:g}", f"{step['throughput']:,.1f}", f"{step['requests']:,}", f"{step['errors']:,}",
            ms(step["p50_ms"]), ms(step["p95_ms"]), ms(step["p99_ms"]), "held" if step["held"] else "broken",
        ]
        for step in steps
    ]  # fmt: skip
    head = ["rate asked for", "answers a second", "requests", "errors", "P50 ms", "P95 ms", "P99 ms", "objective"]
    verdict = capacity["verdict"]
    yield _section(
        "Capacity",
        f"{escape(verdict[:1].upper() + verdict[1:])} Green points held the objective, red ones broke it. What follows "
        f"is of the {'highest rate held' if capacity['rate'] else 'last rate tried'}, but what the service counted is "
        "of all.",
        drawn,
        _table(head, rows, even=True),
    )


def _errors(report: Mapping[str, Any]) -> str:
    statuses = ", ".join(f"{escape(status)}: {count:,}" for status, count in report["statuses"].items())
    text = f"Status codes: {statuses or 'none'}. A 404 is no error where a movie was asked for that does not exist."
    if not report["errors"]:
        return _section("Errors", f"None. {text}")
    rows = [
        f'<tr><td>{escape(error["kind"])}</td><td>{error["count"]:,}</td><td class="wrap"><code>'
        f'{escape(error["request"])}</code></td><td class="wrap">{escape(error["detail"])}</td>'
        f'<td class="left"><code>{escape(error["request_id"])}</code></td></tr>'
        for error in report["errors"]
    ]
    head = (
        '<tr><th>kind</th><th>count</th><th class="left">an example</th><th class="left">what was said</th>'
        '<th class="left">its request id</th></tr>'
    )
    table = f'<div class="scroll"><table class="even"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table></div>'
    return _section("Errors", f"{text} The service's log has the request ids.", table)


def _endpoints(report: Mapping[str, Any]) -> str:
    rows = []
    for name, summary in [("all", report["overall"]), *report["endpoints"].items()]:
        latency = summary["latency_ms"]
        figures = [ms(latency[figure]) for figure in FIGURES]
        rows.append([name, f"{summary['requests']:,}", f"{summary['errors']:,}", *figures])
    head = ["milliseconds", "requests", "errors", *(name.upper() if name[0] == "p" else name for name in FIGURES)]
    return _section("By endpoint", "Latency of each endpoint, slowest figures to the right.", _table(head, rows))


def _verification(verification: Mapping[str, Any]) -> Iterable[str]:
    rows = [
        [
            row["endpoint"], str(row["status"]), f"{row['answered']:,}", f"{row['counted']:,}",
            f"{row['difference']:+,}" if row["difference"] else "0", f"{row['without_answer']:,}",
        ]
        for row in verification["rows"]
    ]  # fmt: skip
    head = ["answers", "status", "tester", "service", "difference", "of it, no answer"]
    verdict = f"{'Equal' if verification['equal'] else 'NOT EQUAL'}: {verdict_of(verification)}."
    yield _section("What the service counted", escape(verdict), _table(head, rows, even=True))
    rows = [
        [
            row["endpoint"], f"P{row['percentile']:g}", ms(row["tester_ms"]), ms(row["service_ms"]),
            f"{ms(row['service_from_ms'])} to {ms(row['service_to_ms'])}",
            "-" if row["difference_ms"] is None else f"{row['difference_ms']:+.2f}",
        ]
        for row in verification["latency"]
    ]  # fmt: skip
    head = ["milliseconds", "quantile", "tester", "service", "bucket of the service", "difference"]
    text = "The tester's latency has the way there and all waiting in it; the service's begins in the application."
    yield _section("How long the service says it took", text, _table(head, rows, even=True))


def _comparison(comparison: Mapping[str, Any]) -> Iterable[str]:
    units = {"throughput": "/s", "errors": "%"}
    rows = [
        [
            row["part"], row["figure"], units.get(row["figure"], "ms"),
            *("-" if row[when] is None else f"{row[when]:,.2f}" for when in ("then", "now")), changed(row),
        ]
        for row in comparison["rows"]
    ]  # fmt: skip
    differences = "".join(f"<p>The runs differ in {escape(one)}.</p>" for one in comparison["differences"])
    head = ["part", "figure", "unit", "then", "now", "change"]
    text = f"Beside the run of {escape(comparison['started'])}."
    yield _section("Change since an earlier run", text, differences, _table(head, rows, even=True))


def _how(report: Mapping[str, Any]) -> str:
    options, tester = report["options"], report["tester"]
    busy = ", ".join(percent(one["cpu_share"] or 0.0) for one in tester["processes"])
    lag = tester["lag_p99_ms"]
    late = "" if lag is None else f" 99 % of its requests left within {ms(lag)} ms of when they were due."
    rows = [
        [name.replace("_", " "), ", ".join(f"{k} {v:g}" for k, v in value.items()) if name == "mix" else _plain(value)]
        for name, value in options.items()
    ]
    text = f"The tester's processes took {busy} of a processor core.{late}"
    return _section("How it was measured", text, _table(["setting", "value"], rows, even=True))


def _plain(value: Any) -> str:
    if value is None:
        return "-"
    return " to ".join(f"{one:g}" for one in value) if isinstance(value, list | tuple) else str(value)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, even: bool = False) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    kind = ' class="even"' if even else ""
    return f'<div class="scroll"><table{kind}><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _seconds(end: float) -> list[tuple[float, str]]:
    """About ten round numbers from 0 to the end."""
    step = next((step for step in (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600) if end / step <= 12), 3600 * 6)
    return [(float(at), f"{at:,}") for at in range(0, int(end) + 1, step)]


def _short(value: float) -> str:
    return f"{value:,.10g}" if value < 1e6 else f"{value:.2g}"
