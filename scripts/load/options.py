"""What a person can ask of the load tester, checked before anything is sent."""
from __future__ import annotations

import argparse
import math
import os
import re
import ssl
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from scripts.load.conditions import Condition, parse_condition
from scripts.load.limits import connections_allowed
from scripts.load.report import load_earlier
from scripts.load.traffic import PARTS

DEFAULT_MIX = "recommendations=60,search=25,movies=10,health=5"
_STEP_SECONDS = 10.0
_RUN_SECONDS = 60.0
_FIRST_RATE = 50.0
_USERS = 5
_THINK = (0.1, 1.0)
_MOST_USERS = 5000
_LONGEST_TIMEOUT = 600
_EPILOG = f"""
examples:
  load_test.py                                              5 people for a minute
  load_test.py --users 50 --think-time 0 --processes 2      as fast as 50 connections can
  load_test.py --rate 200 --duration 30 --html report.html  200 requests a second, whatever the service does
  load_test.py --rate 200 --fail-on 'p95>100ms' --fail-on 'errors>0.1%' --fail-on 'search.p99>300ms'
  load_test.py --rate 200 --json before.json                and after the change:
  load_test.py --rate 200 --compare before.json --fail-on 'p95>+20%'
  load_test.py --find-capacity --slo 'p99<300ms,errors<0.1%' --html capacity.html
  load_test.py --verify-metrics                             does the service count what it answers?

closed and open:
  Without --rate the model is closed: each user waits for an answer, thinks, and asks again. It shows what so many
  people get. A service that stalls is then asked less, and most of the stall does not show in the percentiles.
  With --rate the model is open: requests are due at a steady rate whatever the service does, and latency counts from
  the moment when a request was due. It shows what people get who keep coming.

parts of a mix, and what they ask:
{chr(10).join(f"  {part:<16}{', '.join(endpoints)}" for part, endpoints in PARTS.items())}

exit status:
  0  it was measured, and no --fail-on is so; errors alone fail no run, --fail-on 'errors>0.1%' does
  1  a --fail-on is so, --verify-metrics found a difference, no rate held the --slo,
     or a process of users was killed, which ends the run with a report of what was measured
  2  wrong usage, or a file that cannot be written
  3  the service cannot be reached (any more), is not healthy, or is not this service
  130  interrupted before anything was measured, or twice; once ends the run with a report of what was measured
"""


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments, checked; ends the process with status 2 and a sentence where they cannot be used."""
    parser = argparse.ArgumentParser(
        prog="load_test.py", formatter_class=argparse.RawDescriptionHelpFormatter, epilog=_EPILOG, allow_abbrev=False,
        description="Put load on the movie recommendation service, and tell the truth about its latency.",
    )  # fmt: skip
    load = parser.add_argument_group("the load")
    load.add_argument(
        "--url", type=_url, default="http://localhost:8000", help="the service (default: http://localhost:8000)"
    )
    load.add_argument(
        "--duration", type=_number(0.1, 86400 * 7), metavar="S",
        help=f"seconds to measure (default: {_RUN_SECONDS:.0f}), with --find-capacity each step ({_STEP_SECONDS:.0f})",
    )  # fmt: skip
    load.add_argument(
        "--users", type=_whole(1, _MOST_USERS), help=f"users of the closed model (default: {_USERS})"
    )
    load.add_argument(
        "--think-time", type=_range, metavar="S[-S]",
        help="a user's seconds between an answer and the next request (default: 0.1-1; 0: as fast as possible)",
    )  # fmt: skip
    load.add_argument(
        "--rate", type=_number(0.01, 100_000), metavar="N",
        help=f"open model: requests a second; with --find-capacity the first rate (default: {_FIRST_RATE:.0f})",
    )  # fmt: skip
    load.add_argument(
        "--ramp-up", type=_number(0, 3600), default=0.0, metavar="S",
        help="seconds in which users, or the rate, grow to the full number, from the start of the warm-up (default: 0)",
    )  # fmt: skip
    load.add_argument(
        "--warm-up", type=_number(0, 3600), default=2.0, metavar="S",
        help="seconds before the measurement, left out of all figures but those of --verify-metrics (default: 2)",
    )  # fmt: skip
    load.add_argument(
        "--timeout", type=_number(0.01, _LONGEST_TIMEOUT), default=10.0, metavar="S",
        help="seconds for a whole answer (default: 10)",
    )  # fmt: skip
    load.add_argument(
        "--processes", type=_whole(1, 64), default=1, metavar="N",
        help="interpreters to ask from; one makes one or two thousand requests a second (default: 1)",
    )  # fmt: skip
    load.add_argument(
        "--api-key", type=_header, metavar="KEY", default=os.environ.get("LOAD_TEST_API_KEY"),
        help="sent as X-API-Key, and never written down; the environment's LOAD_TEST_API_KEY is not seen by others",
    )  # fmt: skip
    load.add_argument(
        "--ca-file", type=_certificates, metavar="FILE", default="",
        help="certificates of the authorities to trust, in PEM, where the service's are not those that everybody does",
    )  # fmt: skip
    asked = parser.add_argument_group("what is asked")
    asked.add_argument(
        "--mix", type=_mix, default=_mix(DEFAULT_MIX), metavar="PART=SHARE,...", help=f"default: {DEFAULT_MIX}"
    )
    asked.add_argument(
        "--catalog-skew", type=_number(0, 10), default=1.0, metavar="S",
        help="Zipf's exponent: the n-th most popular movie is asked for 1/n^S as often; 0: all alike (default: 1)",
    )  # fmt: skip
    asked.add_argument("--seed", type=_whole(0, 2**31), default=1, help="the same seed asks the same (default: 1)")
    result = parser.add_argument_group("the report")
    result.add_argument("--json", type=_file, metavar="FILE", help="the whole report, for --compare and for machines")
    result.add_argument("--csv", type=_file, metavar="FILE", help="a line for each second")
    result.add_argument("--html", type=_file, metavar="FILE", help="one page with plots, which loads nothing else")
    result.add_argument(
        "--fail-on", action="append", default=[], metavar="CONDITION",
        help="exit with 1 if it is so: p95>100ms, errors>0.1%%, search.p99>300ms, throughput<200; may be repeated",
    )  # fmt: skip
    result.add_argument("--compare", type=_earlier, metavar="FILE", help="beside an earlier --json, change in percent")
    result.add_argument(
        "--verify-metrics", action="store_true",
        help="compare what was answered, and how fast, with what the service's /metrics says of it",
    )  # fmt: skip
    result.add_argument("--find-capacity", action="store_true", help="find the highest rate at which --slo is held")
    result.add_argument(
        "--slo", metavar="CONDITIONS", help="objective of --find-capacity (default: p99<300ms,errors<0.1%%)"
    )
    return _checked(parser, parser.parse_args(argv))


def _checked(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> argparse.Namespace:
    try:
        arguments.fail_on = [parse_condition(text, arguments.mix) for text in arguments.fail_on]
        slo = "p99<300ms,errors<0.1%" if arguments.slo is None else arguments.slo
        objective = [parse_condition(text, arguments.mix) for text in slo.split(",")]
    except ValueError as error:
        parser.error(str(error))
    _check_conditions(parser, arguments, objective)
    if arguments.csv and arguments.find_capacity:
        parser.error("--csv has the seconds of one run, and --find-capacity makes many; --json has its curve")
    if arguments.slo is not None and not arguments.find_capacity:
        parser.error("--slo is the objective of --find-capacity; with a single run use --fail-on")
    named = [f"--{kind}" for kind in ("json", "csv", "html") if getattr(arguments, kind)]
    if len({getattr(arguments, kind[2:]).resolve() for kind in named}) < len(named):
        parser.error(f"two of {', '.join(named)} name the same file; each needs its own")
    if arguments.find_capacity:
        arguments.objective, arguments.slo = objective, slo
        arguments.rate = arguments.rate or _FIRST_RATE
    arguments.duration = arguments.duration or (_STEP_SECONDS if arguments.find_capacity else _RUN_SECONDS)
    if arguments.ramp_up > arguments.warm_up + arguments.duration:
        parser.error(f"--ramp-up {arguments.ramp_up:g} is longer than the run; shorten it, or lengthen --duration")
    arguments.notes = list(_settle_users(arguments))
    each = -(-arguments.users // arguments.processes) if arguments.rate is None else 1
    if each > connections_allowed():
        parser.error(
            f"--users {arguments.users} need {each:,} connections in a process, and {connections_allowed():,} are "
            "allowed here; raise ulimit -n, or take more --processes"
        )
    return arguments


def _check_conditions(
    parser: argparse.ArgumentParser, arguments: argparse.Namespace, objective: list[Condition]
) -> None:
    for condition in arguments.fail_on:
        if condition.relative and arguments.compare is None:
            parser.error(f"'{condition.text}' compares with an earlier run; name its file with --compare")
        if condition.relative and condition.part and condition.part not in arguments.compare["parts"]:
            parser.error(f"'{condition.text}' names {condition.part}, which the run of --compare did not ask for")
    for condition in objective:
        if condition.relative:
            parser.error(f"--slo '{condition.text}' is a change in percent; an objective is fixed, such as p99<300ms")


def _settle_users(arguments: argparse.Namespace) -> Iterator[str]:
    """Fill in what was left out of the closed model; yields a sentence on each thing said that has no effect."""
    if arguments.rate is not None:
        said = [name for name in ("users", "think_time") if getattr(arguments, name) is not None]
        if said:
            names = " and ".join(f"--{name.replace('_', '-')}" for name in said)
            yield f"{names} had no effect: there are no users in the open model, which --rate asks for."
    arguments.users = arguments.users or _USERS
    arguments.think_time = _THINK if arguments.think_time is None else arguments.think_time
    if arguments.rate is None and arguments.processes > arguments.users:
        yield f"Only {arguments.users} of {arguments.processes} processes were started: each needs a user."
        arguments.processes = arguments.users


def _number(least: float, most: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"'{text}' is not a number from {least:g} to {most:g}")
        return value

    return number


def _whole(least: int, most: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        if not re.fullmatch(r"\d{1,12}", text) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from {least:,} to {most:,}")
        return int(text)

    return whole


def _range(text: str) -> tuple[float, float]:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(?:-(\d+(?:\.\d+)?))?", text)
    low, high = (float(found[1]), float(found[2] or found[1])) if found else (1.0, 0.0)
    if low > high:
        raise argparse.ArgumentTypeError(f"'{text}' is no time to think; write seconds or a range: 0, 0.5, 0.1-1")
    return low, high


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        sound = parts.scheme in {"http", "https"} and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        sound = False
    if not sound or re.search(r"[?#]", text) or "@" in parts.netloc or re.search(r"\s", text):
        raise argparse.ArgumentTypeError(f"'{text}' is no address of a service; write one like http://localhost:8000")
    return text.rstrip("/")


def _mix(text: str) -> dict[str, float]:
    mix: dict[str, float] = {}
    for one in text.split(","):
        part, _, share = one.strip().partition("=")
        if part not in PARTS:
            raise argparse.ArgumentTypeError(f"'{one}' names no part; take {', '.join(PARTS)}, each with =SHARE")
        if part in mix:
            raise argparse.ArgumentTypeError(f"'{text}' names {part} twice")
        if not re.fullmatch(r"\d+(\.\d+)?", share):
            raise argparse.ArgumentTypeError(f"'{one}' has no share; write for example {part}=60")
        if float(share):
            mix[part] = float(share)
    if not mix:
        raise argparse.ArgumentTypeError(f"'{text}' asks for nothing; give some part a share above 0")
    return mix


def _header(text: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise argparse.ArgumentTypeError("the key cannot be sent in a header; it has blanks, or letters beyond ASCII")
    return text


def _certificates(text: str) -> str:
    try:
        ssl.create_default_context(cafile=text)
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{text} holds no certificates that can be read: {error}") from None
    return text


def _file(text: str) -> Path:
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a folder; name a file in it")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text} cannot be written: there is no folder {path.parent}; make it first")
    if not os.access(path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text} cannot be written: {path.parent} is not yours to write in")
    return path


def _earlier(text: str) -> dict[str, Any]:
    try:
        return load_earlier(Path(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
