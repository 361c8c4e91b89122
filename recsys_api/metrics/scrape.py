"""What a scrape sees: all workers' metrics merged, whatever state their files are in, and what follows from them."""
from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from recsys_api.metrics.catalogue import CATALOGUE
from recsys_api.metrics.slots import MASTER

_METRIC_FILE = re.compile(r"(?:counter|histogram|summary|gauge_[a-z]+)_[A-Za-z0-9]+\.db")

# A gauge without labels is 0 from its creation on, in the master too; the least over all workers leaves that out.
_NOT_A_WORKERS = f"gauge_livemin_{MASTER}.db"

# The two halves of MultiProcessCollector.merge, which by itself stops at the first file that it cannot read.
_read_metrics: Any = MultiProcessCollector._read_metrics
_accumulate_metrics: Any = MultiProcessCollector._accumulate_metrics

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class Snapshot:
    """The metrics of all workers at one moment."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self.families = list(families)
        self._values: Samples = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in self.families
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        """The sample of this name and exactly these labels, 0 where there is none."""
        return self._values.get((name, tuple(sorted(labels.items()))), 0.0)

    def total(self, name: str, **labels: str) -> float:
        """The sum of all samples of this name that have at least these labels."""
        wanted = set(labels.items())
        return sum(value for (its_name, its), value in self._values.items() if its_name == name and wanted <= set(its))

    def collect(self) -> Iterator[Metric]:
        """For a registry."""
        yield from self.families


class FileCollector:
    """Merges the metric files of a folder, and skips those that are empty, torn, foreign or gone."""

    def __init__(self, folder: Path, *, on_skipped: Callable[[Path], None]) -> None:
        self._folder = folder
        self._on_skipped = on_skipped

    def collect(self) -> Iterator[Metric]:
        merged: dict[str, Metric] = {}
        files = 0
        for path in sorted(self._folder.glob("*.db")):
            if path.name == _NOT_A_WORKERS:
                continue
            if not _METRIC_FILE.fullmatch(path.name):
                self._on_skipped(path)
                continue
            try:
                read: dict[str, Metric] = _read_metrics([str(path)])
            except FileNotFoundError:
                continue  # a worker left between the listing and the reading
            except Exception:  # noqa: BLE001 - whatever a torn file makes the parser raise, the other files count
                self._on_skipped(path)
                continue
            files += 1
            for name, metric in read.items():
                if name in merged:
                    merged[name].samples.extend(metric.samples)
                else:
                    merged[name] = metric
        yield from _accumulate_metrics(merged, True)
        yield _gauge("metrics_files", files)


def take(source: FileCollector | CollectorRegistry) -> Snapshot:
    """All metrics of `source` now, with those that are worked out from them."""
    started = time.perf_counter()
    snapshot = Snapshot(source.collect())
    hits = snapshot.value("recommendation_cache_hits_total")
    misses = snapshot.value("recommendation_cache_misses_total")
    if hits + misses:
        snapshot.families.append(_gauge("cache_hit_rate", hits / (hits + misses)))
    if isinstance(source, CollectorRegistry):
        snapshot.families.append(_gauge("metrics_files", 0))
    snapshot.families.append(_gauge("metrics_scrape_duration_seconds", time.perf_counter() - started))
    return snapshot


def _gauge(name: str, value: float) -> Metric:
    return GaugeMetricFamily(name, CATALOGUE[name].help, value)
