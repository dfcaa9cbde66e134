"""Three nodes on loopback addresses, far apart by what the router is told, and a router before them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stands.node import Node

# Addresses of countries that the embedded table knows, and the node that is nearest to each.
CLIENTS = {"paris": "81.2.69.142", "tokyo": "133.11.0.1", "denver": "8.8.8.8"}
PLACES = {"paris": (48.9, 2.4), "tokyo": (35.7, 139.7), "denver": (39.7, -105.0)}
SECRET = "a secret of routers and nodes".replace(" ", "-") + "-0123"
StartNode = Callable[..., Node]


class Fleet:
    """`nodes` by the name of their place; `router` sends clients to them."""

    def __init__(
        self,
        start_node: StartNode,
        sites: Sequence[Mapping[str, Any]],
        sections: Mapping[str, Any] | None = None,
        **router: Any,
    ) -> None:
        self.nodes: dict[str, Node] = {}
        for number, name in enumerate(PLACES, 1):
            own = {
                "listen": {"http": [f"127.0.1.{number}:0"]},
                "node": {"name": name},
                "router": {"secret": SECRET},
                **(sections or {}),
            }
            self.nodes[name] = start_node(sites, own)
        self.sites = sites
        self.settings = {"secret": SECRET, "redirect_above": "100KiB", "reask": "0s", **router}
        self.router = start_node(sites, self.sections(), command="route")

    def sections(self, **changes: Mapping[str, Any]) -> dict[str, Any]:
        """The router's; `changes` are those of nodes, by name."""
        return {
            "listen": {"http": ["127.0.0.1:0"], "trusted_clients": ["127.0.0.0/8"]},
            "router": self.settings,
            "router.health": {"interval": "500ms", "timeout": "2s"},
            "router.node": [
                {
                    "name": name,
                    "url": node.url(),
                    "latitude": PLACES[name][0],
                    "longitude": PLACES[name][1],
                    **changes.get(name, {}),
                }
                for name, node in self.nodes.items()
            ],
        }

    def served_by(self, answer_host: str) -> str:
        """The name of the node at host:port of a URL."""
        found = [name for name, node in self.nodes.items() if f"{node.http[0]}:{node.http[1]}" == answer_host]
        return found[0] if found else ""
