"""All of the benchmarks, and docs/performance.md with what they found."""
from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from scripts.bench.models import FOLDER
from scripts.bench.results import GROWTH, Result, by_size, figure
from scripts.files import write_whole
from scripts.running_service import ROOT

_MINUTES = {
    "http": 1.6, "request": 0.2, "questions": 0.3, "memory": 1.1, "start": 0.8, "scrape": 0.7, "load": 1.0,
    "scale": 8.0, "kernel": 0.6, "titles": 1.0,
}  # fmt: skip
"""The sub-commands in the order of the page, and about how long each takes on two cores, to tell what is left."""
_QUICK = 0.2
"""The share of that with --quick."""
_RESULTS = FOLDER / "results"
_PACKAGES = (
    "flask", "gunicorn", "numpy", "numba", "orjson", "rapidfuzz", "prometheus-client", "scipy", "scikit-learn",
    "sparse-dot-topn", "fastapi", "uvicorn",
)  # fmt: skip
_VERDICTS = {True: "met", False: "**missed**", None: ""}


@dataclass(frozen=True, slots=True)
class Section:
    """What one sub-command found."""

    name: str
    about: str
    """What it measures, in a sentence."""
    seconds: float
    """How long it took."""
    load: float
    """Processes that wanted the processor when it began, on the average of a minute."""
    options: Sequence[str]
    failure: str
    """Why it could not be measured; empty where it was."""
    results: list[Result]
    measured: str
    """The day, in ISO 8601."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Its own options."""
    parser.add_argument("--only", nargs="+", metavar="NAME", help="measure these; of the others tell what is there")
    parser.add_argument("--most", type=int, metavar="FILMS", help="no larger catalogue in scale (default: 1,000,000)")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="where performance.md goes (default: docs)")


def run(arguments: argparse.Namespace) -> list[Result]:
    """Measure one after the other, write the page and its pictures, and return every figure."""
    names = arguments.only or list(_MINUTES)
    for place, name in enumerate(names):
        left = sum(_MINUTES[each] for each in names[place:]) * (_QUICK if arguments.quick else 1)
        print(f"== {name}, {place + 1} of {len(names)}, about {left:.0f} minutes left ==", file=sys.stderr, flush=True)
        options = ["--quick"] if arguments.quick else []
        if name == "scale" and arguments.most:
            options += ["--most", str(arguments.most)]
        _measure(name, options)
    sections = [_read(name) for name in _MINUTES if _found(name).exists()]
    write(arguments.docs, sections)
    return [result for section in sections for result in section.results]


def _found(name: str) -> Path:
    """Where what the sub-command found is kept."""
    return _RESULTS / f"{name}.json"


def _measure(name: str, options: Sequence[str]) -> None:
    """Run a sub-command in a process of its own, and keep what it found."""
    out = _found(name)
    out.parent.mkdir(parents=True, exist_ok=True)
    begun, load = time.perf_counter(), os.getloadavg()[0]
    command = [sys.executable, str(ROOT / "scripts" / "benchmark.py"), name, *options, "--json", str(out)]
    out.unlink(missing_ok=True)
    said = ""
    with subprocess.Popen(  # noqa: S603 - our own command
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stderr or ():
            print(line, end="", file=sys.stderr, flush=True)
            said = line.strip() or said
    found: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {"benchmark": name, "results": []}
    found["failure"] = "" if found["results"] else (said or f"status {process.returncode}")
    found |= {"seconds": time.perf_counter() - begun, "load": load, "options": list(options), "measured": _today()}
    write_whole(out, json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def _read(name: str) -> Section:
    """What the sub-command found when it was last measured."""
    found = json.loads(_found(name).read_text(encoding="utf-8"))
    results = [
        Result(one["name"], one["value"], one["unit"], at_most=one["at_most"], at_least=one["at_least"])
        for one in found["results"]
    ]
    about = (import_module(f"scripts.bench.{name}").__doc__ or "").partition("\n")[0]
    return Section(
        name, about, found["seconds"], found["load"], found["options"], found["failure"], results, found["measured"]
    )


def write(docs: Path, sections: Sequence[Section]) -> None:
    """Write performance.md and its pictures into `docs`."""
    from scripts.bench import plots  # noqa: PLC0415 - matplotlib is needed for nothing else here

    images = docs / "images"
    images.mkdir(parents=True, exist_ok=True)
    plots.targets([(section.name, result) for section in sections for result in section.results], images)
    for section in sections:
        if section.name == "scale" and section.results:
            plots.scale(section.results, images)
    write_whole(docs / "performance.md", "\n".join(_page(sections)) + "\n")


def _page(sections: Sequence[Section]) -> Iterator[str]:
    results = [result for section in sections for result in section.results]
    with_target = [result for result in results if result.met is not None]
    missed = [result for result in with_target if not result.met]
    yield "# Performance"
    yield ""
    yield "Measured and written by `.venv/bin/python scripts/benchmark.py report`; nothing here is by hand."
    yield "What is compared is set up identically and takes turns, so that ratios hold on other machines, too."
    yield ""
    yield f"Of {len(with_target)} targets {len(with_target) - len(missed)} are met."
    yield f"All of it took {sum(section.seconds for section in sections) / 60:.0f} minutes."
    yield ""
    yield "![Each figure as a share of its limit](images/targets.png)"
    yield ""
    yield from _machine()
    for section in sections:
        yield ""
        yield f"## {' '.join((section.name, *section.options))}"
        yield ""
        yield section.about
        yield ""
        yield (
            f"`scripts/benchmark.py {' '.join((section.name, *section.options))}`, {section.seconds:,.0f} s on "
            f"{section.measured}; the machine's load average was {section.load:.1f} as it began."
        )
        yield ""
        if section.failure:
            yield f"Not measured: {section.failure}"
            continue
        if section.name == "scale":
            yield "![Build and look-ups by the number of films](images/scale.png)"
            yield ""
        yield from _figures(section)


def _figures(section: Section) -> Iterator[str]:
    """The figures of a section; what was measured at several sizes in a table of its own, a column for each size."""
    sizes = by_size(section.results) if section.name == "scale" else {}
    if sizes:
        films = sorted({size for found in sizes.values() for size in found})
        growth = {result.name: figure(result.value) for result in section.results}
        yield f"| films | {' | '.join(f'{size:,}' for size in films)} | grows as films to the power of | target | |"
        yield f"| --- | {'---: | ' * len(films)}---: | --- | --- |"
        for what, found in sizes.items():
            cells = [figure(found[size].value) if size in found else "" for size in films]
            largest = found[max(found)]
            yield (
                f"| {what}, {largest.unit} | {' | '.join(cells)} | {growth.get(GROWTH.format(what), '')} "
                f"| {largest.target} | {_VERDICTS[largest.met]} |"
            )
        yield ""
    in_sizes = {result.name for found in sizes.values() for result in found.values()}
    in_sizes |= {GROWTH.format(what) for what in sizes}
    yield "| figure | value | target | |"
    yield "| --- | ---: | --- | --- |"
    for result in section.results:
        if result.name not in in_sizes:
            value = f"{figure(result.value)} {result.unit}".strip()
            yield f"| {result.name} | {value} | {result.target} | {_VERDICTS[result.met]} |"


def _machine() -> Iterator[str]:
    yield "| machine | |"
    yield "| --- | --- |"
    yield f"| processor | {_processor()}, {os.cpu_count()} cores |"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    yield f"| memory | {memory:.0f} GB |"
    yield f"| system | {platform.system()} {platform.release()}, Python {platform.python_version()} |"
    yield f"| packages | {', '.join(_versions())} |"
    yield f"| written | {_today()} |"


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _versions() -> Iterator[str]:
    for name in _PACKAGES:
        try:
            yield f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            yield f"{name} (not there)"
