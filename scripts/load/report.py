"""The report of a run: one object, fit for JSON, from which the table, the page and all judgements are made."""
from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from scripts.load.conditions import FIGURES, Condition
from scripts.load.measured import PERCENTILES, Latencies, Measured
from scripts.load.traffic import PARTS
from scripts.load.wire import OWN_LIMIT
from scripts.load.worker import FLUSH_SECONDS

FORMAT = 1
"""Of the JSON; raised when a reader of the former would misread the new."""
CURVE = (0, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 100)
_BUSY_SHARE = 0.85
_MACHINE_SHARE = 0.97
_LAG_MILLISECONDS = 5.0
_LATE_SHARE = 0.01
CLOSED = (
    "Closed model: each user waits for an answer before asking again, so a service that stalls is asked less while it "
    "does. The latencies are those of the requests that were sent, not what people arriving meanwhile would have seen; "
    "--rate measures that."
)
OPEN = (
    "Open model: requests were due at a steady rate whatever the service did, and latency counts from the moment when "
    "a request was due, so a stall shows in full (corrected for coordinated omission)."
)
COUNTED = (
    "Latencies are those of all answers, whatever their status, and of requests that timed out or could not even be "
    "started, at the moment when they were given up."
)


def make_report(measured: Measured, *, options: Mapping[str, Any], mix: Iterable[str], started: str) -> dict[str, Any]:
    """All that a run has shown; durations in milliseconds where their name says so, else in seconds."""
    endpoints = sorted(measured.endpoints)
    report: dict[str, Any] = {
        "format": FORMAT,
        "started": started,
        "options": dict(options),
        "model": "closed" if options["rate"] is None else "open",
        "note": f"{CLOSED if options['rate'] is None else OPEN} {COUNTED}",
        "seconds": round(measured.duration, 3),
        "drain_seconds": round(max(measured.last_end - measured.duration, 0.0), 3),
        "interrupted": False,
        "complete": not measured.ended_early,
        "overall": _summary(measured, endpoints),
        "parts": {part: _summary(measured, set(PARTS[part]) & set(endpoints)) for part in mix},
        "endpoints": {endpoint: _summary(measured, [endpoint]) for endpoint in endpoints},
        "statuses": _statuses(measured),
        "errors": _errors(measured),
        "timeline": [
            {
                "second": period.begin, "seconds": period.seconds, "requests": period.requests,
                "errors": period.errors, "bytes": period.size,
                **dict(zip(("p50_ms", "p95_ms", "p99_ms"), period.quantiles(), strict=True)),
            }
            for period in measured.timeline.periods()
        ],
        "tester": _tester(measured),
    }  # fmt: skip
    report["warnings"] = _warnings(measured, report)
    return report


def _summary(measured: Measured, endpoints: Iterable[str]) -> dict[str, Any]:
    endpoints = set(endpoints)
    latencies = Latencies()
    statuses: dict[str, dict[str, Any]] = {}
    for (endpoint, status), of_status in sorted(measured.latencies.items()):
        if endpoint in endpoints:
            latencies.add(of_status)
            if status and len(endpoints) == 1:
                statuses[str(status)] = {"count": of_status.count, "latency_ms": _figures(of_status)}
    outcomes = {outcome: n for outcome, n in measured.outcomes.items() if outcome[0] in endpoints}
    requests = sum(outcomes.values())
    errors = sum(n for (_, _, kind), n in outcomes.items() if kind)
    answers = sum(n for (_, status, _), n in outcomes.items() if status)
    return {
        "requests": requests,
        "answers": answers,
        "errors": errors,
        "success_rate": _ratio(requests - errors, requests),
        "throughput": _ratio(sum(measured.in_time[endpoint] for endpoint in endpoints), measured.duration) or 0.0,
        "bytes": sum(measured.sizes[endpoint] for endpoint in endpoints),
        "latency_ms": _figures(latencies),
        "curve_ms": list(zip(CURVE, latencies.percentiles(CURVE), strict=True)),
        "hdr_histogram_us": latencies.encode().decode(),
        **({"statuses": statuses} if len(endpoints) == 1 else {}),
    }


def _figures(latencies: Latencies) -> dict[str, float | None]:
    """The least, the mean, percentiles and the greatest; None where nothing was timed."""
    if not latencies.count:
        return dict.fromkeys(FIGURES)
    found = latencies.percentiles(PERCENTILES)
    names = (f"p{percentile:g}" for percentile in PERCENTILES)
    return {
        "min": latencies.least / 1000,
        "mean": latencies.total / latencies.count / 1000,
        **dict(zip(names, found, strict=True)),
        "max": latencies.greatest / 1000,
    }


def _statuses(measured: Measured) -> dict[str, int]:
    statuses: Counter[int] = Counter()
    for (_, status, _), count in measured.outcomes.items():
        statuses[status] += count
    return {str(status) if status else "no answer": count for status, count in sorted(statuses.items())}


def _errors(measured: Measured) -> list[dict[str, Any]]:
    kinds: Counter[str] = Counter()
    for (_, _, kind), count in measured.outcomes.items():
        if kind:
            kinds[kind] += count
    unknown = {"request": "", "detail": "", "request_id": ""}  # of a process that ended before it told
    return [
        {**measured.examples.get(kind, unknown), "kind": kind, "count": count} for kind, count in kinds.most_common()
    ]


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _tester(measured: Measured) -> dict[str, Any]:
    lags = measured.lags.percentiles([99.0])[0]
    return {
        "processes": [
            {
                "cpu_share": _ratio(busy.cpu_seconds, busy.seconds),
                "threads": busy.threads,
                "longest_still_s": round(busy.still, 3),
            }
            for _, busy in sorted(measured.busy.items())
        ],
        "statistics_cpu_share": _ratio(measured.own_cpu_seconds, measured.duration),
        "machine_share": measured.machine_share,
        "lag_p99_ms": lags,
        "late": measured.late,
    }


def _warnings(measured: Measured, report: Mapping[str, Any]) -> list[str]:
    tester = report["tester"]
    warnings = [
        f"Process {process} of users {how}, so the run was ended. What it had under way or had not yet "
        f"handed over, at most {FLUSH_SECONDS:g} s of answers, is in no figure."
        for process, how in measured.ended_early.items()
    ]
    warnings += [f"The tester itself was at its limit: {note}" for note in dict.fromkeys(measured.notes)]
    of_its_own = sum(n for (_, _, kind), n in measured.outcomes.items() if kind == OWN_LIMIT)
    if of_its_own:
        warnings.append(
            f"The tester itself was at its limit: {of_its_own:,} requests could not be made for want of files, ports "
            "or memory on this machine. They count as errors, and say nothing of the service. Raise ulimit -n, or ask "
            "from another machine."
        )
    still = max((one["longest_still_s"] for one in tester["processes"]), default=0.0)
    if still:
        warnings.append(
            f"The tester itself stood still, for {still:.1f} s at the longest; what was due meanwhile left late, and "
            "its latency includes that. The machine has too little to spare, or somebody stopped the process."
        )
    if (tester["machine_share"] or 0.0) > _MACHINE_SHARE:
        warnings.append(
            f"The processors of this machine were {tester['machine_share']:.0%} busy: the tester and whatever else "
            "runs here, perhaps the service, were in each other's way. Ask from another machine to know the limit of "
            "the service alone."
        )
    busiest = max((one["cpu_share"] or 0.0 for one in tester["processes"]), default=0.0)
    if busiest > _BUSY_SHARE:
        warnings.append(
            f"The tester itself was the bottleneck: a process of users took {busiest:.0%} of a processor core, so "
            "latencies are partly its own and more could not be asked. Add --processes, or ask from another machine."
        )
    if (tester["lag_p99_ms"] or 0.0) > _LAG_MILLISECONDS:
        warnings.append(
            f"The tester itself was late: 1 % of its requests left {tester['lag_p99_ms']:.1f} ms or more after they "
            "were due although a thread was free, and their latency includes that. The machine has too little to spare."
        )
    if report["model"] == "open" and measured.late > _LATE_SHARE * max(measured.requests, 1):
        warnings.append(
            f"{measured.late:,} requests were due when all threads of the tester were waiting for answers; they were "
            "sent as soon as one was free, and their latency includes that wait."
        )
    if measured.unstarted:
        warnings.append(
            f"{measured.unstarted:,} requests that were due could not even be started: the service is slower than the "
            "rate asks for. They count as errors; the latencies are lower than people would have seen."
        )
    return warnings


def judge(report: dict[str, Any], conditions: Iterable[Condition], earlier: Mapping[str, Any] | None) -> None:
    """Enter into the report which of the conditions, each of which means failure, are so."""
    report["thresholds"] = [_judged(report, condition, earlier) for condition in conditions]


def _judged(report: Mapping[str, Any], condition: Condition, earlier: Mapping[str, Any] | None) -> dict[str, Any]:
    figure = condition.figure_of(_of(report, condition))
    shown = figure
    if condition.relative and earlier is not None:
        before = condition.figure_of(_of(earlier, condition))
        shown = change(before, figure)
    if shown is None:  # nothing was measured that could show that all is well
        return {"condition": condition.text, "figure": None, "shown": "nothing to compare", "failed": True}
    said = "grown from nothing" if shown == math.inf else condition.shown(shown)
    return {"condition": condition.text, "figure": figure, "shown": said, "failed": condition.holds(shown)}


def holds_all(report: Mapping[str, Any], objective: Iterable[Condition]) -> bool:
    """Whether every condition of an objective is met."""
    figures = ((condition, condition.figure_of(_of(report, condition))) for condition in objective)
    return all(figure is not None and condition.holds(figure) for condition, figure in figures)


def _of(report: Mapping[str, Any], condition: Condition) -> Mapping[str, Any]:
    found = report["parts"].get(condition.part) if condition.part else report["overall"]
    if found is None:
        raise ValueError(f"'{condition.text}' names {condition.part}, which the earlier run did not ask for")
    return dict(found)


def change(before: float | None, now: float | None) -> float | None:
    """The change in percent, infinite for a growth from nothing; None where there is nothing to compare."""
    if before is None or now is None:
        return None
    if before == 0:
        return 0.0 if now == 0 else math.inf
    return 100.0 * (now - before) / before


def compare(report: Mapping[str, Any], earlier: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of figures then and now, for all requests and for each part that both runs asked for."""
    rows = []
    summaries = [("all", earlier["overall"], report["overall"])]
    both = [part for part in report["parts"] if part in earlier["parts"]]
    summaries += [(part, earlier["parts"][part], report["parts"][part]) for part in both]
    for part, then, now in summaries:
        for figure in ("throughput", "errors", *(FIGURES if part == "all" else ("p50", "p95", "p99"))):
            before, after = (_comparable(summary, figure) for summary in (then, now))
            percent = change(before, after)
            rows.append(
                {
                    "part": part, "figure": figure, "then": before, "now": after,
                    "change": None if percent == math.inf else percent,
                }
            )  # fmt: skip
    return rows


def _comparable(summary: Mapping[str, Any], figure: str) -> float | None:
    if figure == "errors":
        return 100.0 * summary["errors"] / summary["requests"] if summary["requests"] else None
    found = summary["throughput"] if figure == "throughput" else summary["latency_ms"][figure]
    return None if found is None else float(found)


def load_earlier(path: Path) -> dict[str, Any]:
    """The report that --json wrote; raises ValueError that says what is wrong with the file."""
    try:
        content = path.read_bytes()
        report: dict[str, Any] = orjson.loads(content)
        _Report.model_validate_json(content)
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); name a file that --json has written") from error
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON ({error}); name a file that --json has written") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        wrong = f"{path} is no report of this load tester ({where}: {first['msg']})"
        raise ValueError(f"{wrong}; name a file that --json has written") from error
    return report


class _Figures(BaseModel):
    """That of an earlier summary which is compared."""

    requests: int
    errors: int
    throughput: float
    latency_ms: dict[str, float | None]

    @field_validator("latency_ms")
    @classmethod
    def _all(cls, latency: dict[str, float | None]) -> dict[str, float | None]:
        missing = [figure for figure in FIGURES if figure not in latency]
        if missing:
            raise ValueError(f"{missing[0]} is missing")
        return latency


class _Report(BaseModel):
    """That of an earlier report which is compared."""

    model_config = ConfigDict(strict=True)

    format: Literal[1]
    started: str
    options: dict[str, Any]
    overall: _Figures
    parts: dict[str, _Figures]
