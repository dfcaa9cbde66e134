"""The hosts file (hosts(5)): names an operator has fixed on this machine."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path

from edgeproxy.upstream.address_guard import Address

_BYTES_MAX = 4 << 20
_LOOPBACK: tuple[Address, ...] = (ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1"))


def parse_hosts(text: str) -> dict[str, tuple[Address, ...]]:
    """Lower-case names to their addresses in order; lines that cannot be read are left out."""
    found: dict[str, list[Address]] = {}
    for line in text.split("\n"):
        words = line.partition("#")[0].split()
        if len(words) < 2:
            continue
        try:
            address = ipaddress.ip_address(words[0].partition("%")[0])
        except ValueError:
            continue
        for name in words[1:]:
            addresses = found.setdefault(name.lower(), [])
            if address not in addresses:
                addresses.append(address)
    return {name: tuple(addresses) for name, addresses in found.items()}


def read_hosts(path: Path) -> dict[str, tuple[Address, ...]]:
    """The file's names; none if it cannot be read. Blocks on the disk."""
    try:
        with path.open("rb") as file:
            return parse_hosts(file.read(_BYTES_MAX).decode("latin-1"))
    except OSError:
        return {}


def fixed(host: str, hosts: Mapping[str, tuple[Address, ...]]) -> tuple[Address, ...] | None:
    """What a lower-case host is without asking a server: the file's word, or loopback for localhost
    (RFC 6761 section 6.3)."""
    if host in hosts:
        return hosts[host]
    if host == "localhost" or host.endswith(".localhost"):
        return _LOOPBACK
    return None
