"""Having the round trips of clients measured: once when a connection ends, and now and then while it lasts.

Requests have no part in it. A connection that comes from a proxy (one of `listen.trusted_clients`, or of
`listen.proxy_protocol`) tells how far the proxy is, and is left out."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from edgeproxy.message import Clock
from edgeproxy.serving.client_address import Networks
from edgeproxy.serving.service import OpenConnection

Measure = Callable[[str, socket.socket | None], None]

LOOKS = 30  # that a round through all connections takes, if there are many
AT_ONCE = 64  # connections measured in one look, at least
ROUND_SECONDS = 60.0  # between two rounds through those that last


class Measuring:
    """Calls `measure` with the peer and the socket of connections that have served a request. `timer` is in
    seconds."""

    def __init__(self, measure: Measure, left_out: tuple[Networks, ...], timer: Clock) -> None:
        self._measure = measure
        self._left_out = left_out
        self._timer = timer
        self._round: Iterator[OpenConnection] = iter(())
        self._began = timer()
        self._at_once = AT_ONCE

    def ended(self, connection: OpenConnection) -> None:
        peer = connection.peer
        if connection.served and peer and not any(peer in networks for networks in self._left_out):
            self._measure(peer, connection.endpoint)

    def look(self, connections: Iterable[OpenConnection]) -> None:
        """Go on through those that last; once in a minute begin anew with the `connections` there are."""
        now = self._timer()
        if abs(now - self._began) >= ROUND_SECONDS:
            found = tuple(connections)
            self._began, self._round = now, iter(found)
            self._at_once = max(AT_ONCE, len(found) // LOOKS)
        for connection in islice(self._round, self._at_once):
            self.ended(connection)
