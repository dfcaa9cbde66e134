"""Who may connect: bounds on connections in all, of one client, and of descriptors."""

from __future__ import annotations

import resource
from itertools import islice

from edgeproxy.config import Limits
from edgeproxy.metrics import Metrics
from edgeproxy.serving.client_address import Networks, parse_address
from edgeproxy.serving.service import OpenConnection

_RESERVED = 64  # descriptors kept for files and upstreams, or a quarter where there are few
_SHED = 64  # idle connections closed at a time to make room


class Door:
    """Knows the open connections. Descriptors are given out lowest first, so the number of a new
    one tells how near the process is to its limit."""

    def __init__(self, limits: Limits, metrics: Metrics, exempt: Networks) -> None:
        self._limits = limits
        self._metrics = metrics
        self._exempt = exempt  # balancers: their connections stand for many clients
        self._of_client: dict[str, int] = {}
        self._ceiling = 1 << 30
        self._may_shed = True
        self.connections: set[OpenConnection] = set()
        self.entering = 0  # admitted, but not yet a connection
        self.look()

    def limit(self, limits: Limits) -> None:
        """Hold to other limits from the next connection on."""
        self._limits = limits

    def look(self) -> None:
        """Read the process's limit again; it may change while it runs."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._ceiling = soft - min(_RESERVED, soft // 4) if soft != resource.RLIM_INFINITY else 1 << 30
        self._may_shed = True

    def admit(self, client: str, descriptor: int) -> str | None:
        """The limit that forbids another connection from `client`, or None; then it counts as
        entering until it is opened or given up."""
        limit = self._limit(client, descriptor)
        if limit is None:
            self.entering += 1
            self._of_client[client] = self._of_client.get(client, 0) + 1
            self._metrics.count("connections_total")
            return None
        self._metrics.count("connections_refused_total", limit)
        if limit != "client":
            self.shed()
        return limit

    def _limit(self, client: str, descriptor: int) -> str | None:
        if descriptor >= self._ceiling:
            return "descriptors"
        if len(self.connections) + self.entering >= self._limits.connections:
            return "connections"
        most = self._limits.connections_per_client
        if most and self._of_client.get(client, 0) >= most and not self._is_exempt(client):
            return "client"
        return None

    def _is_exempt(self, client: str) -> bool:
        address = parse_address(client)
        return address is None or address.is_loopback or client in self._exempt

    def shed(self) -> None:
        """Close some idle connections to make room; at most once between two looks."""
        if self._may_shed:
            self._may_shed = False
            idle = (connection for connection in self.connections if connection.is_idle)
            for connection in tuple(islice(idle, _SHED)):
                connection.close()

    def opened(self, connection: OpenConnection) -> None:
        self.entering -= 1
        self.connections.add(connection)

    def lost(self, connection: OpenConnection, client: str) -> None:
        self.connections.discard(connection)
        self._leave(client)

    def turned(self, connection: OpenConnection, other: OpenConnection) -> None:
        """`connection` goes on as `other`: it speaks another protocol."""
        self.connections.discard(connection)
        self.connections.add(other)

    def readmit(self, client: str) -> None:
        """A connection of `client` is taken over: what it goes on as is entering."""
        self.entering += 1
        self._of_client[client] = self._of_client.get(client, 0) + 1

    def gave_up(self, client: str) -> None:
        """A connection that was admitted broke before it was opened."""
        self.entering -= 1
        self._leave(client)

    def _leave(self, client: str) -> None:
        left = self._of_client.get(client, 0) - 1
        if left > 0:
            self._of_client[client] = left
        else:
            self._of_client.pop(client, None)
