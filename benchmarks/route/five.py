"""Five nodes in four regions: what clients wait for under each policy, in an open and in a closed loop."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from benchmarks.report import Limit, Plot, Result, Series, Table
from benchmarks.route.data import azure
from benchmarks.route.figures import COLUMNS, Figures, figures
from benchmarks.route.world import NOW, World, azure_world, loaded
from edgeproxy.router.policies import Geo, GeoRtt, LeastConnections, Policy, RoundRobin
from edgeproxy.router.snapshot import Snapshot

SITES = ("east-us", "west-us-2", "west-europe", "southeast-asia", "brazil-south")
KNOWN = 0.25
SERVICE_MS = 50.0  # of the node and of the bytes, beside two round trips: handshake and request
USERS = 200  # of a closed loop
RATE = 1.0  # requests in a millisecond, in an open one
FULL_AT = 250  # in flight at one node
TIMES = 2.2

Picker = Callable[[int, Sequence[int]], int]


@dataclass(frozen=True, slots=True)
class Loop:
    name: str
    is_closed: bool


OPEN, CLOSED = Loop("open", False), Loop("closed", True)


def run(world: World, pick: Picker, loop: Loop, requests: int, seed: int) -> tuple[list[float], list[float]]:
    """Round trips chosen, and the least possible ones. `pick` gets the client and what is in flight where."""
    chance = random.Random(seed)
    flying = [0] * len(world.nodes)
    ends: list[tuple[float, int]] = []  # when an answer is there, and of which node
    now, chosen, best = 0.0, [], []
    while len(chosen) < requests:
        if loop.is_closed and len(ends) >= USERS:
            now, node = heapq.heappop(ends)
            flying[node] -= 1
        elif not loop.is_closed:
            now += chance.expovariate(RATE)
            while ends and ends[0][0] <= now:
                flying[heapq.heappop(ends)[1]] -= 1
        number = chance.randrange(len(world.clients))
        node = pick(number, flying)
        rtt = world.truth[number][node]
        flying[node] += 1
        heapq.heappush(ends, (now + 2 * rtt + SERVICE_MS, node))
        chosen.append(rtt)
        best.append(min(world.truth[number]))
    return chosen, best


def by_policy(world: World, policy: Policy, snapshot: Snapshot) -> Picker:
    numbers = world.numbers

    def pick(number: int, flying: Sequence[int]) -> int:
        nodes = loaded(world.nodes, flying, FULL_AT)
        node = policy.decide(world.clients[number], None, replace(snapshot, nodes=nodes), NOW).node
        assert node is not None
        return numbers[node.name]

    return pick


def pickers(world: World, seed: int) -> dict[str, Picker]:
    """Whom a table compares; those that are no policies of the router are benchmarks for them."""
    snapshot, chance = world.snapshot(), random.Random(seed)
    count = range(len(world.nodes))
    best_for_all = min(count, key=lambda node: sum(row[node] for row in world.truth))
    return {
        "random": lambda number, flying: chance.randrange(len(count)),
        "round robin": by_policy(world, RoundRobin(), snapshot),
        "least connections": by_policy(world, LeastConnections(), snapshot),
        "one node for all, the best": lambda number, flying: best_for_all,
        "geo": by_policy(world, Geo(), snapshot),
        "geo+rtt": by_policy(world, GeoRtt(), snapshot),
        "oracle": lambda number, flying: min(count, key=world.truth[number].__getitem__),
    }


def world_of(known: float, seed: int, *, country_only: bool = False) -> World:
    sites = azure()
    drawn = [sites.number(name) for name in SITES]
    return azure_world(sites, drawn, known, random.Random(seed), country_only=country_only)


def measure(result: Result, *, quick: bool) -> None:
    requests = 1000 if quick else 8000
    world = world_of(KNOWN, 1)
    found: dict[str, Figures] = {}
    for loop in (OPEN, CLOSED):
        rows = []
        for name, pick in pickers(world, 1).items():
            made = figures(*run(world, pick, loop, requests, 1))
            rows.append([name, *made.cells()])
            found[f"{name}, {loop.name}"] = made
        title = f"Five nodes ({', '.join(SITES)}), the other 38 regions are clients, {loop.name} loop"
        result.tables.append(Table(["policy", *COLUMNS], rows, title))
    result.tables.append(_places(requests))
    _judge(result, found)
    result.plots.append(plotted(found))


def plotted(found: dict[str, Figures]) -> Plot:
    """The policies of the open loop."""
    by_policy = {name.removesuffix(", open"): one for name, one in found.items() if name.endswith(", open")}
    series = [
        Series(label, [(name, getattr(one, label)) for name, one in by_policy.items()])
        for label in ("mean", "p50", "p95")
    ]
    title = "Round trip to the chosen node, five nodes in four regions, open loop"
    return Plot(title, "bars", "policy", "ms", series)


def _judge(result: Result, found: dict[str, Figures]) -> None:
    for loop in (OPEN, CLOSED):
        robin, both = found[f"round robin, {loop.name}"].mean, found[f"geo+rtt, {loop.name}"].mean
        what = f"five nodes, {loop.name} loop: mean of round robin by that of geo+rtt"
        result.limits.append(Limit(what, f">= {TIMES}x", f"{robin / both:.2f}x", robin >= TIMES * both))
    result.data["five nodes"] = {
        name: {"mean": one.mean, "p50": one.p50, "p95": one.p95} for name, one in found.items()
    }


def _places(requests: int) -> Table:
    """The same where all that is known of a client is its country, as by the table in the package."""
    rows = []
    for known in (0.0, KNOWN, 1.0):
        for told, country_only in (("its city", False), ("its country", True)):
            world = world_of(known, 1, country_only=country_only)
            snapshot = world.snapshot()
            for name, policy in (("geo", Geo()), ("geo+rtt", GeoRtt())):
                pick = by_policy(world, policy, snapshot)
                made = figures(*run(world, pick, OPEN, requests // 4, 1))
                rows.append([f"{known:.0%}", told, name, *made.cells()])
    columns = ["pairs known", "known of a client", "policy", *COLUMNS]
    return Table(columns, rows, "The same five nodes, open loop: what is known of places and of ways")
