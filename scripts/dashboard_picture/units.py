"""Values as Grafana writes them, for the units that the dashboards use."""
from __future__ import annotations

import math
from collections.abc import Callable

_COUNTS = ("", " K", " Mil", " Bil", " Tri")
_SI = ("", "K", "M", "B", "T")
_BYTES = (" B", " KiB", " MiB", " GiB", " TiB")
_SPANS = (
    (60.0, 1.0, " s"), (3600.0, 60.0, " min"), (86_400.0, 3600.0, " hour"), (604_800.0, 86_400.0, " day"),
    (31_536_000.0, 604_800.0, " week"), (math.inf, 31_556_900.0, " year"),
)  # fmt: skip


def formatted(value: float, unit: str, decimals: int | None = None) -> str:
    """A value with its unit; without `decimals` as many as Grafana takes, three significant digits.

    Raises ValueError for a unit that no dashboard uses.
    """
    if math.isnan(value):
        return "NaN"
    if unit.startswith("suffix:"):
        return f"{_fixed(value, decimals)} {unit.removeprefix('suffix:')}"
    if unit not in _FORMATS:
        raise ValueError(f"the unit {unit!r} is not known; known are {', '.join(_FORMATS)} and suffix:...")
    return _FORMATS[unit](value, decimals)


def decimals_for(value: float) -> int:
    """Decimals that give three significant digits, none for a whole number."""
    if value == 0 or not math.isfinite(value) or value == int(value):
        return 0
    return max(0, 2 - math.floor(math.log10(abs(value))))


def _fixed(value: float, decimals: int | None) -> str:
    if not math.isfinite(value):
        return "∞" if value > 0 else "-∞"
    text = f"{value:.{decimals_for(value) if decimals is None else decimals}f}"
    return text.removeprefix("-") if not text.strip("-0.") else text


def _seconds(value: float, decimals: int | None) -> str:
    size = abs(value)
    if size == 0:
        return "0 s"
    for factor, unit in ((1e9, " ns"), (1e6, " µs"), (1e3, " ms")):
        if size * factor < 1000 or (unit == " ms" and size < 1):
            return _fixed(value * factor, decimals) + unit
    divisor, unit = next((divisor, unit) for below, divisor, unit in _SPANS if size < below)
    plural = "s" if unit != " s" and size > divisor else ""
    return _fixed(value / divisor, decimals) + unit + plural


def _scaled(base: float, names: tuple[str, ...], end: str = "") -> Callable[[float, int | None], str]:
    def say(value: float, decimals: int | None) -> str:
        power = 0 if value == 0 or not math.isfinite(value) else math.floor(math.log(abs(value), base) + 1e-12)
        power = min(max(power, 0), len(names) - 1)
        return _fixed(value / base**power, decimals) + names[power] + end

    return say


_FORMATS: dict[str, Callable[[float, int | None], str]] = {
    "none": _fixed,
    "short": _scaled(1000, _COUNTS),
    "locale": lambda value, decimals: f"{value:,.{decimals_for(value) if decimals is None else decimals}f}",
    "percentunit": lambda value, decimals: _fixed(value * 100, decimals) + "%",
    "s": _seconds,
    "bytes": _scaled(1024, _BYTES),
    "reqps": _scaled(1000, _SI, " req/s"),
    "cps": _scaled(1000, _SI, " c/s"),
}
UNITS = tuple(_FORMATS)
"""Units that can be written, besides `suffix:` and any words."""
