"""What a scrape of /metrics says, for the scripts that compare it with what clients saw."""
from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

Series = tuple[str, tuple[tuple[str, str], ...]]
"""The name of a sample and its labels."""
Samples = dict[Series, float]
Answer = tuple[str, str, int]
"""Method, endpoint and status."""


def samples_of(text: str) -> Samples:
    """All samples of a scrape; raises ValueError where it is not in the text format of Prometheus."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def answers_counted(samples: Mapping[Series, float]) -> Counter[Answer]:
    """How many answers of each kind the service has counted."""
    counted: Counter[Answer] = Counter()
    for (name, labels), value in samples.items():
        if name == "http_requests_total":
            told = dict(labels)
            counted[told["method"], told["endpoint"], int(told["status_code"])] += int(value)
    return counted
