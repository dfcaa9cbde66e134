"""A trace through each eviction."""

from __future__ import annotations

import random
from itertools import accumulate

import pytest

from edgeproxy.simulation.replay import BELADY, BOUND, EVICTIONS, KINDS, UNLIMITED, outcomes, replay
from edgeproxy.simulation.tiers import PLAIN, ram
from edgeproxy.simulation.trace import Trace, made
from edgeproxy.storage.eviction import Lru


def zipf(objects: int = 2_000, requests: int = 30_000) -> Trace:
    chosen = random.Random(3)
    sizes = [1 + int(chosen.lognormvariate(5, 1.5)) for _ in range(objects)]
    weights = list(accumulate(1 / rank for rank in range(1, objects + 1)))
    drawn = chosen.choices(range(objects), cum_weights=weights, k=requests)
    return made((number, sizes[number]) for number in drawn)


def test_a_cache_is_never_fuller_than_it_may_be_and_counts_what_it_answers() -> None:
    trace = made([(0, 4), (1, 4), (0, 4), (2, 4), (1, 4), (0, 3)])
    hits = replay(trace, PLAIN.costs(trace), 8, Lru())
    assert (hits.requests, hits.bytes) == (1, 4)
    assert replay(trace, PLAIN.costs(trace), 12, Lru()).requests == 3


def test_what_costs_nothing_or_too_much_is_treated_as_told() -> None:
    trace = made([(0, 2 << 20), (0, 2 << 20), (1, 10), (1, 10)])
    hits = replay(trace, ram(1 << 20).costs(trace), 10 << 20, Lru())
    assert (hits.requests, hits.bytes) == (1, 10)
    assert replay(trace, PLAIN.costs(trace), 9, Lru()).requests == 0


@pytest.mark.parametrize("kind", KINDS)
def test_no_eviction_is_better_than_the_bound_and_more_room_is_worth_more(kind: str) -> None:
    trace = zipf()
    small, large = trace.footprint // 100, trace.footprint // 10
    found = {
        (one.eviction, one.capacity): one for one in outcomes(trace, PLAIN, [small, large], [kind, BOUND])
    }
    for capacity in (small, large):
        one, most = found[kind, capacity], found[BOUND, capacity]
        assert 0 < one.object_hit_ratio <= most.object_hit_ratio + 1e-9
        assert 0 < one.byte_hit_ratio <= most.byte_hit_ratio + 1e-9
    assert found[kind, small].object_hit_ratio < found[kind, large].object_hit_ratio
    assert found[kind, large].object_hit_ratio <= found[UNLIMITED, 0].object_hit_ratio


def test_for_objects_of_one_size_belady_is_better_than_all_others() -> None:
    trace = made((number, 1) for number in zipf().numbers)
    found = {one.eviction: one.object_hit_ratio for one in outcomes(trace, PLAIN, [20], KINDS)}
    assert max(found[kind] for kind in EVICTIONS) < found[BELADY] <= found[BOUND] < found[UNLIMITED]


def test_a_log_of_nothing_has_no_hits() -> None:
    assert {one.object_hit_ratio for one in outcomes(made([]), PLAIN, [10], KINDS)} == {0.0}
