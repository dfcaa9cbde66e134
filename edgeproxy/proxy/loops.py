"""What would lead back to this node: its own listeners, and its own connections turned back by a firewall."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

from edgeproxy.upstream.address_guard import Address


def is_local(address: Address) -> bool:
    """Whether an address is one of this machine's: then the kernel sends to it from itself. Nothing is
    sent to find that out."""
    if address.is_loopback or address.is_unspecified:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as one:
            one.connect((str(address), 9))
            return bool(one.getsockname()[0] == str(address))
    except OSError:  # there is no way to it: then it is nobody's here
        return False


@dataclass(frozen=True, slots=True)
class Loops:
    """`ports` are those this node listens at, of whatever kind."""

    ports: Callable[[], Iterable[int]] = tuple
    _made: WeakValueDictionary[Any, socket.socket] = field(default_factory=WeakValueDictionary)

    def leads_here(self, address: Address, port: int) -> bool:
        """Whether a connection there would be one to this node."""
        return port in self.ports() and is_local(address)

    def made(self, connecting: socket.socket) -> None:
        """A connection that this node makes, as soon as it has an address of its own."""
        self._made[connecting.getsockname()[:2]] = connecting

    def has_made(self, peer: tuple[Any, ...]) -> bool:
        """Whether the other end of a connection that came in is one that this process has made: a firewall
        turns what the node itself asks."""
        found = self._made.get(peer[:2])
        return found is not None and found.fileno() >= 0
