"""A small world: a few places, clients at them, nodes near some."""

from __future__ import annotations

from typing import Any

from edgeproxy.router.client import Client, Whereabouts, identify, parse
from edgeproxy.router.nodes import RouteNode
from edgeproxy.router.place import Place

NOW = 1_700_000_000.0
PLACES = {
    "berlin": Place(52.5, 13.4),
    "paris": Place(48.9, 2.4),
    "tokyo": Place(35.7, 139.7),
    "sydney": Place(-33.9, 151.2),
    "denver": Place(39.7, -105.0),
}
COUNTRIES = {"berlin": "DE", "paris": "FR", "tokyo": "JP", "sydney": "AU", "denver": "US"}


class Atlas:
    """Knows of every address what it was told."""

    def __init__(self, **known: Whereabouts) -> None:
        self._known = known

    def whereabouts(self, address: Any) -> Whereabouts:
        return self._known.get(str(address).replace(".", "_"), Whereabouts())


def client_at(city: str, *, number: int = 1, asn: int = 0) -> Client:
    where = Whereabouts(COUNTRIES[city], PLACES[city], asn)
    address = parse(f"198.{sorted(PLACES).index(city)}.{number}.7")
    assert address is not None
    return identify(address, _At(where))


class _At:
    def __init__(self, where: Whereabouts) -> None:
        self._where = where

    def whereabouts(self, address: Any) -> Whereabouts:
        return self._where


def node(city: str, name: str = "", **changes: Any) -> RouteNode:
    return RouteNode(name or city, url=f"http://{name or city}.example", place=PLACES[city], **changes)
