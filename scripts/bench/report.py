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
from scripts.bench.results import Result, figure
from scripts.files import write_whole
from scripts.running_service import ROOT

_ORDER = ("http", "request", "questions", "memory", "start", "scrape", "load", "scale", "kernel", "titles")
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


def add_options(parser: argparse.ArgumentParser) -> None:
    """Its own options."""
    parser.add_argument("--only", nargs="+", metavar="NAME", help="measure these; of the others tell what is there")
    parser.add_argument("--most", type=int, metavar="FILMS", help="no larger catalogue in scale (default: 1,000,000)")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="where performance.md goes (default: docs)")


def run(arguments: argparse.Namespace) -> list[Result]:
    """Measure one after the other, write the page and its pictures, and return every figure."""
    names = [name for name in _ORDER if (Path(__file__).parent / f"{name}.py").exists()]
    for name in arguments.only or names:
        more = ["--most", str(arguments.most)] if arguments.most and name == "scale" else []
        _measure(name, [*(["--quick"] if arguments.quick else []), *more])
    sections = [section for name in names if (section := _read(name)) is not None]
    write(arguments.docs, sections)
    return [result for section in sections for result in section.results]


def _measure(name: str, options: Sequence[str]) -> None:
    """Run a sub-command in a process of its own, and keep what it found."""
    _RESULTS.mkdir(parents=True, exist_ok=True)
    out = _RESULTS / f"{name}.json"
    print(f"== {name} ==", file=sys.stderr, flush=True)
    begun, load = time.perf_counter(), os.getloadavg()[0]
    command = [sys.executable, str(ROOT / "scripts" / "benchmark.py"), name, *options, "--json", str(out)]
    out.unlink(missing_ok=True)
    done = subprocess.run(  # noqa: S603 - our own command
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False
    )
    found: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {"benchmark": name, "results": []}
    said = done.stderr.strip().splitlines()
    found["failure"] = "" if found["results"] else (said[-1] if said else f"status {done.returncode}")
    found |= {"seconds": time.perf_counter() - begun, "load": load, "options": list(options)}
    write_whole(out, json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def _read(name: str) -> Section | None:
    path = _RESULTS / f"{name}.json"
    if not path.exists():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    results = [
        Result(one["name"], one["value"], one["unit"], at_most=one["at_most"], at_least=one["at_least"])
        for one in found["results"]
    ]
    about = (import_module(f"scripts.bench.{name}").__doc__ or "").partition("\n")[0]
    return Section(name, about, found["seconds"], found["load"], found["options"], found["failure"], results)


def write(docs: Path, sections: Sequence[Section]) -> None:
    """Write performance.md and its pictures into `docs`."""
    from scripts.bench import plots  # noqa: PLC0415 - matplotlib is needed for nothing else here

    images = docs / "images"
    images.mkdir(parents=True, exist_ok=True)
    plots.targets([(section.name, result) for section in sections for result in section.results], images)
    of_scale = next((section.results for section in sections if section.name == "scale"), [])
    if of_scale:
        plots.scale(of_scale, images)
    lines = "\n".join(_page(sections, has_scale=bool(of_scale)))
    write_whole(docs / "performance.md", lines + "\n")


def _page(sections: Sequence[Section], *, has_scale: bool) -> Iterator[str]:
    results = [result for section in sections for result in section.results]
    with_target = [result for result in results if result.met is not None]
    missed = [result for result in with_target if not result.met]
    yield "# Performance"
    yield ""
    yield "Measured and written by `.venv/bin/python scripts/benchmark.py report`; nothing here is by hand."
    yield "What is compared is set up identically and takes turns, so that ratios hold on other machines, too."
    yield ""
    yield f"Of {len(with_target)} targets {len(with_target) - len(missed)} are met."
    yield ""
    yield "![Each figure as a share of its limit](images/targets.png)"
    yield ""
    yield from _machine()
    for section in sections:
        yield ""
        yield f"## {section.name}"
        yield ""
        yield section.about
        yield ""
        yield (
            f"`scripts/benchmark.py {' '.join((section.name, *section.options))}`, {section.seconds:,.0f} s; "
            f"the machine's load average was {section.load:.1f} as it began."
        )
        yield ""
        if section.failure:
            yield f"Not measured: {section.failure}"
            continue
        if section.name == "scale" and has_scale:
            yield "![Build and look-ups by the number of films](images/scale.png)"
            yield ""
        yield "| figure | value | target | |"
        yield "| --- | ---: | --- | --- |"
        for result in section.results:
            yield (
                f"| {result.name} | {figure(result.value)} {result.unit} | {result.target} "
                f"| {_VERDICTS[result.met]} |"
            )


def _machine() -> Iterator[str]:
    yield "| machine | |"
    yield "| --- | --- |"
    yield f"| processor | {_processor()}, {os.cpu_count()} cores |"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    yield f"| memory | {memory:.0f} GB |"
    yield f"| system | {platform.system()} {platform.release()}, Python {platform.python_version()} |"
    yield f"| packages | {', '.join(_versions())} |"
    yield f"| written | {datetime.now(UTC).date().isoformat()} |"


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
