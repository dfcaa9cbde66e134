"""Five nodes on loopback addresses, each behind a link that is as long as the way to it from where its client
is, and a router before them, which answers over HTTP and DNS."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stands.node import Node
from stands.ways import Point, Ways, round_trip

PLACES: dict[str, Point] = {
    "paris": (48.9, 2.4),
    "tokyo": (35.7, 139.7),
    "denver": (39.7, -105.0),
    "santos": (-24.0, -46.3),
    "sydney": (-33.9, 151.2),
}
# Addresses of countries that the embedded table knows, and the node that is nearest to each.
CLIENTS = {
    "paris": "81.2.69.142",
    "tokyo": "133.11.0.1",
    "denver": "8.8.8.8",
    "santos": "200.160.2.3",
    "sydney": "139.130.4.5",
}
# The addresses that those clients have in these tests. Only links know that they are not all here.
SOURCES = {name: f"127.0.2{number}.1" for number, name in enumerate(PLACES, 1)}
SECRET = "a secret of routers and nodes".replace(" ", "-") + "-0123"
NAME = "cdn.example"
StartNode = Callable[..., Node]


class Fleet:
    """`nodes` by the name of their place, `addresses` where clients meet them; `router` sends clients there,
    and is in Paris."""

    def __init__(
        self,
        start_node: StartNode,
        ways: Ways,
        sites: Sequence[Mapping[str, Any]],
        sections: Mapping[str, Any] | None = None,
        coverage: Sequence[Mapping[str, Any]] = (),
        **router: Any,
    ) -> None:
        self.coverage = list(coverage)
        self.nodes: dict[str, Node] = {}
        self.addresses: dict[str, tuple[str, int]] = {}
        for number, (name, place) in enumerate(PLACES.items(), 1):
            own = {
                "listen": {"http": [f"127.0.1.{number}:0"]},
                "node": {"name": name},
                "router": {"secret": SECRET},
                **(sections or {}),
            }
            node = self.nodes[name] = start_node(sites, own)
            clients = {SOURCES[client]: round_trip(PLACES[client], place) for client in PLACES}
            self.addresses[name] = ways.lay(node.http[0], node.http, clients[SOURCES["paris"]], clients)
        self.sites = sites
        self.settings = {"secret": SECRET, "redirect_above": "100KiB", "reask": "0s", **router}
        self.router = start_node(sites, self.sections(), command="route")

    def sections(self, **changes: Mapping[str, Any]) -> dict[str, Any]:
        """The router's; `changes` are those of nodes, by name."""
        return {
            "listen": {"http": ["127.0.0.1:0"], "trusted_clients": ["127.0.0.0/8"]},
            "router": self.settings,
            "router.coverage": self.coverage,
            "router.dns": {"listen": ["127.0.0.1:0"], "answers": 1, "unlimited": ["127.0.0.0/8"]},
            "router.dns.zone": [{"name": NAME, "names": ["@"], "nameservers": [f"ns1.{NAME}."]}],
            "router.node": [
                {
                    "name": name,
                    "url": self.url(name),
                    "addresses": [self.addresses[name][0]],
                    "latitude": PLACES[name][0],
                    "longitude": PLACES[name][1],
                    **changes.get(name, {}),
                }
                for name in self.nodes
            ],
        }

    def url(self, name: str, target: str = "") -> str:
        """Of a node, as clients know it."""
        host, port = self.addresses[name]
        return f"http://{host}:{port}{target}"

    def served_by(self, answer_host: str) -> str:
        """The name of the node at host:port of a URL, or at an address."""
        found = [
            name for name, (host, port) in self.addresses.items() if answer_host in (host, f"{host}:{port}")
        ]
        return found[0] if found else ""
