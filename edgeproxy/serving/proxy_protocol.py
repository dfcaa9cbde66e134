"""The PROXY protocol header, versions 1 and 2: the client's address told by a balancer. Pure.

Bounded: a version 1 header is at most 107 bytes, one of version 2 at most 16 + 2048 here (its
addresses need 216; the rest are extensions, which are skipped)."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from edgeproxy.errors import EdgeError

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_V1_LENGTH = 107
_V2_LENGTH = 2048
_V1 = re.compile(
    rb"PROXY (TCP4|TCP6) ([0-9A-Fa-f.:]{2,39}) ([0-9A-Fa-f.:]{2,39}) ([0-9]{1,5}) ([0-9]{1,5})\r\n"
)
_V1_UNKNOWN = re.compile(rb"PROXY UNKNOWN(?: [\x20-\x7e]*)?\r\n")


class ProxyHeaderError(EdgeError):
    """The bytes are no PROXY header; the connection must be closed without an answer."""


class ProxyHeader(NamedTuple):
    """`client` is None where the header says nothing about a client (LOCAL, UNKNOWN, AF_UNIX);
    `size` is the header's own length in bytes."""

    client: str | None
    size: int


def parse_proxy_header(data: bytes) -> ProxyHeader | None:
    """The header at the start of `data`; None while it is not whole. Raises ProxyHeaderError."""
    if not data:
        return None
    if data[0] == _SIGNATURE[0]:
        return _parse_v2(data)
    return _parse_v1(data)


def _parse_v1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\n", 0, _V1_LENGTH)
    if end < 0:
        start = data[:6]
        if len(data) >= _V1_LENGTH or start != b"PROXY "[: len(start)]:
            raise ProxyHeaderError("not a PROXY protocol header")
        return None
    line = data[: end + 1]
    if _V1_UNKNOWN.fullmatch(line):
        return ProxyHeader(None, len(line))
    found = _V1.fullmatch(line)
    if found is None or int(found[4]) > 65535 or int(found[5]) > 65535:
        raise ProxyHeaderError("malformed PROXY protocol header")
    try:
        source = ipaddress.ip_address(found[2].decode("ascii"))
        target = ipaddress.ip_address(found[3].decode("ascii"))
    except ValueError:
        raise ProxyHeaderError("malformed address in PROXY protocol header") from None
    version = 4 if found[1] == b"TCP4" else 6
    if source.version != version or target.version != version:
        raise ProxyHeaderError("wrong address family in PROXY protocol header")
    return ProxyHeader(str(source), len(line))


def _parse_v2(data: bytes) -> ProxyHeader | None:
    start = data[:12]
    if start != _SIGNATURE[: len(start)]:
        raise ProxyHeaderError("not a PROXY protocol header")
    if len(data) < 16:
        return None
    version, command, family = data[12] >> 4, data[12] & 15, data[13]
    length = int.from_bytes(data[14:16], "big")
    if version != 2 or command > 1 or length > _V2_LENGTH:
        raise ProxyHeaderError("malformed PROXY protocol header")
    if len(data) < 16 + length:
        return None
    size = 16 + length
    if command == 0 or family >> 4 in (0, 3):
        return ProxyHeader(None, size)
    needed, width = {0x11: (12, 4), 0x21: (36, 16)}.get(family, (0, 0))
    if not needed or length < needed:
        raise ProxyHeaderError("PROXY protocol header of another kind than TCP")
    return ProxyHeader(str(ipaddress.ip_address(data[16 : 16 + width])), size)
