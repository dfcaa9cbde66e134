"""What the kernel knows of a TCP connection: TCP_INFO, on Linux.

`struct tcp_info` of linux/tcp.h in native order, as the kernel fills it; it grows at its end only, so an old
kernel gives less of it. Elsewhere, and for what is no TCP, there is no sample: never a zero."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from dataclasses import dataclass

OPTION = 11  # TCP_INFO
BYTES = 256
_U32 = struct.Struct("=I")
_U64 = struct.Struct("=Q")
_RTT, _RTTVAR, _MIN_RTT, _DELIVERY_RATE = 68, 72, 148, 160
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
    """Of an open connection; about two microseconds. None where it cannot be told."""
    if connection is None or not sys.platform.startswith("linux"):
        return None
    data = b""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        data = connection.getsockopt(socket.IPPROTO_TCP, OPTION, BYTES)
    return parse(data)
