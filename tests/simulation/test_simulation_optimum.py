"""What could be reached by who knew the future, against every choice tried."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.simulation.optimum import Bound, furthest, next_uses
from edgeproxy.simulation.tiers import PLAIN
from edgeproxy.simulation.trace import Trace, made


def test_next_uses() -> None:
    assert list(next_uses(made([(1, 1), (2, 1), (1, 1), (1, 1)]))) == [2, 4, 3, 4]


def best(trace: Trace, costs: array[int], capacity: int, worth: str) -> int:
    """The most that any cache answers, by trying every set that could be held after each request."""
    gained = {frozenset[int](): 0}
    for number, sent in zip(trace.numbers, trace.bytes, strict=True):
        following: dict[frozenset[int], int] = {}
        for held, so_far in gained.items():
            total = so_far + (number in held) * (1 if worth == "requests" else sent)
            for kept in _subsets(held | {number}):
                if sum(costs[one] for one in kept) <= capacity:
                    following[kept] = max(following.get(kept, 0), total)
        gained = following
    return max(gained.values())


def _subsets(held: frozenset[int]) -> Iterator[frozenset[int]]:
    for count in range(len(held) + 1):
        yield from map(frozenset, combinations(held, count))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=14), st.integers(0, 4))
def test_belady_is_the_optimum_for_objects_of_one_size(numbers: list[int], capacity: int) -> None:
    trace = made((number, 1) for number in numbers)
    costs = PLAIN.costs(trace)
    assert furthest(trace, costs, capacity).requests == best(trace, costs, capacity, "requests")


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(0, 4), max_size=12),
    st.lists(st.integers(1, 9), min_size=5, max_size=5),
    st.integers(0, 20),
)
def test_for_unequal_sizes_the_optimum_lies_between_belady_and_the_bound(
    numbers: list[int], sizes: list[int], capacity: int
) -> None:
    trace = made((number, sizes[number]) for number in numbers)
    costs = PLAIN.costs(trace)
    low, high = furthest(trace, costs, capacity), Bound(trace, costs).of(capacity)
    for worth in ("requests", "bytes"):
        optimum = best(trace, costs, capacity, worth)
        assert getattr(low, worth) <= optimum <= getattr(high, worth) + 1e-9


@pytest.mark.parametrize(
    ("capacity", "requests"),
    [(0, 0), (1, 2), (2, 4), (3, 5), (4, 5)],
)
def test_belady_by_hand(capacity: int, requests: int) -> None:
    trace = made((number, 1) for number in (0, 1, 2, 0, 1, 1, 0, 2))
    assert furthest(trace, PLAIN.costs(trace), capacity).requests == requests


def test_what_does_not_fit_is_not_taken_in() -> None:
    trace = made([(0, 9), (0, 9), (1, 1), (1, 1)])
    costs = PLAIN.costs(trace)
    assert (furthest(trace, costs, 8).bytes, Bound(trace, costs).of(8).bytes) == (1, 1)


def test_times_that_have_passed_do_not_pile_up() -> None:
    trace = made((number % 3, 1) for number in range(20_000))
    assert furthest(trace, PLAIN.costs(trace), 3).requests == 20_000 - 3
