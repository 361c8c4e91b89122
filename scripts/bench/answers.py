"""Answers of the service on disk, so that what it is compared with can return the same bytes."""
from __future__ import annotations

import json
import mmap
from collections.abc import Iterable
from pathlib import Path

_INDEX, _BODIES = "index.json", "bodies"


class Answers:
    """Bodies by key: a movie_id or a query."""

    def __init__(self, folder: Path) -> None:
        self._places: dict[str, list[int]] = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        with (folder / _BODIES).open("rb") as file:
            self._bodies = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def __getitem__(self, key: str) -> bytes:
        start, stop = self._places[key]
        return self._bodies[start:stop]


def record(folder: Path, bodies: Iterable[tuple[str, bytes]]) -> None:
    """Write `bodies` with their keys into `folder`."""
    folder.mkdir(exist_ok=True)
    places: dict[str, tuple[int, int]] = {}
    with (folder / _BODIES).open("wb") as file:
        for key, body in bodies:
            start = file.tell()
            file.write(body)
            places[key] = start, file.tell()
    (folder / _INDEX).write_text(json.dumps(places, ensure_ascii=False), encoding="utf-8")
