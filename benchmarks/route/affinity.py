"""Ten nodes with small caches: what it brings to send an object to where it belongs, and what it costs."""

from __future__ import annotations

import itertools
import random
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmarks.report import Limit, Result, Table
from benchmarks.route.data import azure
from benchmarks.route.world import NOW, World, azure_world, some_nodes
from edgeproxy.router.nodes import RouteNode
from edgeproxy.router.policies import GeoRtt, Policy, RoundRobin
from edgeproxy.router.rendezvous import ranked
from edgeproxy.router.snapshot import RouteObject, RouteRules, Snapshot

NODES, OBJECTS, EXPONENT, KEPT = 10, 20_000, 0.9, 600
ORIGIN = "north-central-us"  # Chicago
WINDOW = 4000  # requests that a load is measured over
FULL_MEANS = 2.0  # a node can do twice the mean of all


@dataclass(frozen=True, slots=True)
class Outcome:
    rtt: float
    hit: float
    total: float
    load: float  # of the most asked node, by the mean


Pick = Callable[[int, RouteObject, Snapshot], int]


def run(world: World, pick: Pick, fills: list[float], requests: int, rules: RouteRules, seed: int) -> Outcome:
    """A fifth of `requests` goes before, to fill the caches."""
    chance = random.Random(seed)
    weights = list(itertools.accumulate(1 / k**EXPONENT for k in range(1, OBJECTS + 1)))
    wanted = chance.choices(range(OBJECTS), cum_weights=weights, k=requests)
    caches: list[OrderedDict[int, None]] = [OrderedDict() for _ in world.nodes]
    window: deque[int] = deque()
    recent, served = [0] * len(world.nodes), [0] * len(world.nodes)
    snapshot = world.snapshot(rules)
    rtt = total = hits = 0.0
    warm = requests // 5
    for number, key in enumerate(wanted):
        who = chance.randrange(len(world.clients))
        if number % 50 == 0:  # a map every 50 requests
            snapshot = replace(snapshot, nodes=_loaded(world, recent, len(window)))
        node = pick(who, RouteObject(f"model-{key}", is_large=True), snapshot)
        window.append(node)
        recent[node] += 1
        if len(window) > WINDOW:
            recent[window.popleft()] -= 1
        cache = caches[node]
        is_hit = key in cache
        cache[key] = None
        cache.move_to_end(key)
        if len(cache) > KEPT:
            cache.popitem(last=False)
        if number >= warm:
            way = world.truth[who][node]
            served[node] += 1
            hits += is_hit
            rtt += way
            total += way + (0.0 if is_hit else fills[node])
    count = requests - warm
    return Outcome(rtt / count, hits / count, total / count, max(served) * len(served) / count)


def _loaded(world: World, recent: list[int], count: int) -> tuple[RouteNode, ...]:
    mean = max(1.0, count / len(world.nodes))
    return tuple(
        replace(node, utilisation=took / (mean * FULL_MEANS) if count >= WINDOW // 4 else 0.0)
        for node, took in zip(world.nodes, recent, strict=True)
    )


def _policy(world: World, policy: Policy) -> Pick:
    numbers = world.numbers

    def pick(who: int, asked: RouteObject, snapshot: Snapshot) -> int:
        node = policy.decide(world.clients[who], asked, snapshot, NOW).node
        assert node is not None
        return numbers[node.name]

    return pick


def measure(result: Result, *, quick: bool) -> None:
    requests = 2000 if quick else 40_000
    chance, data = random.Random(1), azure()
    drawn = some_nodes(data, NODES, chance)
    world = azure_world(data, drawn, 1.0, chance)
    fills = [data.rtt[site][data.number(ORIGIN)] for site in drawn]
    names = [node.name for node in world.nodes]
    unbounded = RouteRules(full=1e9, overfull=2e9, queue_ms=0.0)

    def hashed(who: int, asked: RouteObject, snapshot: Snapshot) -> int:
        return names.index(ranked(asked.key, [(name, 1.0) for name in names])[0])

    def near(who: int, asked: RouteObject, snapshot: Snapshot) -> int:
        return min(range(NODES), key=world.truth[who].__getitem__)

    runs: list[tuple[str, Pick, RouteRules]] = [
        ("round robin", _policy(world, RoundRobin()), RouteRules()),
        ("nearest", near, RouteRules()),
        ("hash over all", hashed, RouteRules()),
        ("geo+rtt, 0 ms for affinity", _policy(world, GeoRtt()), _budget(0.0)),
        ("geo+rtt, 10 ms", _policy(world, GeoRtt()), _budget(10.0)),
        ("geo+rtt, 25 ms (the default for large objects)", _policy(world, GeoRtt()), RouteRules()),
        ("geo+rtt, 50 ms", _policy(world, GeoRtt()), _budget(50.0)),
        ("geo+rtt, 25 ms, load not looked at", _policy(world, GeoRtt()), unbounded),
    ]
    rows, found = [], {}
    for name, pick, rules in runs:
        made = found[name] = run(world, pick, fills, requests, rules, 1)
        figures = (f"{made.rtt:.1f}", f"{made.hit:.3f}", f"{made.total:.1f}", f"{made.load:.1f}")
        rows.append([name, *figures])
    title = (
        f"Ten nodes ({', '.join(names)}), all ways known, {OBJECTS:,} objects by Zipf({EXPONENT}), each "
        f"node keeps {KEPT}; a miss is fetched from {ORIGIN}"
    )
    result.tables.append(Table(["policy", "rtt ms", "hits", "rtt + miss", "most / mean load"], rows, title))
    ours = found["geo+rtt, 25 ms (the default for large objects)"]
    told = f"{ours.total:.1f} ms, {ours.load:.2f}"
    is_met = ours.total <= 125 and ours.load <= 2.0
    result.limits.append(Limit("affinity: rtt + miss, most / mean load", "<= 125 ms, <= 2", told, is_met))
    result.data["affinity"] = {name: {"total": one.total, "load": one.load} for name, one in found.items()}


def _budget(milliseconds: float) -> RouteRules:
    share = 1.0 if milliseconds == 0 else RouteRules().near_share
    return RouteRules(affinity_budget_large_ms=milliseconds, near_share=share)
