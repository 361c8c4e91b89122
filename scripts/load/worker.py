"""One process of users: threads that ask, each over a connection of its own, and report what came back, in batches.

Started by fleet.py as `python -m scripts.load.worker`. It is told its plan in one line of JSON, says that it is ready,
is told when to begin, and from then on writes a line of JSON several times a second. It stops when told to, and at once
when its input ends, so that none outlives the tester.
"""
from __future__ import annotations

import copy
import itertools
import math
import os
import random
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NamedTuple

import orjson
import requests

from scripts.load.limits import allow_files, connections_allowed, wake_in_time
from scripts.load.traffic import OWED, Asked, Traffic
from scripts.load.wire import Exchange, exchange, open_session, printable

FLUSH_SECONDS = 0.1
"""How often what came back is handed over."""
MOST_THREADS = 512
"""Of one process, and so the most requests that it can have under way."""
BACKLOG_SECONDS = 1.0
"""For how long after the end requests are still sent that were due before it."""
_FIRST_THREADS = 4
_LATE_SECONDS = 0.002
_TICK_SECONDS = 0.005
_COARSE_SECONDS = 0.02
_STILL_SECONDS = 0.2
_MANY = 10_000
NOT_STARTED = "not started"


@dataclass(frozen=True)
class Plan:
    """What one process has to do; all its numbers are its own share."""

    url: str
    headers: dict[str, str]
    traffic: Traffic
    run: str
    """Begins every request id."""
    process: int
    processes: int
    users: int
    """Users of all processes together."""
    think: tuple[float, float]
    rate: float | None
    """Requests a second of all processes together, in the open model."""
    ramp_up: float
    warm_up: float
    duration: float
    timeout: float
    seed: int
    ca_file: str

    @classmethod
    def from_json(cls, line: bytes) -> Plan:
        """What the tester wrote."""
        told = orjson.loads(line)
        traffic = told["traffic"]
        asked = {name: [Asked(**one) for one in those] for name, those in traffic["asked"].items()}
        return cls(**{**told, "traffic": Traffic(traffic["weights"], asked), "think": tuple(told["think"])})


class Result(NamedTuple):
    """What became of one request, as it is handed over."""

    endpoint: int
    status: int
    """0 where there was no answer."""
    kind: str
    """What was wrong, or nothing; NOT_STARTED where the request was never sent."""
    begun: float
    """Seconds after the start of what is measured; before it, while the service warms up."""
    latency: int
    """Microseconds; in the open model from the scheduled moment on. Without an answer, until it was given up."""
    size: int
    lag: int
    """Microseconds by which the tester itself was late, -1 where all of its threads waited for answers."""


class Schedule:
    """Which requests are due when in the open model: evenly spaced, whatever the service does, after a linear ramp.

    The n-th request of a process is the same in every run with the same seed, whoever comes to send it.
    """

    def __init__(self, plan: Plan, rate: float, begin: float) -> None:
        self._rate = rate
        self._ramp = plan.ramp_up
        self._step = plan.processes
        self._begin = begin
        self._end = begin + plan.warm_up + plan.duration
        self._lock = threading.Lock()
        self._next = plan.process
        self._draws = plan.traffic.draw(random.Random(f"{plan.seed} process {plan.process}"))

    def take(self) -> tuple[float, tuple[int, int]] | None:
        """The moment of the next request and what it asks, which nobody else will get; None after the last."""
        with self._lock:
            due = self._due(self._next)
            if due >= self._end:
                return None
            self._next += self._step
            return due, next(self._draws)

    def overdue(self, now: float) -> int:
        """How many requests should have been taken by now and were not."""
        until = min(now, self._end) - self._begin
        reached = self._rate * (until - self._ramp / 2 if until > self._ramp else until**2 / (2 * self._ramp or 1))
        return max(int((reached - self._next) / self._step), 0)

    def _due(self, number: int) -> float:
        in_ramp = self._rate * self._ramp / 2
        if number < in_ramp:
            return self._begin + math.sqrt(2 * number * self._ramp / self._rate)
        return self._begin + self._ramp + (number - in_ramp) / self._rate


class Users:
    """The threads of one process."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._endpoints = list(plan.traffic.weights)
        self._requests = [[_prepare(plan, name, one) for one in plan.traffic.asked[name]] for name in self._endpoints]
        self._numbers = itertools.count()
        self._threads: list[threading.Thread] = []
        self._most_threads = min(MOST_THREADS, connections_allowed())
        self._begin = self._measured_from = self._end = 0.0
        self._examples: dict[str, dict[str, str]] = {}
        self._new_examples: deque[dict[str, str]] = deque()
        self._under_way: dict[int, tuple[int, float]] = {}
        """By thread, the endpoint that it waits for, and since when."""
        self._looked = math.inf
        self._still: deque[tuple[float, float]] = deque(maxlen=16)
        self._longest_still = 0.0
        self._notes: deque[str] = deque()
        self.results: deque[Result] = deque()
        self.stop = threading.Event()

    def run(self, begin: float) -> Iterator[dict[str, Any]]:
        """Ask from the moment `begin` of time.monotonic() on; what there is to hand over, until all is over."""
        plan = self._plan
        self._begin, self._measured_from = begin, begin + plan.warm_up
        self._end = self._measured_from + plan.duration
        schedule = Schedule(plan, plan.rate, begin) if plan.rate is not None else None
        if schedule is None:
            numbers = range(plan.process, plan.users, plan.processes)
            all(self._start(self._closed, number) for number in numbers)
        else:
            for _ in range(_FIRST_THREADS):
                self._start(self._open, schedule)
        flushed, self._looked = 0.0, time.monotonic()
        while any(thread.is_alive() for thread in self._threads):
            self.stop.wait(_TICK_SECONDS) if not self.stop.is_set() else time.sleep(_TICK_SECONDS)
            now = self._look()
            if schedule is not None and not self.stop.is_set() and now < self._end + BACKLOG_SECONDS:
                self._grow(schedule, now)
            if now >= flushed + FLUSH_SECONDS:
                flushed = now
                yield self._handover()
            if now > self._end + BACKLOG_SECONDS + plan.timeout + 2:
                break  # what can still be under way has outlived every limit
        if schedule is not None and not self.stop.is_set():
            yield from self._unstarted(schedule)
        now = time.monotonic()
        for endpoint, since in list(self._under_way.values()):
            self._add(endpoint, begun=since, ended=now, kind="timeout")
        yield {**self._handover(), "done": True}

    def _start(self, what: Any, argument: Any) -> bool:
        """Start one more thread; False where the machine gives no more."""
        thread = threading.Thread(target=what, args=(argument,), daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            self._notes.append(f"No more than {len(self._threads)} requests could be under way at once: {error}.")
            return False
        self._threads.append(thread)
        return True

    def _grow(self, schedule: Schedule, now: float) -> None:
        """As many threads more as there are requests that wait for one."""
        wanted = min(schedule.overdue(now - _LATE_SECONDS), self._most_threads - len(self._threads))
        if not all(self._start(self._open, schedule) for _ in range(wanted)):
            self._most_threads = len(self._threads)

    def _look(self) -> float:
        """The time now; notes when this process has stood still since it last looked."""
        now = time.monotonic()
        if now - self._looked > _STILL_SECONDS:
            self._still.append((self._looked, now + _STILL_SECONDS))  # until it has caught up
            self._longest_still = max(self._longest_still, now - self._looked)
        self._looked = now
        return now

    def _stood_still_at(self, due: float) -> bool:
        """Whether this process stood still at a moment."""
        if due >= self._looked and time.monotonic() - self._looked > _STILL_SECONDS:
            return True
        return any(since <= due <= until for since, until in list(self._still))

    def _unstarted(self, schedule: Schedule) -> Iterator[dict[str, Any]]:
        """Hand over what was due and nobody has taken: how long it has waited is the least that it would have taken."""
        now = time.monotonic()
        for number, (due, (endpoint, _)) in enumerate(iter(schedule.take, None), start=1):
            self._add(endpoint, begun=due, ended=now, kind=NOT_STARTED)
            if number % _MANY == 0:
                yield self._handover()

    def _add(self, endpoint: int, *, begun: float, ended: float, kind: str) -> None:
        """Add the result of a request that came to nothing."""
        latency = round((ended - begun) * 1e6)
        lag = -1 if kind == NOT_STARTED else 0
        self.results.append(Result(endpoint, 0, kind, begun - self._measured_from, latency, 0, lag))
        if kind not in self._examples:
            said = "all of the tester's threads waited for answers until it was too late"
            said = said if kind == NOT_STARTED else "not ended long after its time was up"
            self._example({"kind": kind, "request": self._endpoints[endpoint], "detail": said, "request_id": ""})

    def _closed(self, number: int) -> None:
        """A user who asks, waits for the answer, thinks, and asks again."""
        plan = self._plan
        chance = random.Random(f"{plan.seed} user {number}")
        draws = plan.traffic.draw(chance)
        session = open_session(ca_file=plan.ca_file)
        self.stop.wait(self._begin + plan.ramp_up * number / plan.users - time.monotonic())
        while not self.stop.is_set() and time.monotonic() < self._end:
            self._ask(session, next(draws), None, 0)
            if plan.think[1]:
                self.stop.wait(min(chance.uniform(*plan.think), max(self._end - time.monotonic(), 0)))

    def _open(self, schedule: Schedule) -> None:
        """Takes the next request that is due, and sends it then, or at once if that moment has passed.

        What has waited longer than a whole answer may take is given up: who wanted it has gone.
        """
        session = open_session(ca_file=self._plan.ca_file)
        while not self.stop.is_set() and time.monotonic() < self._end + BACKLOG_SECONDS:
            taken = schedule.take()
            if taken is None:
                return
            due, drawn = taken
            early = due - time.monotonic()
            if -early > self._plan.timeout:
                self._add(drawn[0], begun=due, ended=due - early, kind=NOT_STARTED)
                continue
            if early > _COARSE_SECONDS:
                self.stop.wait(early - _COARSE_SECONDS)
                if self.stop.is_set():
                    return
            self._ask(session, drawn, due, early)

    def _ask(self, session: requests.Session, drawn: tuple[int, int], due: float | None, early: float) -> None:
        endpoint, number = drawn
        base = self._requests[endpoint][number]
        asked = self._plan.traffic.asked[self._endpoints[endpoint]][number]
        request_id = f"{self._plan.run}-{self._plan.process}-{next(self._numbers)}"
        prepared = copy.copy(base)
        prepared.headers = {**base.headers, "X-Request-ID": request_id}  # type: ignore[assignment]
        here = threading.get_ident()
        self._under_way[here] = endpoint, due or time.monotonic()
        became = exchange(session, prepared, timeout=self._plan.timeout, due=due or 0.0)
        del self._under_way[here]
        begun = became.begun if due is None else due
        kind = _fault(became, asked, OWED.get(self._endpoints[endpoint], ""))
        lag = 0
        if due is not None:
            lag = round((became.begun - due) * 1e6) if early > 0 or self._stood_still_at(due) else -1
        self.results.append(
            Result(
                endpoint, became.status, kind, begun - self._measured_from,
                round((became.ended - begun) * 1e6), len(became.body), lag,
            )
        )  # fmt: skip
        if kind and kind not in self._examples:
            self._example(
                {
                    "kind": kind, "request": f"{prepared.method} {asked.path}", "detail": printable(_detail(became)),
                    "request_id": printable((became.headers or {}).get("X-Request-ID", request_id)),
                }
            )  # fmt: skip

    def _example(self, example: dict[str, str]) -> None:
        self._examples[example["kind"]] = example
        self._new_examples.append(example)

    def _handover(self) -> dict[str, Any]:
        now = time.monotonic()
        under_way = list(self._under_way.values())
        still, self._longest_still = self._longest_still, 0.0
        return {
            "results": [tuple(self.results.popleft()) for _ in range(len(self.results))],
            "examples": [self._new_examples.popleft() for _ in range(len(self._new_examples))],
            "notes": [self._notes.popleft() for _ in range(len(self._notes))],
            "at": now - self._measured_from,
            "cpu": time.process_time(),
            "threads": len(self._threads),
            "waiting": sum(since < now for _, since in under_way),
            "oldest": max((now - since for _, since in under_way), default=0.0),
            "still": still,
        }


def _prepare(plan: Plan, name: str, asked: Asked) -> requests.PreparedRequest:
    headers = {**open_session().headers, **plan.headers}
    if asked.body is not None:
        headers["Content-Type"] = "application/json"
    method = name.split(maxsplit=1)[0]
    request = requests.Request(method, plan.url + asked.path, headers, data=asked.body).prepare()
    request.headers = dict(request.headers)  # type: ignore[assignment]  # cheaper to copy
    return request


def _fault(became: Exchange, asked: Asked, owed: str) -> str:
    """What is wrong with an answer, in few words, or nothing; `owed` is a name that a 200 has, empty for a list."""
    if became.error:
        return became.error
    if became.status != asked.status:
        return f"status {became.status}"
    try:
        said = orjson.loads(became.body)
    except ValueError:
        return "not JSON"
    if became.status != HTTPStatus.OK:
        return ""
    sound = owed in said if owed and isinstance(said, dict) else not owed and isinstance(said, list)
    return "" if sound else f"without {owed or 'a list'}"


def _detail(became: Exchange) -> str:
    """What an error says of itself."""
    if became.error:
        return became.detail
    try:
        return str(orjson.loads(became.body)["detail"])
    except (ValueError, TypeError, KeyError):
        return became.body[:400].decode(errors="replace")


def main() -> None:
    """Do as told on the standard input."""
    allow_files()
    wake_in_time()
    sys.setswitchinterval(0.0005)  # a thread whose answer is here waits no longer for the interpreter than it must
    told = sys.stdin.buffer
    users = Users(Plan.from_json(told.readline()))
    _say({"ready": True})
    begin = float(told.readline() or "nan")

    def listen() -> None:
        if told.readline() != b"stop\n":
            os._exit(1)  # nobody is left who could read what there is to say
        users.stop.set()
        if not told.readline():
            os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    for handover in users.run(begin):
        _say(handover)
    os._exit(0)  # a usual end would wait for the thread that listens


def _say(content: dict[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
