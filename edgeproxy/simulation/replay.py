"""A trace through an eviction, and the optimum beside it.

Every cache begins empty, so the first request for each object is a miss for all of them."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from edgeproxy.simulation.lfu import Lfu
from edgeproxy.simulation.optimum import Bound, Hits, furthest
from edgeproxy.simulation.tiers import Tier
from edgeproxy.simulation.trace import Trace
from edgeproxy.storage.eviction import Eviction, Lru, S3Fifo
from edgeproxy.storage.sieve import Sieve
from edgeproxy.storage.tiny_lfu import TinyLfu

EVICTIONS: dict[str, Callable[[], Eviction]] = {
    "lru": Lru,
    "s3-fifo": S3Fifo,
    "sieve": Sieve,
    "w-tinylfu": TinyLfu,
    "lfu": Lfu,
}
BELADY, BOUND = "belady", "bound"
KINDS = (*EVICTIONS, BELADY, BOUND)
UNLIMITED = "unlimited"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one eviction (or `UNLIMITED`, which keeps everything) in one tier of `capacity` bytes."""

    tier: str
    capacity: int
    eviction: str
    object_hit_ratio: float
    byte_hit_ratio: float


def replay(trace: Trace, costs: array[int], capacity: int, eviction: Eviction) -> Hits:
    """What a cache of `capacity` bytes answers; objects cost what `costs` says, by number, and those that
    cost less than nothing or more than the whole cache are not taken in."""
    names = [str(number) for number in range(trace.objects)]
    held = bytearray(trace.objects)
    hits = hit_bytes = used = 0
    for number, sent in zip(trace.numbers, trace.bytes, strict=True):
        if held[number]:
            hits += 1
            hit_bytes += sent
            eviction.touch(names[number])
            continue
        cost = costs[number]
        if not 0 <= cost <= capacity:
            continue
        held[number] = 1
        used += cost
        eviction.admit(names[number], cost)
        if used > capacity:
            for victim in eviction.victims(used - capacity):
                eviction.remove(victim)
                held[int(victim)] = 0
                used -= costs[int(victim)]
    return Hits(hits, hit_bytes)


def outcomes(trace: Trace, tier: Tier, capacities: Sequence[int], kinds: Sequence[str]) -> Iterator[Outcome]:
    """Each of `kinds` (of KINDS) at each size, then everything kept."""
    costs = tier.costs(trace)
    bound = Bound(trace, costs) if BOUND in kinds else None
    for kind in kinds:
        for capacity in capacities:
            if bound is not None and kind == BOUND:
                hits = bound.of(capacity)
            elif kind == BELADY:
                hits = furthest(trace, costs, capacity)
            else:
                hits = replay(trace, costs, capacity, EVICTIONS[kind]())
            yield _outcome(trace, tier, capacity, kind, hits)
    everything = replay(trace, costs, sum(cost for cost in costs if cost > 0) + 1, Lru())
    yield _outcome(trace, tier, 0, UNLIMITED, everything)


def _outcome(trace: Trace, tier: Tier, capacity: int, kind: str, hits: Hits) -> Outcome:
    requests, asked = max(1, len(trace.numbers)), max(1, sum(trace.bytes))
    return Outcome(tier.name, capacity, kind, hits.requests / requests, hits.bytes / asked)
