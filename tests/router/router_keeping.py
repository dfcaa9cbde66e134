"""A keeper with a clock that is set by hand."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network
from typing import Any

from router.router_world import COUNTRIES, NOW, PLACES, node

from edgeproxy.router.announcement import Announcement, AnnounceRules
from edgeproxy.router.client import Whereabouts
from edgeproxy.router.keeper import Keeper, KeeperSettings
from edgeproxy.router.nodes import NodeState, RouteNode
from edgeproxy.router.registry import Listed, Registry

ALLOWED = AnnounceRules(
    token="all", urls=("https://*.edge.example",), networks=(ip_network("203.0.113.0/24"),), nodes_max=5
)


class Clock:
    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Plain:
    """The second number of an address says which city it is in."""

    def whereabouts(self, address: Any) -> Whereabouts:
        cities = sorted(PLACES)
        number = int(str(address).split(".")[1]) if "." in str(address) else len(cities)
        if number >= len(cities):
            return Whereabouts()
        city = cities[number]
        return Whereabouts(COUNTRIES[city], PLACES[city])


def address_in(city: str, number: int = 1) -> str:
    return f"8.{sorted(PLACES).index(city)}.{number}.7"


class House:
    """A keeper of nodes that are named after their cities, and everything around it."""

    def __init__(self, cities: Iterable[str] = ("berlin", "paris", "tokyo"), **settings: Any) -> None:
        self.clock = Clock()
        self.lines: list[str] = []
        self.registry = Registry(ALLOWED)
        self.registry.configure([Listed(node(city)) for city in cities])
        self.keeper = Keeper(
            self.registry, Plain(), KeeperSettings(**settings), clock=self.clock, report=self.lines.append
        )

    def node(self, name: str) -> RouteNode:
        return next(one for one in self.keeper.snapshot.nodes if one.name == name)

    def down(self) -> set[str]:
        return {one.name for one in self.keeper.snapshot.nodes if one.state is NodeState.DOWN}

    def looks(self, times: int = 1, **alive: bool) -> None:
        """Rounds of looks of this router, five seconds apart."""
        for _ in range(times):
            self.clock.now += 5.0
            for name, is_alive in alive.items():
                self.keeper.looked(name, is_alive)
            self.keeper.publish()


def announcement(name: str = "oslo", *, at: float = NOW, **fields: Any) -> Announcement:
    fields = {"url": "https://oslo.edge.example", **fields}
    return Announcement(name, at, **fields)
