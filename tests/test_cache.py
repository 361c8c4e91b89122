"""The cache is bounded, computes each miss once, and forgets when told."""
from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from recsys_api.cache import Cache, SharedGeneration


def counted(cache: Cache[str, int]) -> Counter[str]:
    events: Counter[str] = Counter()
    cache.on_event = lambda event, state: events.update([event])
    return events


def test_eight_concurrent_misses_on_one_key_compute_once() -> None:
    cache: Cache[str, int] = Cache(10)
    events = counted(cache)
    everybody_asks, computed = threading.Barrier(8), []

    def compute() -> int:
        computed.append(1)
        all_waiting.wait(10)
        return 42

    all_waiting = threading.Event()

    def ask(number: int) -> int:
        everybody_asks.wait(10)
        if number == 0:
            all_waiting.set()
        return cache.get("key", compute)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [42] * 8
    assert len(computed) == 1
    assert events == {"miss": 1, "hit": 7}


def test_the_least_recently_used_entry_goes_first() -> None:
    cache: Cache[str, int] = Cache(2)
    events = counted(cache)
    for key in ("a", "b", "a", "c", "a", "b"):
        cache.get(key, lambda: 0)
    assert events == {"miss": 4, "hit": 2, "eviction": 2}
    assert cache.currsize == cache.maxsize == 2


def test_an_error_reaches_the_caller_and_is_not_kept() -> None:
    cache: Cache[str, int] = Cache(2)
    with pytest.raises(ZeroDivisionError):
        cache.get("key", lambda: 1 // 0)
    assert cache.get("key", lambda: 5) == 5


def test_an_error_reaches_whoever_waited_for_the_computation() -> None:
    cache: Cache[str, int] = Cache(2)
    somebody_waits = threading.Event()
    cache.on_event = lambda event, state: somebody_waits.set()  # a hit is told before its wait

    with ThreadPoolExecutor(1) as pool:

        def compute() -> int:
            waiting.append(pool.submit(cache.get, "key", lambda: 5))
            somebody_waits.wait(10)
            return 1 // 0

        waiting: list[Future[int]] = []
        with pytest.raises(ZeroDivisionError):
            cache.get("key", compute)
        with pytest.raises(ZeroDivisionError):
            waiting[0].result(10)
    assert cache.currsize == 0


def test_a_new_generation_empties_every_cache_before_its_next_look_up(tmp_path: Path) -> None:
    ours, theirs = SharedGeneration(tmp_path / "generation"), SharedGeneration(tmp_path / "generation")
    cache: Cache[str, int] = Cache(2, generation=ours)
    cache.get("key", lambda: 1)
    theirs.advance()
    assert cache.get("key", lambda: 2) == 2
    assert cache.currsize == 1


def test_what_was_being_computed_when_all_was_forgotten_is_not_kept(tmp_path: Path) -> None:
    generation = SharedGeneration(tmp_path / "generation")
    cache: Cache[str, int] = Cache(2, generation=generation)

    def compute() -> int:
        generation.advance()
        return 1

    assert cache.get("key", compute) == 1
    assert cache.currsize == 0
    assert cache.get("key", lambda: 2) == 2
