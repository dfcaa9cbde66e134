"""How long a decision takes among fifty nodes, with a table of what was learned that is full of clients."""

from __future__ import annotations

import random
import time

from benchmarks import machine
from benchmarks.report import Limit, Result, Table
from benchmarks.route.figures import percentile
from benchmarks.route.world import NOW, client
from edgeproxy.router import country_table
from edgeproxy.router.client import Client, Whereabouts
from edgeproxy.router.decide import Asking, decide
from edgeproxy.router.explanation import explanation
from edgeproxy.router.learner import Learner
from edgeproxy.router.nodes import RouteNode
from edgeproxy.router.place import Place
from edgeproxy.router.snapshot import RouteObject, Snapshot

NODES, CLIENTS, TOLD = 50, 5000, 40_000
MAP_EVERY = 2000  # decisions: a new map, which has forgotten what was asked of it


def measure(result: Result, *, quick: bool) -> None:
    machine.pin(machine.server_core())
    chance = random.Random(3)
    learned = 10_000 if quick else TOLD
    nodes, clients, learner = _world(chance, learned)
    count = 2000 if quick else 20_000
    rows = []
    for name, asked in (("an object", True), ("no object (DNS)", False)):
        spent, maps = _timed(nodes, clients, learner, count, asked, chance)
        p99 = percentile(spent, 0.99)
        rows.append(
            [
                name,
                f"{1e3 * len(spent) / sum(spent):,.0f}",
                *(f"{percentile(spent, share):.3f}" for share in (0.5, 0.99, 0.999)),
                f"{max(spent):.2f}",
                f"{percentile(maps, 0.5):.0f}",
            ]
        )
        what = f"a decision for {name} at {NODES} nodes, p99"
        result.limits.append(Limit(what, "<= 1 ms", f"{p99:.3f} ms", p99 <= 1.0))
        result.data[f"decision, {name}"] = {"p50_ms": percentile(spent, 0.5), "p99_ms": p99}
    told = f"{CLIENTS:,} clients in all countries, {learned:,} round trips told"
    columns = ["for", "decisions/s", "p50 ms", "p99 ms", "p99.9 ms", "most ms", "a new map, ms"]
    told += f", a new map every {MAP_EVERY:,} decisions"
    title = f"Processor time of a decision, {NODES} nodes: {told}"
    result.tables.append(Table(columns, rows, title))
    _explaining(result, nodes, clients, learner)


def _world(chance: random.Random, told: int) -> tuple[tuple[RouteNode, ...], list[Client], Learner]:
    points = sorted(country_table.embedded().points.items())
    nodes = tuple(
        RouteNode(f"node-{number}", place=chance.choice(points)[1][0], utilisation=chance.uniform(0, 0.8))
        for number in range(NODES)
    )
    clients = []
    for number in range(CLIENTS):
        country, (point, _) = chance.choice(points)
        near = Place(
            max(-89.0, min(89.0, point.latitude + chance.gauss(0, 1.5))),
            point.longitude + chance.gauss(0, 1.5),
        )
        clients.append(client(number, Whereabouts(country, near, 64500 + chance.randrange(400))))
    learner = Learner()
    for number in range(told):
        asking, node = chance.choice(clients), chance.choice(nodes)
        learner.told(asking, node.name, node.place, chance.uniform(5, 300), NOW + number / 100)
    return nodes, clients, learner


def _timed(
    nodes: tuple[RouteNode, ...],
    clients: list[Client],
    learner: Learner,
    count: int,
    with_object: bool,
    chance: random.Random,
) -> tuple[list[float], list[float]]:
    """Milliseconds of each decision and of each map."""
    spent, maps = [], []
    snapshot = Snapshot(nodes)
    now = NOW + TOLD / 100
    for number in range(count):
        if number % MAP_EVERY == 0:
            begun = time.thread_time()
            snapshot = Snapshot(nodes, learner.beliefs(), generation=number)
            maps.append(1e3 * (time.thread_time() - begun))
        asking = chance.choice(clients)
        asked = RouteObject(f"object-{number}") if with_object else None
        chances = Asking(chance=chance.random())
        begun = time.thread_time()
        decide(asking, asked, snapshot, now, chances)
        spent.append(1e3 * (time.thread_time() - begun))
    return spent, maps


def _explaining(
    result: Result, nodes: tuple[RouteNode, ...], clients: list[Client], learner: Learner
) -> None:
    snapshot, spent = Snapshot(nodes, learner.beliefs()), []
    for asking in clients[:200]:
        begun = time.thread_time()
        explanation(asking, RouteObject("object"), snapshot, NOW + TOLD / 100)
        spent.append(1e3 * (time.thread_time() - begun))
    result.data["explanation_p50_ms"] = percentile(spent, 0.5)
