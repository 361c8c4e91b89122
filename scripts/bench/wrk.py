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
_LATENCY = re.compile(r"^\s+99%\s+(?P<number>[\d.]+)(?P<unit>us|ms|s)$", re.MULTILINE)
_REQUESTS = re.compile(r"^Requests/sec:\s+(?P<number>[\d.]+)$", re.MULTILINE)
_BAD = re.compile(r"^\s+(?:Non-2xx or 3xx responses|Socket errors): .*$", re.MULTILINE)
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
    p99_ms: float


def script(path: Path, paths: Sequence[str]) -> Path:
    """A script at `path` that has wrk ask for each of `paths` in turn, over and over."""
    listed = path.with_suffix(".paths")
    listed.write_text("\n".join(paths) + "\n", encoding="utf-8")
    path.write_text(_SCRIPT.replace("%r", f'"{listed}"').replace("%%", "%"), encoding="utf-8")
    return path


def wrk(port: int, asked: Path, *, seconds: int) -> Load:
    """Ask the server at `port` what the script `asked` says; SystemExit where an answer is none, or wrk is missing."""
    program = shutil.which("wrk")
    if program is None:
        raise SystemExit("error: wrk is needed and was not found; install it (Debian: apt install wrk).")
    command = [
        program, "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{seconds}s", "--latency",
        "--script", str(asked), f"http://{HOST}:{port}",
    ]  # fmt: skip
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603 - wrk itself
    rate, latency, bad = _REQUESTS.search(told), _LATENCY.search(told), _BAD.search(told)
    if rate is None or latency is None or bad is not None:
        raise SystemExit(f"error: wrk could not measure what it should:\n{told}")
    return Load(float(rate["number"]), float(latency["number"]) * _MILLISECONDS[latency["unit"]])
