"""Where a node stands among processes."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from edgeproxy.relay.table import SharedTable
from edgeproxy.serving.sockets import Inherited, Listening

ADMIN = "admin"  # what the control plane's sockets are called among those another process inherits


@dataclass(frozen=True, slots=True)
class Place:
    """A filler has a `table` and no listeners for clients: it answers what servers ask at the socket `relay`,
    and tells by the table what they may repeat. `inherited` sockets are not bound again; `admin` is that of
    the control plane, which somebody else owns if this is a filler. `former` is where the program asks that
    this one takes over from."""

    relay: socket.socket | None = None
    table: SharedTable | None = None
    inherited: Inherited | None = None
    admin: Listening | None = None
    former: Listening | None = None
