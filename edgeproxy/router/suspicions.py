"""What clients met that makes a node worth another look: they complained of it, or a request that was passed
on to it failed. The look decides, not the client: who asks for many bad things cannot take a node away."""

from __future__ import annotations

from collections.abc import Hashable

from edgeproxy.router.crowding import crowded_out

RAISED_SECONDS = 10.0  # between two suspicions that a client group can raise against a node
LOOK_SECONDS = 1.0  # between two failures that count as looks: many at once are one
ENTRIES_MAX = 10_000


class Suspicions:
    """Bounded: the oldest leave first."""

    def __init__(self, entries_max: int = ENTRIES_MAX) -> None:
        self._entries_max = entries_max
        self._raised: dict[tuple[Hashable, str], float] = {}
        self._looked: dict[str, float] = {}

    def raised(self, group: Hashable, node: str, now: float) -> bool:
        """Whether this is to be heeded: the group has raised none against the node lately."""
        before = self._raised.get((group, node))
        if before is not None and 0 <= now - before < RAISED_SECONDS:
            return False
        self._raised.pop((group, node), None)
        self._raised[group, node] = now
        crowded_out(self._raised, self._entries_max)
        return True

    def counts_as_look(self, node: str, now: float) -> bool:
        """Whether a failure is one look more; several at the same time have one cause."""
        before = self._looked.get(node)
        if before is not None and 0 <= now - before < LOOK_SECONDS:
            return False
        self._looked[node] = now
        crowded_out(self._looked, self._entries_max)
        return True
