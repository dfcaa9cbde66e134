"""Nodes, clients, and what a router has been told of the ways between them. No socket, no clock."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from benchmarks.route.data import Azure, Site
from edgeproxy.router import country_table
from edgeproxy.router.beliefs import CELL
from edgeproxy.router.client import Address, Client, Whereabouts, identify
from edgeproxy.router.learner import Learner
from edgeproxy.router.nodes import RouteNode
from edgeproxy.router.snapshot import RouteRules, Snapshot

NOW = 1_700_000_000.0
NOISE = 0.08  # of what is measured of a pair: log-normal, drawn once for each and not averaged away
CONNECTIONS = 20  # what a known pair was measured with
CONTINENTS_LEAST = 4
FIRST_ADDRESS = int(IPv4Address("11.0.0.0"))  # one /24 for each client


@dataclass(frozen=True, slots=True)
class _At:
    where: Whereabouts

    def whereabouts(self, address: Address) -> Whereabouts:
        return self.where


def client(number: int, where: Whereabouts = Whereabouts()) -> Client:
    return identify(IPv4Address(FIRST_ADDRESS + (number << 8) + 7), _At(where))


def at(site: Site, number: int, *, country_only: bool = False) -> Client:
    """A client in the city of the site, or, where only its country is known, at the main point of that."""
    place = _main_points()[site.country][0] if country_only else site.place
    return client(number, Whereabouts(site.country, place))


_POINTS: dict[str, tuple[object, str]] = {}


def _main_points() -> Mapping[str, tuple[object, str]]:
    if not _POINTS:
        _POINTS.update(country_table.embedded().points)
    return _POINTS


@dataclass(frozen=True, slots=True)
class World:
    """`truth[client][node]` in ms; `clients` and `nodes` in the same order as that."""

    nodes: tuple[RouteNode, ...]
    clients: tuple[Client, ...]
    truth: tuple[tuple[float, ...], ...]
    learner: Learner

    def snapshot(self, rules: RouteRules = RouteRules()) -> Snapshot:
        return Snapshot(self.nodes, self.learner.beliefs(), rules=rules)

    def rtt(self, number: int, node: str) -> float:
        return self.truth[number][self.numbers[node]]

    @property
    def numbers(self) -> dict[str, int]:
        return {node.name: number for number, node in enumerate(self.nodes)}


def some_nodes(data: Azure, count: int, chance: random.Random) -> list[int]:
    """Sites drawn at random, on at least four continents."""
    while True:
        drawn = chance.sample(range(len(data.sites)), count)
        if len({data.sites[number].continent for number in drawn}) >= CONTINENTS_LEAST:
            return drawn


def azure_world(
    data: Azure,
    drawn: Sequence[int],
    known: float,
    chance: random.Random,
    *,
    country_only: bool = False,
    noise: float = NOISE,
) -> World:
    """The `drawn` sites are nodes, which have probed each other; all others are clients, of whose pairs with
    the nodes a share of `known` was measured."""
    nodes = tuple(RouteNode(data.sites[n].name, place=data.sites[n].place) for n in drawn)
    others = [n for n in range(len(data.sites)) if n not in drawn]
    clients = tuple(at(data.sites[n], n, country_only=country_only) for n in others)
    learner = Learner()
    for site in drawn:
        prober = at(data.sites[site], site)
        for node, there in zip(nodes, drawn, strict=True):
            if there != site:
                _tell(learner, prober, node, data.rtt[site][there], chance, noise, finest=CELL)
    for site, asking in zip(others, clients, strict=True):
        for node, there in zip(nodes, drawn, strict=True):
            if chance.random() < known:
                _tell(learner, asking, node, data.rtt[site][there], chance, noise)
    truth = tuple(tuple(data.rtt[site][there] for there in drawn) for site in others)
    return World(nodes, clients, truth, learner)


def _tell(
    learner: Learner,
    asking: Client,
    node: RouteNode,
    rtt: float,
    chance: random.Random,
    noise: float,
    *,
    finest: int = 0,
) -> None:
    seen = rtt * math.exp(chance.gauss(0.0, noise))
    learner.told(asking, node.name, node.place, seen, NOW, connections=CONNECTIONS, finest=finest)


def loaded(nodes: Sequence[RouteNode], in_flight: Sequence[int], full_at: float) -> tuple[RouteNode, ...]:
    """`full_at`: as many in flight are all that a node of capacity 1 can do."""
    return tuple(
        replace(node, in_flight=flying, utilisation=flying / (full_at * node.capacity))
        for node, flying in zip(nodes, in_flight, strict=True)
    )
