#!/usr/bin/env python3
"""Put load on the service and tell the truth about its latency; --help says how."""
from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

try:
    import hdrh  # noqa: F401 - a package that nothing else needs
    import requests  # noqa: F401
except ImportError:
    sys.exit("error: run it as .venv/bin/python scripts/load_test.py; ./scripts/start_api.sh makes .venv.")

from scripts.load import files, options, screen
from scripts.load.fleet import FleetError
from scripts.load.page import make_page
from scripts.load.run import failures, run
from scripts.load.target import Unreachable


def main(argv: Sequence[str] | None = None) -> int:
    """Run, report, and return the exit status."""
    arguments = options.parse(argv)
    try:
        report = run(arguments)
    except Unreachable as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    except FleetError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    screen.print_report(report)
    try:
        if arguments.json:
            files.write(arguments.json, json.dumps(report, indent=1, allow_nan=False) + "\n")
        if arguments.html:
            files.write(arguments.html, make_page(report))
    except OSError as error:
        print(f"error: {error.filename} cannot be written: {error.strerror}.", file=sys.stderr)
        return 2
    if "unverified" in report:
        return 3
    return 1 if failures(report) else 0


if __name__ == "__main__":
    sys.exit(main())
