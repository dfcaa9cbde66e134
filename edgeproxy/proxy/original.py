"""Where a connection was meant to go before a firewall turned it to us (Linux)."""

from __future__ import annotations

import socket
import struct

SO_ORIGINAL_DST = 80  # linux/netfilter_ipv4.h; the same number for IPv6
_IN = struct.Struct("!2xH4s8x")
_IN6 = struct.Struct("!2xH4x16s4x")

Place = tuple[str, int]


def original(connected: socket.socket, ports: frozenset[int]) -> Place | None:
    """Address and port; None for a connection that was meant for us, at one of the `ports` where such are
    taken. REDIRECT changes the address and remembers the old one; TPROXY leaves it as the socket's own, and
    so the kernel tells that one too where it tracks connections."""
    address, own_port = connected.getsockname()[:2]
    own = (_plain(address), own_port)
    place = _redirected(connected) or own
    return None if place == own and own_port in ports else place


def _redirected(connected: socket.socket) -> Place | None:
    try:
        if connected.family == socket.AF_INET6:
            return _from_v6(connected)
        port, address = _IN.unpack(connected.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, _IN.size))
    except (OSError, AttributeError):  # nothing was redirected, or this is another system
        return None
    return socket.inet_ntop(socket.AF_INET, address), port


def _from_v6(connected: socket.socket) -> Place:
    data = connected.getsockopt(socket.IPPROTO_IPV6, SO_ORIGINAL_DST, _IN6.size)
    port, address = _IN6.unpack(data)
    return _plain(socket.inet_ntop(socket.AF_INET6, address)), port


def _plain(address: str) -> str:
    return address.removeprefix("::ffff:") if address.startswith("::ffff:") and "." in address else address
