"""Which nodes may serve a client at all; each refusal has a name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from edgeproxy.router.client import Client
from edgeproxy.router.coverage import Coverage, Elsewhere, Entry
from edgeproxy.router.nodes import NodeState, RouteNode


class Refusal(StrEnum):
    """Why a node is not among the candidates."""

    DOWN = "down"
    DRAINING = "draining"
    MAINTENANCE = "maintenance"
    FAMILY = "no address of the client's family"
    SCHEME = "not over the client's scheme"
    COUNTRY = "does not serve the client's country"
    NETWORK = "does not serve the client's network"
    COVERAGE = "the coverage map names other nodes"
    COMPLAINT = "the client has complained of it"
    OVERFULL = "overfull"


@dataclass(frozen=True, slots=True)
class Refused:
    node: str
    reason: Refusal


@dataclass(frozen=True, slots=True)
class Eligible:
    """`nodes` in the order given, `refused` with reasons. `covered` is the entry that decided, if one did.
    `panic`: more than half are down, which says more about who looks than about them, so that their states
    are not believed. `to_origin`: this client is to be sent to the original URL."""

    nodes: tuple[RouteNode, ...]
    refused: tuple[Refused, ...]
    covered: str = ""
    panic: bool = False
    to_origin: bool = False


_BY_STATE = {
    NodeState.DOWN: Refusal.DOWN,
    NodeState.DRAINING: Refusal.DRAINING,
    NodeState.MAINTENANCE: Refusal.MAINTENANCE,
}


def eligible(
    nodes: Sequence[RouteNode],
    client: Client,
    coverage: Coverage,
    *,
    family: int = 0,
    scheme: str = "",
    excluded: frozenset[str] = frozenset(),
) -> Eligible:
    """`family` 4 or 6 where only that can be used, `excluded` the nodes the client has complained of."""
    if coverage.elsewhere is Elsewhere.ORIGIN and not coverage.is_served(client):
        return Eligible((), (), covered=f"country {client.whereabouts.country}", to_origin=True)
    panic = _is_panic(nodes)
    found = coverage.entry(client)
    refused: list[Refused] = []
    usable: list[RouteNode] = []
    for node in nodes:
        reason = _refusal(node, client, panic=panic, family=family, scheme=scheme, excluded=excluded)
        if reason is None:
            usable.append(node)
        else:
            refused.append(Refused(node.name, reason))
    if found is None:
        return Eligible(tuple(usable), tuple(refused), panic=panic)
    return _covered(usable, refused, *found, panic=panic)


def _covered(
    usable: list[RouteNode], refused: list[Refused], entry: Entry, by: str, *, panic: bool
) -> Eligible:
    named = [node for name in entry.nodes for node in usable if node.name == name]
    if not named:  # what the map names cannot be used now: any other is better than none
        return Eligible(tuple(usable), tuple(refused), panic=panic)
    others = [Refused(node.name, Refusal.COVERAGE) for node in usable if node not in named]
    return Eligible(tuple(named), (*refused, *others), covered=by, panic=panic)


def _is_panic(nodes: Sequence[RouteNode]) -> bool:
    meant = [node for node in nodes if node.state not in (NodeState.MAINTENANCE, NodeState.DRAINING)]
    down = sum(node.state is NodeState.DOWN for node in meant)
    return len(meant) > 1 and down * 2 > len(meant)


def _refusal(
    node: RouteNode,
    client: Client,
    *,
    panic: bool,
    family: int,
    scheme: str,
    excluded: frozenset[str],
) -> Refusal | None:
    by_state = _BY_STATE.get(node.state)
    if by_state is not None and not (panic and node.state is NodeState.DOWN):
        return by_state
    if node.name in excluded:
        return Refusal.COMPLAINT
    if family and node.addresses and not any((":" in text) == (family == 6) for text in node.addresses):
        return Refusal.FAMILY
    if scheme and node.scheme != scheme:
        return Refusal.SCHEME
    where = client.whereabouts
    if node.countries and where.country not in node.countries:
        return Refusal.COUNTRY
    if (node.networks or node.asns) and not _is_inside(node, client):
        return Refusal.NETWORK
    return None


def _is_inside(node: RouteNode, client: Client) -> bool:
    if client.whereabouts.asn in node.asns:
        return True
    address = client.address
    return address is not None and any(
        address.version == network.version and address in network for network in node.networks
    )
