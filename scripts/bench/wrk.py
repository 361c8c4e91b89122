"""Load by wrk, which takes next to nothing of the processors that it shares with what it measures."""
from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from scripts.running_service import HOST

CONNECTIONS = 8
_LATENCY = re.compile(r"^\s+(?P<percentile>50|99)%\s+(?P<number>[\d.]+)(?P<unit>us|ms|s)$", re.MULTILINE)
_REQUESTS = re.compile(r"^Requests/sec:\s+(?P<number>[\d.]+)$", re.MULTILINE)
_COUNT = re.compile(r"^\s+(?P<number>\d+) requests in ", re.MULTILINE)
_ERRORS = re.compile(r"^\s+Non-2xx or 3xx responses: (?P<number>\d+)$", re.MULTILINE)
_BROKEN = re.compile(r"^\s+Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)$", re.MULTILINE)
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
_SCRIPT = """
local paths, place = {}, 0
for path in io.lines(%r) do paths[#paths + 1] = wrk.format("GET", path) end
request = function()
  place = place %% #paths + 1
  return paths[place]
end
"""


class Load(NamedTuple):
    """What one run of wrk measured."""

    per_second: float
    p50_ms: float
    p99_ms: float
    requests: int
    failed: int
    """Connections that broke, requests that timed out, and answers that were errors."""


def script(path: Path, paths: Sequence[str]) -> Path:
    """A script at `path` that has wrk ask for each of `paths` in turn, over and over."""
    listed = path.with_suffix(".paths")
    listed.write_text("\n".join(paths) + "\n", encoding="utf-8")
    path.write_text(_SCRIPT.replace("%r", f'"{listed}"').replace("%%", "%"), encoding="utf-8")
    return path


def wrk(
    port: int, asked: Path, *options: object, seconds: int, connections: int = CONNECTIONS, may_fail: bool = False
) -> Load:
    """Ask the server at `port` what the script `asked` says, which is given the `options`.

    SystemExit where wrk is missing or a request failed; with `may_fail` failures are only counted.
    """
    program = shutil.which("wrk")
    if program is None:
        raise SystemExit("error: wrk is needed and was not found; install it (Debian: apt install wrk).")
    command = [
        program, "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s", "--latency",
        "--script", str(asked), f"http://{HOST}:{port}", "--", *map(str, options),
    ]  # fmt: skip
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603 - wrk itself
    rate, requests = _REQUESTS.search(told), _COUNT.search(told)
    latency = {
        found["percentile"]: float(found["number"]) * _MILLISECONDS[found["unit"]] for found in _LATENCY.finditer(told)
    }
    if rate is None or len(latency) < 2 or requests is None:
        raise SystemExit(f"error: wrk could not measure what it should:\n{told}")
    failed = sum(int(found["number"]) for found in _ERRORS.finditer(told))
    failed += sum(int(number) for found in _BROKEN.finditer(told) for number in found.groups())
    if failed and not may_fail:
        raise SystemExit(f"error: {failed:,} requests failed:\n{told}")
    return Load(float(rate["number"]), latency["50"], latency["99"], int(requests["number"]), failed)
