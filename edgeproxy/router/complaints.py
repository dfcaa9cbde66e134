"""What clients say of nodes: a soft failure of the client's group and the node.

Anybody may complain, so who says that a node does not serve it is not sent there for a while, and nobody else
is kept from it: a group is a whole network. What many unlike groups say is one point's look among others."""

from __future__ import annotations

from collections.abc import Hashable

from edgeproxy.router.client import Address
from edgeproxy.router.crowding import crowded_out

LASTING_SECONDS = 600.0
MANY = 5  # groups within ...
MANY_SECONDS = 30.0
CLIENTS_MAX = 20_000  # that may exclude nodes at a time
NODES_MAX = 8  # that one client may exclude: who complains of all wants something else
NOBODY: frozenset[str] = frozenset()


def number_of(address: Address) -> int:
    """Of one client: of IPv6 a network of 64 bits is one, which has all its addresses for itself."""
    return int(address) if address.version == 4 else int(address) >> 64 | 1 << 64


class Complaints:
    """Bounded: the oldest leave first."""

    def __init__(self, clients_max: int = CLIENTS_MAX) -> None:
        self._clients_max = clients_max
        self._excluded: dict[int, dict[str, float]] = {}  # by client
        self._lately: dict[str, dict[Hashable, float]] = {}  # by node, emptied when there are many

    @property
    def is_empty(self) -> bool:
        """Whether no client has asked not to be sent somewhere."""
        return not self._excluded

    def made(self, group: Hashable, node: str, now: float) -> bool:
        """Whether many groups have now complained of this node."""
        lately = self._lately.setdefault(node, {})
        lately[group] = now
        for one in [one for one, at in lately.items() if now - at > MANY_SECONDS]:
            del lately[one]
        if len(lately) < MANY:
            return False
        lately.clear()
        return True

    def excluded(self, client: int, node: str, now: float) -> None:
        """`client` (see `number_of`) is not to be sent to this node for a while."""
        nodes = self._excluded.pop(client, {})
        self._excluded[client] = nodes
        crowded_out(self._excluded, self._clients_max)
        if node not in nodes and len(nodes) >= NODES_MAX:
            nodes.pop(min(nodes, key=lambda name: nodes[name]))
        nodes[node] = now

    def of(self, client: int, now: float) -> frozenset[str]:
        """The nodes that `client` is not to be sent to."""
        if not self._excluded or (nodes := self._excluded.get(client)) is None:
            return NOBODY
        return frozenset(name for name, at in nodes.items() if now - at <= LASTING_SECONDS)
