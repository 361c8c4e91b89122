"""Numbers for names, so that arrays can hold what would be many small objects."""
from __future__ import annotations

from collections import defaultdict


def numbers() -> defaultdict[str, int]:
    """Gives each name that it is asked for the next number, from 0, and to the same name the same one."""
    given: defaultdict[str, int] = defaultdict()
    given.default_factory = given.__len__
    return given
