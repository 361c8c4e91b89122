#!/usr/bin/env python3
"""Measure the service beside a reference, in one run: what is compared takes turns, and the ratio is what counts."""
from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

try:
    from scripts.bench.models import real_model
    from scripts.bench.results import table, write
except ImportError:
    sys.exit("error: run it as .venv/bin/python scripts/benchmark.py; ./scripts/start_api.sh makes .venv.")

BENCHMARKS = (
    "http", "kernel", "load", "memory", "questions", "report", "request", "scale", "scrape", "start", "titles",
)  # fmt: skip
"""The sub-commands, each a module of scripts/bench."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one benchmark; returns 0 if every target is met, 1 if one is missed, 2 if it could not be measured."""
    arguments = _parse(argv)
    if arguments.model is None:
        arguments.model = real_model()
    elif not arguments.model.exists():
        print(f"error: there is no model at {arguments.model}; scripts/build_model.py builds one.", file=sys.stderr)
        return 2
    results = import_module(f"scripts.bench.{arguments.benchmark}").run(arguments)
    print("\n".join(table(results)))
    if arguments.json:
        write(arguments.json, arguments.benchmark, results)
    return int(any(result.met is False for result in results))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    benchmarks = parser.add_subparsers(dest="benchmark", required=True)
    for name in BENCHMARKS:
        module = import_module(f"scripts.bench.{name}")
        help_text = (module.__doc__ or "").partition("\n")[0]
        one = benchmarks.add_parser(name, help=help_text, description=help_text)
        one.add_argument("--model", type=Path, help="default: one of 36,273 real films, made and kept in build/bench")
        one.add_argument("--quick", action="store_true", help="less exact, in a fraction of the time")
        one.add_argument("--json", type=Path, metavar="FILE", help="write the results there, too")
        module.add_options(one)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
