"""The one owner of the statistics: every result ends here, in counts and histograms whose size does not grow."""
from __future__ import annotations

import math
import sys
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from hdrh.histogram import HdrHistogram  # ships no types

from scripts.load.worker import NOT_STARTED, Result

PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)
_LONGEST_MICROSECONDS = 3_600_000_000
_DIGITS = 3
_MOST_PERIODS = 240
_OPEN_SECONDS = 3
_RECENT_SECONDS = 5


class Latencies:
    """An HDR histogram of microseconds, to three digits, with the exact least, greatest and mean beside it."""

    def __init__(self, encoded: bytes | None = None) -> None:
        self._histogram = HdrHistogram(1, _LONGEST_MICROSECONDS, _DIGITS)
        self.count = self.total = self.greatest = 0
        self.least = sys.maxsize
        if encoded is not None:
            decoded = HdrHistogram.decode(encoded)
            self._histogram.add(decoded)
            self.count = decoded.get_total_count()
            decoded.encoder = None

    def __del__(self) -> None:
        self._histogram.encoder = None  # they hold each other: 200 KB would wait for the collector of cycles

    def record(self, microseconds: int) -> None:
        """Count one."""
        microseconds = min(max(microseconds, 1), _LONGEST_MICROSECONDS)
        self._histogram.record_value(microseconds)
        self.count += 1
        self.total += microseconds
        self.least = min(self.least, microseconds)
        self.greatest = max(self.greatest, microseconds)

    def add(self, other: Latencies) -> None:
        """Count all of another."""
        self._histogram.add(other._histogram)
        self.count += other.count
        self.total += other.total
        self.least = min(self.least, other.least)
        self.greatest = max(self.greatest, other.greatest)

    def percentiles(self, wanted: Iterable[float]) -> list[float | None]:
        """Milliseconds that so many in a hundred do not exceed; None where nothing was counted."""
        if not self.count:
            return [None for _ in wanted]
        shares = [100.0 * self._rank(one) / self.count for one in wanted]  # which the library rounds to that very rank
        found = self._histogram.get_percentile_to_value_dict(sorted(shares))
        return [min(found[share], self.greatest or found[share]) / 1000 for share in shares]

    def _rank(self, percentile: float) -> int:
        """The least rank that so many in a hundred do not exceed (the nearest-rank method)."""
        return max(math.ceil(round(percentile * self.count / 100, 6)), 1)

    def encode(self) -> bytes:
        """The histogram in the compressed form (V2) that all HDR tools read."""
        return bytes(self._histogram.encode())


@dataclass
class Period:
    """What came back, or failed, in one second or a few."""

    begin: int
    seconds: int = 1
    requests: int = 0
    errors: int = 0
    size: int = 0
    latencies: Latencies = field(default_factory=Latencies)

    def add(self, other: Period) -> None:
        """Count all of another."""
        self.requests += other.requests
        self.errors += other.errors
        self.size += other.size
        self.latencies.add(other.latencies)

    def quantiles(self) -> list[float | None]:
        """P50, P95 and P99 in milliseconds."""
        return self.latencies.percentiles((50.0, 95.0, 99.0))


class Timeline:
    """The course of a run in at most 240 periods: when there are more, each two are put together."""

    def __init__(self) -> None:
        self._width = 1
        self._closed: list[tuple[Period, bytes]] = []
        """Periods and their histograms, which take a hundredth of the room when they are encoded."""
        self._last = Period(0)

    def append(self, second: Period) -> None:
        """Add the next second."""
        self._put(second)
        if len(self._closed) >= _MOST_PERIODS:
            self._width *= 2
            narrow, self._closed, self._last = self.periods(), [], Period(0, self._width)
            for period in narrow:
                self._put(period)

    def periods(self) -> Iterator[Period]:
        """All of them, in order."""
        return chain((replace(one, latencies=Latencies(encoded)) for one, encoded in self._closed), [self._last])

    def _put(self, added: Period) -> None:
        begin = added.begin // self._width * self._width
        if begin != self._last.begin:
            self._closed.append((replace(self._last, latencies=_NONE), self._last.latencies.encode()))
            self._last = Period(begin, self._width)
        self._last.add(added)


_NONE = Latencies()


@dataclass
class Busy:
    """How busy one process of the tester was in the time that is measured."""

    cpu_seconds: float = 0.0
    seconds: float = 0.0
    threads: int = 0
    still: float = 0.0
    """The longest time for which it stood still, in seconds."""
    waiting: int = 0
    """Requests under way when it last told."""
    oldest: float = 0.0
    """Seconds since the first of them was due or begun."""
    first: tuple[float, float] | None = None

    def note(self, handover: dict[str, Any]) -> None:
        """What it said of itself; `at` is in seconds after the start of what is measured."""
        at, cpu = handover["at"], handover["cpu"]
        self.threads = max(self.threads, handover["threads"])
        self.waiting, self.oldest = handover["waiting"], handover["oldest"]
        if at < 0:
            return
        self.still = max(self.still, handover["still"])
        self.first = self.first or (at, cpu)
        self.seconds, self.cpu_seconds = at - self.first[0], cpu - self.first[1]


@dataclass
class Measured:
    """All that a run has shown so far."""

    endpoints: Sequence[str]
    duration: float
    on_second: Callable[[Period], None] = lambda second: None
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    """By endpoint and status, those of the warm-up included."""
    unanswered: Counter[str] = field(default_factory=Counter)
    """Requests sent and not answered by endpoint, those of the warm-up included."""
    warm_up: dict[str, Latencies] = field(default_factory=lambda: defaultdict(Latencies))
    latencies: dict[tuple[str, int], Latencies] = field(default_factory=lambda: defaultdict(Latencies))
    """By endpoint and status (0 for timeouts, at the moment when they were given up)."""
    outcomes: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    """Measured requests by endpoint, status and what was wrong."""
    sizes: Counter[str] = field(default_factory=Counter)
    examples: dict[str, dict[str, str]] = field(default_factory=dict)
    lags: Latencies = field(default_factory=Latencies)
    late: int = 0
    """Requests that were due when no thread was free."""
    notes: list[str] = field(default_factory=list)
    """What the processes of users had to say."""
    in_time: Counter[str] = field(default_factory=Counter)
    """Answers by endpoint that came before the end of what is measured, for the throughput."""
    ended_early: dict[int, str] = field(default_factory=dict)
    """How each process of users ended that did so before its time."""
    last_end: float = 0.0
    own_cpu_seconds: float = 0.0
    """Processor time of the process that owns the statistics."""
    machine_share: float | None = None
    """How busy all processors of this machine were; None where it does not tell."""
    timeline: Timeline = field(default_factory=Timeline)
    busy: dict[int, Busy] = field(default_factory=lambda: defaultdict(Busy))
    recent: deque[Period] = field(default_factory=lambda: deque(maxlen=_RECENT_SECONDS))
    _open: dict[int, Period] = field(default_factory=dict)
    _closed: int = -1

    def take(self, process: int, handover: dict[str, Any]) -> None:
        """What one process has handed over."""
        if "ended" in handover:
            self.ended_early[process] = handover["ended"]
            return
        for result in handover["results"]:
            self._count(Result(*result))
        for example in handover["examples"]:
            self.examples.setdefault(example["kind"], example)
        self.notes += handover["notes"]
        self.busy[process].note(handover)
        newest = max(self._open, default=0)
        for second in sorted(self._open):
            if second <= newest - _OPEN_SECONDS:
                self._close(second)

    def finish(self) -> None:
        """Nothing more will come."""
        for second in sorted(self._open):
            self._close(second)

    @property
    def requests(self) -> int:
        """Requests measured, those included that could not even be started."""
        return self.outcomes.total()

    @property
    def errors(self) -> int:
        """Those of them that went wrong."""
        return sum(count for (_, _, kind), count in self.outcomes.items() if kind)

    @property
    def unstarted(self) -> int:
        """Those of them that were never sent."""
        return sum(count for (_, _, kind), count in self.outcomes.items() if kind == NOT_STARTED)

    def _count(self, result: Result) -> None:
        endpoint = self.endpoints[result.endpoint]
        if result.status:
            self.answers[endpoint, result.status] += 1
        elif result.kind != NOT_STARTED:
            self.unanswered[endpoint] += 1
        timed = result.status or result.kind in {"timeout", NOT_STARTED}
        if result.begun < 0:
            if result.status:
                self.warm_up[endpoint].record(result.latency)
            return
        self.outcomes[endpoint, result.status, result.kind] += 1
        self.sizes[endpoint] += result.size
        ended = result.begun + result.latency / 1e6
        self.last_end = max(self.last_end, ended)
        self.in_time[endpoint] += bool(result.status and ended <= self.duration)
        second = self._second(int(ended))
        second.requests += 1
        second.errors += bool(result.kind)
        second.size += result.size
        if timed:
            self.latencies[endpoint, result.status].record(result.latency)
            second.latencies.record(result.latency)
        if result.lag < 0:
            self.late += 1
        elif result.lag:
            self.lags.record(result.lag)

    def _second(self, number: int) -> Period:
        number = max(number, self._closed + 1)  # a straggler counts with what is still open
        found = self._open.get(number)
        if found is None:
            found = self._open[number] = Period(number)
        return found

    def _close(self, last: int) -> None:
        """Close this second, and before it those in which nothing came back."""
        for number in range(self._closed + 1, last + 1):
            second = self._open.pop(number, None) or Period(number)
            self.recent.append(second)
            self.timeline.append(second)
            self.on_second(second)
        self._closed = last

    def last_seconds(self, elapsed: float) -> Period:
        """The last few seconds before `elapsed` as one period, whether or not anything came back in them."""
        begin = max(int(elapsed) - _RECENT_SECONDS + 1, 0)
        together = Period(begin, int(elapsed) + 1 - begin)
        for one in (*self.recent, *self._open.values()):
            if one.begin >= begin:
                together.add(one)
        return together
