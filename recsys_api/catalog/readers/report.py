"""The account that every reader gives: rows read, kept, dropped and repaired, by reason."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

SHOWN_LINES = 5
UNCLOSED = "a quote is opened and never closed"
"""Why a row of a CSV file is dropped whose cells nobody can tell apart."""


@dataclass(slots=True)
class Tally:
    """How often one thing happened to rows, and where it happened first."""

    rows: int = 0
    lines: list[str] = field(default_factory=list)
    """The first few places, as `file:line`."""

    def add(self, place: str) -> None:
        self.rows += 1
        if len(self.lines) < SHOWN_LINES:
            self.lines.append(place)


@dataclass(slots=True)
class ReadReport:
    """What became of each row of a source: every row read is kept or dropped, never lost.

    A repaired row is kept, with one value mended or left empty; a row may be repaired for several reasons.
    """

    source: str
    read: int = 0
    kept: int = 0
    dropped: dict[str, Tally] = field(default_factory=dict)
    repaired: dict[str, Tally] = field(default_factory=dict)

    def drop(self, reason: str, place: str) -> None:
        """Count a row of the movie table that is left out."""
        self.dropped.setdefault(reason, Tally()).add(place)

    def repair(self, reason: str, place: str) -> None:
        """Count a value that was mended, or left empty because it could not be."""
        self.repaired.setdefault(reason, Tally()).add(place)

    @property
    def rows_dropped(self) -> int:
        return sum(tally.rows for tally in self.dropped.values())

    def lines(self) -> Iterator[str]:
        """The report as lines of a table for a terminal."""
        yield f"{'rows read':<44}{self.read:>9,}"
        yield f"{'kept':<44}{self.kept:>9,}"
        for heading, tallies in (("dropped", self.dropped), ("repaired", self.repaired)):
            for reason, tally in sorted(tallies.items(), key=lambda pair: (-pair[1].rows, pair[0])):
                places = ", ".join(tally.lines) + (", ..." if tally.rows > len(tally.lines) else "")
                yield f"{heading + ': ' + reason:<44}{tally.rows:>9,}  {places}"
