#!/usr/bin/env python3
"""Draw a dashboard to one PNG, from its JSON and a live Prometheus; no Grafana is needed.

Asks Prometheus what Grafana would ask and lays the answers out as Grafana does: the same grid, panels, units, colours,
thresholds and annotations. Good for a picture in a document or a message, and to look at a dashboard where no Grafana
runs.

  scripts/render_dashboard.py                                     the first dashboard, the last hour, to dashboard.png
  scripts/render_dashboard.py --range 15m --var environment=staging --var 'endpoint=/search'
  scripts/render_dashboard.py --rows 'API health,Latency' --width 1400 --theme light --output health.png

Exit status: 0 drawn; 1 not drawn for another reason; 2 wrong arguments; 3 Prometheus cannot be reached.
"""
from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

try:
    from scripts.dashboard_picture.canvas import THEMES
    from scripts.dashboard_picture.page import Look, draw, seconds
    from scripts.dashboard_picture.prometheus import Prometheus, Refused, Unreachable
except ImportError:
    sys.exit("error: run it as .venv/bin/python scripts/render_dashboard.py, after ./scripts/run_tests.sh made .venv.")

_FIRST = ROOT / "monitoring" / "grafana" / "dashboards" / "api.json"


def main(argv: Sequence[str] | None = None) -> int:
    """Draw the picture; returns the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        end = _moment(arguments.to)
        source = Prometheus(arguments.prometheus.rstrip("/"), end - seconds(arguments.range), end)
        dashboard = _read(arguments.dashboard)
        variables = _variables(dashboard, arguments.var)
        rows = [row.strip() for row in arguments.rows.split(",") if row.strip()]
        look = Look(arguments.width, THEMES[arguments.theme], arguments.scale)
        _check_folder(arguments.output)
        source.check()
        canvas = draw(dashboard, source, variables=variables, rows=rows, look=look, progress=_say)
        beside = arguments.output.with_name(f".{arguments.output.name}.part")
        canvas.save(beside)
        beside.replace(arguments.output)
    except Unreachable as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    except (ValueError, Refused, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"wrote {arguments.output}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--prometheus", default="http://localhost:9090", metavar="URL", help="default: %(default)s")
    add("--dashboard", type=Path, default=_FIRST, metavar="JSON", help="default: that of the API")
    add("--range", default="1h", metavar="DURATION", help="how much time to show, such as 15m or 7d")
    add("--to", default="now", metavar="TIME", help="its end: now, 2026-05-01T12:00, or seconds since 1970")
    add("--var", action="append", default=[], metavar="NAME=VALUE",
        help="a variable's value, as a regular expression; once for each; without it, All")  # fmt: skip
    add("--rows", default="", metavar="TITLES", help="only these rows, by their titles with commas between")
    add("--width", type=_width, default=1600, metavar="PIXELS", help="default: %(default)s")
    add("--scale", type=_scale, default=1.0, metavar="FACTOR", help="2 for twice as many, finer pixels")
    add("--theme", choices=sorted(THEMES), default="dark", help="default: %(default)s")
    add("--output", type=Path, default=Path("dashboard.png"), metavar="PNG", help="default: %(default)s")
    return parser


def _width(text: str) -> int:
    if not text.isdecimal() or not 600 <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no width from 600 to 10000 pixels")
    return int(text)


def _scale(text: str) -> float:
    if not text.replace(".", "", 1).isdecimal() or not 0.25 <= float(text) <= 4:
        raise argparse.ArgumentTypeError(f"{text!r} is no factor from 0.25 to 4")
    return float(text)


def _moment(text: str) -> float:
    if text == "now":
        return time.time()
    try:
        return float(text) if text.replace(".", "", 1).isdecimal() else datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise ValueError(f"--to {text!r} is no time; write now, 2026-05-01T12:00 or seconds since 1970.") from None


def _check_folder(output: Path) -> None:
    if not output.parent.is_dir():
        raise ValueError(f"the folder of --output {output} does not exist; make it first.")


def _read(path: Path) -> dict[str, Any]:
    try:
        dashboard = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        why = error.strerror
        raise ValueError(f"{path} cannot be read ({why}); give a dashboard's JSON with --dashboard.") from error
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); scripts/build_dashboards.py writes dashboards.") from error
    if not isinstance(dashboard, dict) or not dashboard.get("panels"):
        raise ValueError(f"{path} is JSON but no dashboard with panels; scripts/build_dashboards.py writes dashboards.")
    return dashboard


def _variables(dashboard: dict[str, Any], given: Sequence[str]) -> dict[str, str]:
    """Values by name, as they go into expressions: what is given, else what the dashboard starts with."""
    known = {each["name"]: each.get("allValue") or each["current"]["value"] for each in dashboard["templating"]["list"]
             if each["type"] != "datasource"}  # fmt: skip
    for choice in given:
        name, equals, value = choice.partition("=")
        if not equals or name not in known:
            raise ValueError(f"--var {choice!r} is not NAME=VALUE of a variable of this dashboard: {', '.join(known)}.")
        known[name] = value
    return known


def _say(progress: str) -> None:
    print(progress, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
