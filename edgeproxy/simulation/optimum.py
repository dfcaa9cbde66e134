"""What could be reached by who knew the future.

`furthest` is Belady's rule with sizes: who is asked for again last leaves first, and who would leave at once
is not taken in. For objects of one size it is the optimum. For unequal sizes the optimum is NP-hard to find;
then this is one cache that could exist, so the optimum is no less (in objects it can be a good deal more, as
the rule does not know that one large object keeps out many small ones).

`bound` is what no cache can exceed (Berger, Beckmann and Harchol-Balter, "Practical bounds on optimal caching
with variable object sizes", SIGMETRICS 2018). To answer a request from the store, the object must have been
held since it was asked for before: so many bytes for so many requests. The cheapest of these are summed up to
what a cache of that size has for the whole trace; that they must fit at every moment too is let go."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Callable
from dataclasses import dataclass

from edgeproxy.simulation.trace import Trace

LIMITS_MEANT = (
    "belady: who is asked for again last leaves first; the optimum for objects of one size, else a cache "
    "that knows the future, and no more than the optimum",
    "bound: no cache of that size can do better; the optimum lies between belady and bound",
)


@dataclass(frozen=True, slots=True)
class Hits:
    """Requests answered from the store, and the bytes they were sent; fractions only in a bound."""

    requests: float
    bytes: float


def next_uses(trace: Trace) -> array[int]:
    """For each request the place of the next one for the same object; the length of the trace for none."""
    end = len(trace.numbers)
    last, following = array("q", [end]) * trace.objects, array("q", [end]) * end
    for place in range(end - 1, -1, -1):
        number = trace.numbers[place]
        following[place] = last[number]
        last[number] = place
    return following


def furthest(trace: Trace, costs: array[int], capacity: int) -> Hits:
    """Belady's rule with sizes, from an empty cache of `capacity` bytes."""
    following, end = next_uses(trace), len(trace.numbers)
    due = array("q", [-1]) * trace.objects  # when a held object is asked for next
    waiting: list[int] = []  # those times, negative; some have passed
    hits = hit_bytes = used = held = 0
    for place, number in enumerate(trace.numbers):
        cost, again = costs[number], following[place]
        if due[number] >= 0:
            hits += 1
            hit_bytes += trace.bytes[place]
            due[number] = -1
            used -= cost
            held -= 1
        if again == end or not 0 <= cost <= capacity:
            continue
        due[number] = again
        heapq.heappush(waiting, -again)
        used += cost
        held += 1
        while used > capacity:
            latest = -heapq.heappop(waiting)
            victim = trace.numbers[latest]
            if due[victim] == latest:
                due[victim] = -1
                used -= costs[victim]
                held -= 1
        if len(waiting) > 2 * held + 1024:
            waiting = [-time for time in due if time >= 0]
            heapq.heapify(waiting)
    return Hits(hits, hit_bytes)


class Bound:
    """`of(capacity)` for any number of sizes: what takes long is done once."""

    def __init__(self, trace: Trace, costs: array[int]) -> None:
        self._trace, self._costs = trace, costs
        self._following = next_uses(trace)
        self._by_request = self._order(lambda place, again, cost: cost * (again - place))
        self._by_byte = self._order(
            lambda place, again, cost: cost * (again - place) / max(1, trace.bytes[again])
        )

    def _order(self, price: Callable[[int, int, int], float]) -> array[int]:
        """Places of requests that come again, in the order of what it costs to hold until then."""
        numbers, costs, following = self._trace.numbers, self._costs, self._following
        prices = array("d", bytes(8 * len(numbers)))
        places: array[int] = array("I")
        for place, again in enumerate(following):
            if again < len(numbers) and (cost := costs[numbers[place]]) >= 0:
                prices[place] = price(place, again, cost)
                places.append(place)
        return array("I", sorted(places, key=prices.__getitem__))

    def of(self, capacity: int) -> Hits:
        return Hits(
            self._sum(self._by_request, capacity, lambda again: 1),
            self._sum(self._by_byte, capacity, lambda again: self._trace.bytes[again]),
        )

    def _sum(self, order: array[int], capacity: int, worth: Callable[[int], int]) -> float:
        room, gained = capacity * len(self._trace.numbers), 0.0
        for place in order:
            cost, again = self._costs[self._trace.numbers[place]], self._following[place]
            if cost > capacity:
                continue
            price = cost * (again - place)
            if price >= room:
                return gained + worth(again) * room / price
            room -= price
            gained += worth(again)
        return gained
