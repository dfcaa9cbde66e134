"""What the kernel knows of a TCP connection: TCP_INFO, on Linux.

`struct tcp_info` of linux/tcp.h in native order, as the kernel fills it; it grows at its end only, so an old
kernel gives less of it. Elsewhere, and for what is no TCP, there is no sample: never a zero."""

from __future__ import annotations

import socket
import struct
import sys
from dataclasses import dataclass

OPTION = 11  # TCP_INFO
BYTES = 256
_U32 = struct.Struct("=I")
_U64 = struct.Struct("=Q")
_RTT, _RTTVAR, _MIN_RTT, _DELIVERY_RATE = 68, 72, 148, 160
_LEAST_BYTES = _MIN_RTT + 4
_UNKNOWN = 0xFFFFFFFF  # min_rtt before there was a sample


@dataclass(frozen=True, slots=True)
class TcpInfo:
    """Milliseconds; `delivery_rate` in bytes/s, 0 if it is not told."""

    rtt: float
    rttvar: float
    min_rtt: float
    delivery_rate: int


def parse(data: bytes) -> TcpInfo | None:
    """None where there is no round trip in it."""
    if len(data) < _RTTVAR + 4:
        return None
    rtt, rttvar = _U32.unpack_from(data, _RTT)[0], _U32.unpack_from(data, _RTTVAR)[0]
    least = _U32.unpack_from(data, _MIN_RTT)[0] if len(data) >= _MIN_RTT + 4 else rtt
    if least in (0, _UNKNOWN):
        least = rtt
    if not rtt or not least:
        return None
    rate = _U64.unpack_from(data, _DELIVERY_RATE)[0] if len(data) >= _DELIVERY_RATE + 8 else 0
    return TcpInfo(rtt / 1000, rttvar / 1000, min(rtt, least) / 1000, rate)


def tcp_info(connection: socket.socket | None) -> TcpInfo | None:
    """Of an open connection. None where it cannot be told."""
    return parse(_asked(connection, BYTES))


def least_rtt(connection: socket.socket | None) -> float | None:
    """The least round trip of a connection so far, in milliseconds: `min_rtt` of `tcp_info` in a third of its
    time, since it is asked of every connection that ends."""
    data = _asked(connection, _LEAST_BYTES)
    if len(data) < _LEAST_BYTES:
        found = parse(data)
        return None if found is None else found.min_rtt
    (rtt,), (least,) = _U32.unpack_from(data, _RTT), _U32.unpack_from(data, _MIN_RTT)
    if not 0 < least < rtt:
        least = rtt
    return least / 1000 if least else None


def _asked(connection: socket.socket | None, size: int) -> bytes:
    if connection is None or sys.platform != "linux":
        return b""
    try:
        return connection.getsockopt(socket.IPPROTO_TCP, OPTION, size)
    except (OSError, ValueError, AttributeError):  # closed, or no TCP
        return b""
