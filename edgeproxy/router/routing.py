"""What the routers for HTTP and DNS know of who keeps the map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from edgeproxy.router.client import Address, Client
from edgeproxy.router.decide import Decision
from edgeproxy.router.snapshot import Snapshot


class Routing(Protocol):
    """Used on the loop; never waits."""

    @property
    def snapshot(self) -> Snapshot:
        """The map as it is now."""
        ...

    def client(self, address: Address | None, *, bits: int | None = None) -> Client:
        """Who asks; `bits` is the length of the prefix that was told where it was not the whole address."""
        ...

    def decided(self, client: Client, decision: Decision) -> None:
        """An answer was given: what it says is to be kept for the client's group is kept."""
        ...

    def complained(self, client: Client, node: str, *, lasts: bool = False) -> None:
        """A client was not served by a node: a soft failure of its group and the node. `lasts` where it has
        said so itself: then the node is among those `excluded` for a while."""
        ...

    def excluded(self, client: Client) -> frozenset[str]:
        """Nodes that somebody at the client's address has complained of lately."""
        ...

    def watch(self, changed: Callable[[], None]) -> None:
        """`changed` is called when there is another map (nodes, health, coverage): answers made of the former
        one are old."""
        ...
