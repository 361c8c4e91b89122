"""What a scrape sees: all workers' metrics merged, and what follows from them and from the operating system."""
from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.samples import Sample

from recsys_api.metrics.catalogue import CATALOGUE
from recsys_api.metrics.files import Labels, rendered
from recsys_api.metrics.slots import Slots

T = TypeVar("T")
_PROC = Path("/proc")
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_UTIME, _STIME, _RSS_PAGES = 11, 12, 21  # places in /proc/<pid>/stat after the name: man 5 proc


class Snapshot:
    """The metrics of all workers at one moment."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)
        self._samples: dict[str, list[Sample]] = {}
        for family in self._families:
            for sample in family.samples:
                self._samples.setdefault(sample.name, []).append(sample)

    def value(self, name: str, **labels: str) -> float:
        """The sample of this name and exactly these labels, 0 where there is none."""
        return next((sample.value for sample in self._samples.get(name, ()) if sample.labels == labels), 0.0)

    def total(self, name: str, **labels: str) -> float:
        """The sum of all samples of this name that have at least these labels."""
        wanted = labels.items()
        return sum(sample.value for sample in self._samples.get(name, ()) if wanted <= sample.labels.items())

    def only(self, names: Iterable[str]) -> Snapshot:
        """The samples of these names, and all of a metric whose name is among them."""
        wanted = set(names)
        chosen = []
        for family in self._families:
            kept = Metric(family.name, family.documentation, family.type)
            whole = {family.name, f"{family.name}_total"} & wanted
            kept.samples = [sample for sample in family.samples if whole or sample.name in wanted]
            if kept.samples:
                chosen.append(kept)
        return Snapshot(chosen)

    def text(self, *, openmetrics: bool) -> bytes:
        """The text format of Prometheus, version 0.0.4, or that of OpenMetrics, version 1.0.0.

        prometheus_client's encoders give the same, and take most of the time of a scrape.
        """
        lines: list[str] = []
        for family in self._families:
            name = family.name + ("_total" if family.type == "counter" and not openmetrics else "")
            escaped = family.documentation.replace("\\", "\\\\").replace("\n", "\\n")
            lines += (f"# HELP {name} {escaped}", f"# TYPE {name} {family.type}")
            for sample in family.samples:
                labels = sample.labels
                text = labels.text if isinstance(labels, Labels) else rendered(labels)
                lines.append(f"{sample.name}{text} {sample.value!r}")
        if openmetrics:
            lines.append("# EOF")
        return ("\n".join(lines) + "\n").encode()


class SharedRun(Generic[T]):
    """Runs a function for many threads at once: whoever asks while it runs shares the next run with all who wait.

    Not the run that is under way: that may have begun before what the caller wants to see in its result.
    """

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._lock = threading.Lock()
        self._running = threading.Lock()
        self._next: _Run[T] = _Run()

    def __call__(self) -> T:
        """The result of a run that began after this call."""
        with self._lock:
            run = self._next
        with self._running:
            if not run.done:
                with self._lock:
                    self._next = _Run()
                try:
                    run.result = self._function()
                except BaseException as error:
                    run.error = error
                    raise
                finally:
                    run.done = True
            if run.error is not None:
                raise run.error
            return run.result


class _Run(Generic[T]):
    result: T
    error: BaseException | None = None
    done = False


class Derived:
    """The metrics that no worker counts: of the workers themselves, and ratios of others."""

    def __init__(self, slots: Slots, cache_generation: Callable[[], int]) -> None:
        self._slots = slots
        self._generation = cache_generation

    def after(self, counted: Callable[[], Iterable[Metric]]) -> Iterator[Metric]:
        """What `counted` gives, then the derived metrics.

        The processor time of a slot is that of its ended workers, which the master counts, and that of its live one.
        Where one ends meanwhile, its slot is left out of this scrape, so that no time is seen twice or not at all.
        """
        leaving = self._slots.leaving()
        live = self._slots.live()
        usage = {worker.slot: used for worker in live if (used := _usage(worker.pid))}
        ended: dict[int, float] = {}
        looked_up: dict[str, float] = {}
        for family in counted():
            if family.name == "worker_cpu_seconds":
                ended = {int(sample.labels["worker"]): sample.value for sample in family.samples}
                continue
            if family.name in {"recommendation_cache_hits", "recommendation_cache_misses"}:
                looked_up[family.name] = family.samples[0].value
            yield family
        if total := sum(looked_up.values()):
            yield gauge("cache_hit_rate", looked_up["recommendation_cache_hits"] / total)
        yield gauge("recommendation_model_loaded", int(self._slots.all_have_models()))
        yield gauge("recommendation_cache_size", self._slots.cached(self._generation()))
        yield gauge("process_start_time_seconds", self._slots.started_at)
        workers = _labelled("gunicorn_workers")
        workers.add_metric(["live"], len(live))
        workers.add_metric(["expected"], self._slots.expected)
        yield workers
        changed = {worker.slot for worker in set(live) ^ set(self._slots.live())}
        unseen = {worker.slot for worker in live if worker.slot not in usage}
        yield from _of_workers(usage, ended, leaving | self._slots.leaving() | changed | unseen)


class _Usage(NamedTuple):
    """What one process uses."""

    cpu_seconds: float
    resident_bytes: float
    open_fds: float


def _usage(pid: int) -> _Usage | None:
    """What the process uses now; None where it has ended, or where the system does not tell."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        return _Usage(
            cpu_seconds=(int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS_PER_SECOND,
            resident_bytes=int(fields[_RSS_PAGES]) * mmap.PAGESIZE,
            open_fds=sum(1 for _ in (_PROC / str(pid) / "fd").iterdir()),
        )
    except (OSError, IndexError, ValueError):
        return None


def _of_workers(usage: dict[int, _Usage], ended: dict[int, float], left_out: set[int]) -> Iterator[Metric]:
    memory, fds = _labelled("worker_resident_memory_bytes"), _labelled("worker_open_fds")
    seconds = CounterMetricFamily("worker_cpu_seconds", CATALOGUE["worker_cpu_seconds_total"].help, labels=["worker"])
    for slot in sorted((usage.keys() | ended.keys()) - left_out):
        used = usage.get(slot)
        seconds.add_metric([str(slot)], ended.get(slot, 0.0) + (used.cpu_seconds if used else 0.0))
        if used:
            memory.add_metric([str(slot)], used.resident_bytes)
            fds.add_metric([str(slot)], used.open_fds)
    yield from (memory, seconds, fds)


def gauge(name: str, value: float) -> Metric:
    """One value of the metric `name` of the catalogue."""
    return GaugeMetricFamily(name, CATALOGUE[name].help, value)


def _labelled(name: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, CATALOGUE[name].help, labels=list(CATALOGUE[name].labels))
