"""Who a client is, as far as its address tells: its network, its place, and the groups it is judged with."""

from __future__ import annotations

import ipaddress
from collections.abc import Hashable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Protocol

from edgeproxy.router.place import Place

PREFIX_BITS = {4: 24, 6: 48}  # RFC 7871 section 11.1 asks for no more
CELL_DEGREES = 5.0
LEVELS = 5

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NAT64 = IPv6Network("64:ff9b::/96")
_6TO4 = IPv6Network("2002::/16")
_TEREDO = IPv6Network("2001::/32")
_SHARED = IPv4Network("100.64.0.0/10")  # RFC 6598: behind a carrier's translation
_UNIQUE_LOCAL = IPv6Network("fc00::/7")
# Whatever has another first octet is public: the library looks through all its networks for that.
_SPECIAL_OCTETS = frozenset({0, 10, 100, 127, 169, 172, 192, 198, 203, *range(224, 256)})


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """What tables say about an address. `asn` 0 and empty text mean unknown."""

    country: str = ""
    place: Place | None = None
    asn: int = 0
    bgp_prefix: str = ""


class Geography(Protocol):
    """Tables of addresses. Never waits."""

    def whereabouts(self, address: Address) -> Whereabouts: ...


@dataclass(frozen=True, slots=True)
class Client:
    """`groups` are those it is judged with, finest first: its prefix, its BGP prefix, its AS within its
    country, its cell of the country, everybody. None where the group is unknown. `address` is None for a
    client of which nothing is known."""

    address: Address | None
    prefix: str
    whereabouts: Whereabouts
    groups: tuple[Hashable | None, ...]
    is_private: bool = False

    @property
    def place(self) -> Place | None:
        return self.whereabouts.place

    @property
    def group(self) -> Hashable:
        """The finest known: what stays together at one node."""
        for group in self.groups:
            if group is not None:
                return group
        raise ValueError("a client is at least one of everybody")


def folded(address: Address) -> Address:
    """The IPv4 address that an IPv6 address embeds, if it does (mapped, NAT64, 6to4, Teredo)."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    bits = int(address)
    if address in _NAT64:
        return IPv4Address(bits & 0xFFFFFFFF)
    if address in _6TO4:
        return IPv4Address((bits >> 80) & 0xFFFFFFFF)
    if address in _TEREDO:
        return IPv4Address(~bits & 0xFFFFFFFF)
    return address


def parse(text: str) -> Address | None:
    """An address as it is written in fields and on the command line: brackets and zones are taken off."""
    text = text.strip().removeprefix("[").partition("]")[0].partition("%")[0]
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def is_private(address: Address) -> bool:
    """Whether geography says nothing about it: private, loopback, link-local, shared by a carrier."""
    if isinstance(address, IPv4Address):
        if int(address) >> 24 not in _SPECIAL_OCTETS:
            return False
        if address in _SHARED:
            return True
    if isinstance(address, IPv6Address) and address in _UNIQUE_LOCAL:
        return True
    return address.is_private or address.is_loopback or address.is_link_local or address.is_unspecified


def prefix_of(address: Address, bits: int | None = None) -> Network:
    """The network that stands for the address; `bits` where less of it is known."""
    most = PREFIX_BITS[address.version]
    kept = most if bits is None else min(bits, most)
    return ipaddress.ip_network((address, kept), strict=False)


def prefix_text(address: Address, bits: int | None = None) -> str:
    """`prefix_of` in words; of IPv4 in a fifth of its time, since each new client has one."""
    if address.version == 6:
        return str(prefix_of(address, bits))
    kept = PREFIX_BITS[4] if bits is None else min(bits, PREFIX_BITS[4])
    number = int(address) >> (32 - kept) << (32 - kept)
    return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}/{kept}"


def identify(address: Address | None, geography: Geography, *, bits: int | None = None) -> Client:
    """`bits` is the length of the prefix that was told, where it was not the whole address."""
    if address is None:
        return Client(None, "", Whereabouts(), (None, None, None, None, ""))
    address = folded(address)
    prefix = prefix_text(address, bits)
    if is_private(address):
        return Client(address, prefix, Whereabouts(), (prefix, None, None, None, ""), is_private=True)
    known = geography.whereabouts(address)
    groups = (
        prefix,
        known.bgp_prefix or None,
        (known.asn, known.country) if known.asn else None,
        (known.country, *_cell(known.place)) if known.place is not None else None,
        "",
    )
    return Client(address, prefix, known, groups)


def _cell(place: Place) -> tuple[int, int]:
    return int(place.latitude // CELL_DEGREES), int(place.longitude // CELL_DEGREES)
