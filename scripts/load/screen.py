"""What a person sees in the terminal: a line while it runs, and the tables at the end."""

from __future__ import annotations

import shutil
import sys
import textwrap
import time
from collections.abc import Iterable, Mapping
from typing import Any

from scripts.load.conditions import FIGURES
from scripts.load.measured import Measured

_WIDTH = 118
_PLAIN_SECONDS = 5.0
_LIVE_SECONDS = 0.5
_LONG_SECONDS = 1.0


class Live:
    """One line that is written over and over in a terminal, and a plain line every few seconds elsewhere."""

    def __init__(self, what: str, duration: float) -> None:
        self._what = what
        self._duration = duration
        self._terminal = sys.stderr.isatty()
        self._next = 0.0

    def show(self, measured: Measured, elapsed: float) -> None:
        """Show how far it is, if it is time again; `elapsed` seconds after the start of what is measured."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + (_LIVE_SECONDS if self._terminal else _PLAIN_SECONDS)
        if elapsed < 0:
            line = f"{self._what}warming up, {-elapsed:.0f} s"
        else:
            last = measured.last_seconds(elapsed)
            p50, p95, p99 = (ms(value) for value in last.quantiles())
            seconds = max(elapsed - last.begin, 0.5)
            done = min(elapsed / self._duration, 1.0)
            line = (
                f"{self._what}{bar(done) if self._terminal else f'{done:4.0%}'} {elapsed:5.0f} s  "
                f"{last.requests / seconds:7.1f}/s  p50 {p50}  p95 {p95}  p99 {p99} ms  errors {measured.errors:,}"
            )
        line += _waiting(measured)
        if self._terminal:
            width = _terminal_width()
            print(f"\r{line[:width]:<{width}}", end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the line clean for what follows."""
        if self._terminal:
            print(f"\r{'':<{_terminal_width()}}\r", end="", file=sys.stderr, flush=True)


def _waiting(measured: Measured) -> str:
    """How many answers are waited for, where one is long in coming."""
    oldest = max((busy.oldest for busy in measured.busy.values()), default=0.0)
    if oldest < _LONG_SECONDS:
        return ""
    return f"  {sum(busy.waiting for busy in measured.busy.values()):,} wait, the first for {oldest:.0f} s"


def _terminal_width() -> int:
    return min(shutil.get_terminal_size((_WIDTH, 24)).columns - 1, _WIDTH)


def bar(done: float) -> str:
    """Progress as a bar of twenty places."""
    return "[" + "#" * round(20 * done) + "." * (20 - round(20 * done)) + "]"


def ms(value: float | None) -> str:
    """Milliseconds with three digits that matter."""
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:,.0f}"


def print_report(report: Mapping[str, Any]) -> None:
    """All of the report that fits a screen."""
    overall, options = report["overall"], report["options"]
    asked = f"{options['rate']:g} a second" if report["model"] == "open" else f"{options['users']} users"
    share = "" if overall["success_rate"] is None else f" ({percent(overall['success_rate'])} went well)"
    drained = f", the last answer {report['drain_seconds']:.1f} s later" if report["drain_seconds"] >= 1 else ""
    print(
        f"\n{options['url']}: {asked} for {report['seconds']:.1f} s after {options['warm_up']:g} s of warm-up"
        f"{drained}{', interrupted' if report['interrupted'] else ''}\n"
        f"{overall['requests']:,} requests, {overall['errors']:,} errors{share}, {overall['throughput']:,.1f} answers "
        f"a second, {overall['bytes'] / 1e6:,.1f} MB"
    )
    print("\n".join(textwrap.wrap(report["note"], _WIDTH)))
    _print_latencies(report)
    print(f"\nstatus: {', '.join(f'{status}: {count:,}' for status, count in report['statuses'].items())}")
    for error in report["errors"]:
        print(f"error: {error['count']:,} x {error['kind']}: {error['request']}: {error['detail']}")
        if error["request_id"]:
            print(f"       request id {error['request_id']}")
    tester = report["tester"]
    busy = ", ".join(percent(one["cpu_share"] or 0.0) for one in tester["processes"])
    lag = f"; 99 % of its requests left within {ms(tester['lag_p99_ms'])} ms of when they were due"
    own = percent(tester["statistics_cpu_share"] or 0.0)
    lag = lag if report["model"] == "open" and tester["lag_p99_ms"] is not None else ""
    print(f"tester: {busy} of a core, its statistics {own}{lag}")
    if "verification" in report:
        _print_verification(report["verification"])
    if "capacity" in report:
        _print_capacity(report["capacity"])
    if "comparison" in report:
        _print_comparison(report["comparison"])
    for threshold in report.get("thresholds", ()):
        verdict = "FAIL" if threshold["failed"] else "ok  "
        print(f"{verdict}  {threshold['condition']}: {threshold['shown']}")
    for warning in report["warnings"]:
        print("\n".join(textwrap.wrap(f"warning: {warning}", _WIDTH)))


def _print_latencies(report: Mapping[str, Any]) -> None:
    rows = [("all", report["overall"]), *report["endpoints"].items()]
    table: list[list[str]] = [["latency in ms", "requests", "errors", *FIGURES]]
    for name, summary in rows:
        figures = (ms(summary["latency_ms"][figure]) for figure in FIGURES)
        table.append([name, f"{summary['requests']:,}", f"{summary['errors']:,}", *figures])
    _print_table(table)


def _print_verification(verification: Mapping[str, Any]) -> None:
    table = [["answers", "status", "tester", "service", "difference", "of it, no answer"]]
    for row in verification["rows"]:
        difference = f"{row['difference']:+,}" if row["difference"] else "0"
        table.append(
            [
                row["endpoint"], str(row["status"]), f"{row['answered']:,}", f"{row['counted']:,}", difference,
                f"{row['without_answer']:,}",
            ]
        )  # fmt: skip
    _print_table(table)
    table = [["latency in ms", "quantile", "tester", "service", "its bucket", "difference"]]
    for row in verification["latency"]:
        bounds = f"{ms(row['service_from_ms'])} to {ms(row['service_to_ms'])}"
        table.append(
            [
                row["endpoint"], f"p{row['percentile']:g}", ms(row["tester_ms"]), ms(row["service_ms"]), bounds,
                "-" if row["difference_ms"] is None else f"{row['difference_ms']:+.2f}",
            ]
        )  # fmt: skip
    _print_table(table)
    print(
        "The tester's latency has the way there and all waiting in it, the service's begins in the application;\n"
        "the service's quantile is interpolated within a bucket of its histogram."
    )
    for endpoint, count in verification["others"].items():
        print(f"note: somebody else was answered {endpoint}, {count:,} times")
    print(f"{'ok  ' if verification['equal'] else 'FAIL'}  {verdict_of(verification)}")


def verdict_of(verification: Mapping[str, Any]) -> str:
    """The result of --verify-metrics in a sentence."""
    answered, counted = verification["answered"], verification["counted"]
    sentence = f"{answered:,} answers, warm-up included, {counted:,} counted by the service"
    if verification["unanswered"]:
        explained = counted - answered
        sentence += f"; {verification['unanswered']:,} requests got no answer"
        sentence += f", which explains {explained:,} more that were counted" if explained > 0 else ""
    if not verification["equal"]:
        sentence += f"; {verification['unexplained']:,} unexplained: "
        sentence += "did anybody else ask, was the service restarted, or is a count lost?"
    return sentence


def _print_capacity(capacity: Mapping[str, Any]) -> None:
    table = [["rate asked for", "answers/s", "requests", "errors", "p50 ms", "p95 ms", "p99 ms", "objective"]]
    table += [
        [
            f"{step['rate']:g}", f"{step['throughput']:.1f}", f"{step['requests']:,}", f"{step['errors']:,}",
            ms(step["p50_ms"]), ms(step["p95_ms"]), ms(step["p99_ms"]), "held" if step["held"] else "BROKEN",
        ]
        for step in sorted(capacity["steps"], key=lambda step: float(step["rate"]))
    ]  # fmt: skip
    _print_table(table)
    print(capacity["verdict"])


def _print_comparison(comparison: Mapping[str, Any]) -> None:
    table = [[f"since {comparison['started']}", "figure", "then", "now", "change"]]
    for row in comparison["rows"]:
        shown = ms if row["figure"] not in {"throughput", "errors"} else _plain
        unit = {"throughput": "/s", "errors": " %"}.get(row["figure"], " ms")
        then, now = (shown(row[when]) + (unit if row[when] is not None else "") for when in ("then", "now"))
        table.append([row["part"], row["figure"], then, now, changed(row)])
    _print_table(table)
    for difference in comparison["differences"]:
        print(f"note: the runs differ in {difference}")


def changed(row: Mapping[str, Any]) -> str:
    """A row's change in percent."""
    if row["change"] is not None:
        return f"{row['change']:+.1f} %"
    return "from 0" if row["then"] == 0 and row["now"] else "-"


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f}"


def percent(share: float) -> str:
    """A share in percent, never rounded up to all or down to nothing."""
    shown = f"{100 * share:.1f} %"
    if shown == "100.0 %" and share < 1:
        return f"{100 * share:.4f} %" if share < 0.999999 else "99.9999 %"
    return shown


def _print_table(rows: Iterable[list[str]]) -> None:
    rows = list(rows)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    print()
    for first, *others in rows:
        cells = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        print("  ".join([first.ljust(widths[0]), *cells]))
