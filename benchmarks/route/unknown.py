"""Azure, five nodes: what is lost where few ways, or all, have been measured."""

from __future__ import annotations

import random
from dataclasses import dataclass

from benchmarks.report import Limit, Table
from benchmarks.route.data import azure
from benchmarks.route.figures import figures, percentile
from benchmarks.route.world import NOW, World, azure_world, some_nodes
from edgeproxy.router.policies import Geo, GeoRtt, Policy
from edgeproxy.router.snapshot import RouteRules, Snapshot

NODES = 5
SETS, DRAWS = 100, 10  # a seed set is the mean of ten draws


@dataclass(frozen=True, slots=True)
class Drawn:
    """The mean round trips of one draw of nodes, known pairs and noise."""

    oracle: float
    geo: float
    geo_rtt: float


def picked(world: World, policy: Policy, snapshot: Snapshot) -> list[float]:
    """Where each client is sent: the true round trip."""
    numbers, found = world.numbers, []
    for asking, truth in zip(world.clients, world.truth, strict=True):
        node = policy.decide(asking, None, snapshot, NOW).node
        assert node is not None
        found.append(truth[numbers[node.name]])
    return found


def drawn(seed: int, known: float, rules: RouteRules = RouteRules()) -> Drawn:
    chance = random.Random(seed)
    data = azure()
    world = azure_world(data, some_nodes(data, NODES, chance), known, chance)
    snapshot = world.snapshot(rules)
    oracle, geo, both = (
        sum(values) / len(values)
        for values in (
            [min(truth) for truth in world.truth],
            picked(world, Geo(), snapshot),
            picked(world, GeoRtt(), snapshot),
        )
    )
    return Drawn(oracle, geo, both)
