"""What clients say of nodes: a soft failure of the client's group and the node.

Anybody may complain, so a complaint binds the complaining group only; what many unlike groups say is one
point's look among others."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

LASTING_SECONDS = 600.0
MANY = 5  # groups within ...
MANY_SECONDS = 30.0
NODES_MAX = 8  # that one group may complain of: who complains of all wants something else


class Complaints:
    """Bounded: the oldest leave first."""

    def __init__(self, groups_max: int) -> None:
        self._groups_max = groups_max
        self._made: OrderedDict[Hashable, dict[str, float]] = OrderedDict()
        self._lately: dict[str, dict[Hashable, float]] = {}  # by node, emptied when there are many

    def made(self, group: Hashable, node: str, now: float) -> bool:
        """Whether many groups have now complained of this node."""
        nodes = self._made.setdefault(group, {})
        self._made.move_to_end(group)
        if len(self._made) > self._groups_max:
            self._made.popitem(last=False)
        if node not in nodes and len(nodes) >= NODES_MAX:
            nodes.pop(min(nodes, key=lambda name: nodes[name]))
        nodes[node] = now
        lately = self._lately.setdefault(node, {})
        lately[group] = now
        for one in [one for one, at in lately.items() if now - at > MANY_SECONDS]:
            del lately[one]
        if len(lately) < MANY:
            return False
        lately.clear()
        return True

    def of(self, group: Hashable, now: float) -> frozenset[str]:
        """The nodes that `group` has complained of and not served since."""
        nodes = self._made.get(group)
        if nodes is None:
            return frozenset()
        return frozenset(name for name, at in nodes.items() if now - at <= LASTING_SECONDS)
