"""The nodes a client may be sent to, as the router knows them at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from edgeproxy.router.client import Network
from edgeproxy.router.place import Place


class NodeState(StrEnum):
    """What a node is able and meant to do."""

    UP = "up"
    DEGRADED = "degraded"  # serves, but something is wrong: taken when no other is near
    DOWN = "down"
    DRAINING = "draining"  # told to take no new clients
    MAINTENANCE = "maintenance"  # told to take none at all


@dataclass(frozen=True, slots=True)
class RouteNode:
    """`url` is where clients are sent, without a slash at the end; `addresses` are for DNS. `capacity` is in
    any unit common to all. Empty `countries`, `networks` and `asns` serve everybody. `started` is since when
    it takes clients again after it was down (slow start), None if it never was."""

    name: str
    url: str = ""
    addresses: tuple[str, ...] = ()
    place: Place | None = None
    asn: int = 0
    region: str = ""
    capacity: float = 1.0
    weight: float = 1.0
    state: NodeState = NodeState.UP
    utilisation: float = 0.0  # the most used of connections, bandwidth, processor, loop, each over its limit
    in_flight: int = 0
    countries: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()
    asns: frozenset[int] = frozenset()
    fill_ms: float = 0.0  # what a miss costs here: the way to its parent and the first byte
    policy_ms: float = 0.0  # what the operator adds or takes
    holds: frozenset[int] | None = None  # digests of what it has; None if that is not told
    started: float | None = None
    scheme: str = "http"
    zone_members: tuple[str, ...] = ()  # nodes of one site that stand for one

    @property
    def takes_clients(self) -> bool:
        return self.state in (NodeState.UP, NodeState.DEGRADED)
