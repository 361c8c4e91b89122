#!/usr/bin/env python3
"""Write the JSON of the Grafana dashboards from their source, monitoring/dashboards."""
from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

try:
    with warnings.catch_warnings():
        # The library prefers Grafana's second schema of dashboards; the first is what any Grafana reads from a folder.
        warnings.simplefilter("ignore", DeprecationWarning)
        from grafana_foundation_sdk.cog.encoder import JSONEncoder

        from monitoring.dashboards import api, usage, workers
except ImportError:
    sys.exit("error: run it as .venv/bin/python scripts/build_dashboards.py, after ./scripts/run_tests.sh made .venv.")

FOLDER = ROOT / "monitoring" / "grafana" / "dashboards"


def pages() -> dict[Path, str]:
    """The files that belong into the folder, with their text."""
    built = {"api": api.build(), "usage": usage.build(), "workers": workers.build()}
    return {FOLDER / f"{name}.json": _text(dashboard) for name, dashboard in built.items()}


def main(argv: Sequence[str] | None = None) -> int:
    """Write the files, or with --check say which are not up to date; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a file is not up to date")
    arguments = parser.parse_args(argv)
    wanted = pages()
    if arguments.check:
        stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text("utf-8") != text]
        strays = sorted(set(FOLDER.glob("*.json")) - wanted.keys())
        for path in stale:
            print(f"error: {path} is not up to date; run scripts/build_dashboards.py.", file=sys.stderr)
        for path in strays:
            print(f"error: {path} has no source in monitoring/dashboards; delete it.", file=sys.stderr)
        return 1 if stale or strays else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path}")
    return 0


def _text(dashboard: object) -> str:
    return json.dumps(dashboard, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())
