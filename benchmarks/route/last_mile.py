"""Clients with a last mile: four in every Azure region, with an access and detours of their own."""

from __future__ import annotations

import random
from dataclasses import dataclass

from benchmarks.report import Result, Table
from benchmarks.route.data import Site, azure, last_mile
from benchmarks.route.figures import COLUMNS, figures
from benchmarks.route.five import SITES
from benchmarks.route.world import NOW, World, at
from edgeproxy.router.learner import Learner
from edgeproxy.router.nodes import RouteNode
from edgeproxy.router.place import distance_km, light_ms
from edgeproxy.router.policies import Geo, GeoRtt, RoundRobin

PER_REGION = 4
WAY_SIGMA = 0.15
SAMPLES = 20
SPIKES, JITTER = 0.05, 0.10


@dataclass(frozen=True, slots=True)
class _Model:
    stretch: dict[str, float]
    access_mu: float
    access_sigma: float

    def of(self, one: Site, other: Site) -> float:
        """Stretch against light in fibre between the continents of the two."""
        pair = "-".join(sorted((one.continent, other.continent)))
        return self.stretch.get(pair, 1.84)


def _model() -> _Model:
    told = last_mile()
    access = told["suggested_client_model"]["access_ms"]
    stretch = told["azure_dc_to_dc_2023_07"]["stretch_median_by_continent_pair"]
    return _Model(stretch, access["lognormal_mu"], access["lognormal_sigma"])


def world_of(known: float, seed: int) -> World:
    """Each known pair was measured by 20 connections, one in twenty of them 1.5 to 4 times too long."""
    chance, model, sites = random.Random(seed), _model(), azure().sites
    nodes = [site for site in sites if site.name in SITES]
    routed = tuple(RouteNode(site.name, place=site.place) for site in nodes)
    learner, clients, truth = Learner(), [], []
    for number, site in enumerate(sites):
        for one in range(PER_REGION):
            asking = at(site, number * PER_REGION + one)
            access = chance.lognormvariate(model.access_mu, model.access_sigma)
            row = []
            for node, there in zip(routed, nodes, strict=True):
                floor = light_ms(distance_km(site.place, there.place))
                way = model.of(site, there) * floor * chance.lognormvariate(0.0, WAY_SIGMA)
                row.append(access + max(floor, way))
                if chance.random() < known:
                    for sample in range(SAMPLES):
                        learner.told(asking, node.name, node.place, _seen(row[-1], chance), NOW + sample)
            clients.append(asking)
            truth.append(tuple(row))
    return World(routed, tuple(clients), tuple(truth), learner)


def _seen(rtt: float, chance: random.Random) -> float:
    if chance.random() < SPIKES:
        return rtt * chance.uniform(1.5, 4.0)
    return rtt * (1.0 + abs(chance.gauss(0.0, JITTER)))


def measure(result: Result, *, quick: bool) -> None:
    rows = []
    for known in (0.0, 0.25, 1.0):
        for policy in (RoundRobin(), Geo(), GeoRtt()):
            chosen: list[float] = []
            best: list[float] = []
            for seed in range(1 if quick else 5):
                world = world_of(known, seed)
                numbers, snapshot = world.numbers, world.snapshot()
                for asking, row in zip(world.clients, world.truth, strict=True):
                    node = policy.decide(asking, None, snapshot, NOW + SAMPLES).node
                    assert node is not None
                    chosen.append(row[numbers[node.name]])
                    best.append(min(row))
            rows.append([f"{known:.0%}", policy.name, *figures(chosen, best).cells()])
    title = (
        f"The model of the last mile: {PER_REGION} clients in each region, the same five nodes; a known pair "
        f"was seen by {SAMPLES} connections with jitter and spikes"
    )
    result.tables.append(Table(["pairs known", "policy", *COLUMNS], rows, title))
