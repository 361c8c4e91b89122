"""PromQL over all replicas that a person has chosen: sums first, ratios and quantiles of sums after."""
from __future__ import annotations

SERVICE = 'service="recsys-api"'
RECORDED = f'{SERVICE}, environment=~"$environment"'
"""Selects recorded series, which are about the whole service."""
CHOSEN = f'{RECORDED}, instance=~"$instance"'
"""Selects the series of the chosen replicas."""
ASKED = f'{CHOSEN}, endpoint=~"$endpoint"'
"""Selects the series of the chosen replicas and endpoints."""
PRODUCT = 'endpoint=~"/movies.*|/recommendations.*|/search"'
"""Matches what people come for, and not what operators ask."""

LATENCIES = ((0.5, "P50"), (0.95, "P95"), (0.99, "P99"))


def series(metric: str, *matchers: str, chosen: str = CHOSEN) -> str:
    """The selector of a metric."""
    return f"{metric}{{{', '.join((chosen, *matchers))}}}"


def rate(metric: str, *matchers: str, by: str = "", chosen: str = CHOSEN, offset: str = "") -> str:
    """What a counter gains in a second, summed over what `by` does not name."""
    shift = f" offset {offset}" if offset else ""
    return f"{_sum(by)} (rate({series(metric, *matchers, chosen=chosen)}[$__rate_interval]{shift}))"


def gain(metric: str, *matchers: str, by: str = "", chosen: str = CHOSEN) -> str:
    """What a counter gained in the time on show, summed over what `by` does not name."""
    return f"{_sum(by)} (increase({series(metric, *matchers, chosen=chosen)}[$__range]))"


def share(part: str, whole: str) -> str:
    """A part of a whole; nothing, rather than NaN, while the whole is 0."""
    return f"{part} / ({whole} > 0)"


def quantile(level: float, histogram: str, *matchers: str, by: str = "", chosen: str = CHOSEN) -> str:
    """A quantile of a histogram; nothing, rather than NaN, where nothing was observed."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({level}, {rate(f'{histogram}_bucket', *matchers, by=labels, chosen=chosen)}) >= 0"


def latencies(histogram: str, *matchers: str, chosen: str = CHOSEN) -> list[tuple[str, str]]:
    """P50, P95 and P99 of a histogram, as pairs of legend and expression."""
    return [(name, quantile(level, histogram, *matchers, chosen=chosen)) for level, name in LATENCIES]


def burn(window: str) -> str:
    """How many times faster than sustainable the error budget burns, per objective."""
    ratio = series(f"service:slo_errors:ratio_rate{window}", chosen=RECORDED)
    return f"max by (slo) ({ratio} / on (slo) group_left () (1 - slo:objective:ratio))"


def _sum(by: str) -> str:
    return f"sum by ({by})" if by else "sum"
