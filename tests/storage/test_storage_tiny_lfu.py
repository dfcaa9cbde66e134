"""W-TinyLFU: what is asked for more often stays."""

from __future__ import annotations

import random
from itertools import accumulate

from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.storage.eviction import Eviction, Lru
from edgeproxy.storage.tiny_lfu import SAMPLE_PER_KEY, Sketch, TinyLfu


def hits(eviction: Eviction, keys: list[str], kept: int) -> int:
    stored: set[str] = set()
    found = 0
    for key in keys:
        if key in stored:
            found += 1
            eviction.touch(key)
            continue
        stored.add(key)
        eviction.admit(key, 1)
        for victim in eviction.victims(len(stored) - kept) if len(stored) > kept else ():
            eviction.remove(victim)
            stored.remove(victim)
    return found


def zipf(objects: int, requests: int) -> list[str]:
    weights = list(accumulate(1 / rank for rank in range(1, objects + 1)))
    return [str(n) for n in random.Random(1).choices(range(objects), cum_weights=weights, k=requests)]


def test_a_hundredth_of_the_objects_answers_more_than_half_of_a_zipf_trace() -> None:
    keys = zipf(10_000, 300_000)
    assert hits(TinyLfu(), keys, 100) / len(keys) >= 0.52
    assert hits(Lru(), keys, 100) / len(keys) < 0.40


def test_a_scan_does_not_drive_out_what_is_wanted() -> None:
    eviction = TinyLfu()
    wanted = [str(n) for n in range(99)]
    warm = wanted * 5
    assert hits(eviction, [*warm, *(f"scan{n}" for n in range(5_000))], 100) >= len(warm) - len(wanted)
    lost = set(wanted) - set(eviction.victims(10**9))
    assert len(lost) <= 5, "counters are shared: a few strangers may look as wanted as they are not"


def test_what_became_popular_replaces_what_was() -> None:
    eviction = TinyLfu()
    old = [str(n) for n in range(100)] * 50
    new = [f"new{n}" for n in range(100)] * 400
    found = hits(eviction, old + new, 100)
    assert found > len(old) - 200 + len(new) * 0.6


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from("abcdefghij"), max_size=200))
def test_the_sketch_never_counts_too_little_before_it_fades(keys: list[str]) -> None:
    sketch = Sketch()
    for key in keys:
        sketch.add(key, 10)
    for key in set(keys):
        assert sketch.estimate(key) >= min(keys.count(key), 255)


def test_counters_fade() -> None:
    sketch = Sketch()
    for _ in range(100):
        sketch.add("old", 10)
    for number in range(2 * SAMPLE_PER_KEY * 64):
        sketch.add(f"other{number % 50}", 10)
    assert sketch.estimate("old") < 60


def test_a_growing_sketch_forgets_nothing() -> None:
    sketch = Sketch()
    for _ in range(20):
        sketch.add("kept", 10)
    for number in range(20):
        sketch.add("other", 1000 * number)
    assert sketch.estimate("kept") >= 20
