#!/usr/bin/env python3
"""Put load on the service and tell the truth about its latency; --help says how."""
from __future__ import annotations

import json
import signal
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

_STATUS: dict[type[BaseException], int] = {
    FleetError: 1, files.Unwritable: 2, Unreachable: 3, KeyboardInterrupt: 128 + signal.SIGINT,
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run, report, and return the exit status."""
    arguments = options.parse(argv)
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell in the background would have SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    try:
        report = run(arguments)
    except tuple(_STATUS) as error:
        return _failed(_STATUS[type(error)], str(error) or "interrupted before anything was measured.")
    screen.print_report(report)
    unwritten = report.pop("unwritten", [])
    made = {arguments.json: lambda: json.dumps(report, indent=1, allow_nan=False) + "\n"}
    made[arguments.html] = lambda: make_page(report)
    for path, text in made.items():
        try:
            if path:
                files.write(path, text())
        except files.Unwritable as error:
            unwritten.append(str(error))
    if unwritten:
        return _failed(2, *unwritten)
    if "unverified" in report or "gone" in report:
        return 3
    return 1 if failures(report) else 0


def _failed(status: int, *sentences: str) -> int:
    for sentence in sentences:
        print(f"error: {sentence}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
