"""Which addresses a client may make us connect to (RFC 6890, RFC 8190 and their registries).

IPv4 is refused by a list. IPv6 is refused unless it is global unicast, because only 2000::/3 has
been handed out; forms that carry an IPv4 address are as public as the address they carry. Ranges set
aside for documentation are not refused: nothing of value is there to be reached by trickery, and closed
networks put their gateways in them."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from functools import lru_cache
from typing import TypeAlias

from edgeproxy.errors import ProxyError, UpstreamError

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_V4_REFUSED = tuple(
    (ipaddress.IPv4Network(network), reason)
    for network, reason in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.88.99.0/24", "reserved"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_V6_REFUSED = tuple(
    (ipaddress.IPv6Network(network), reason)
    for network, reason in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("fc00::/7", "unique local"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
        ("2001::/23", "reserved"),  # Teredo (2001::/32) lies in here
    )
)
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")
_NEVER = frozenset({"unspecified", "multicast"})
_LAST_LABEL_IS_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9a-fA-F]*)\Z")


@lru_cache(maxsize=1024)
def spelled(text: str) -> Address:
    """The address that `text` spells in its usual form. Raises ValueError."""
    return ipaddress.ip_address(text)


@lru_cache(maxsize=1024)
def refusal(address: Address) -> str | None:
    """Why this address is not public, in a word or two; None if it is."""
    if isinstance(address, ipaddress.IPv4Address):
        return next((reason for network, reason in _V4_REFUSED if address in network), None)
    carried = _carried(address)
    if carried is not None:
        return refusal(carried)
    for network, reason in _V6_REFUSED:
        if address in network:
            return reason
    return None if address in _GLOBAL_UNICAST else "reserved"


def _carried(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that packets to `address` would end at, where a rule says so."""
    number = int(address)
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return ipaddress.IPv4Address(number & 0xFFFFFFFF)
    if address in _SIX_TO_FOUR:
        return ipaddress.IPv4Address((number >> 80) & 0xFFFFFFFF)
    if (number >> 32) & 0xFDFFFFFF == 0x00005EFE and address in _GLOBAL_UNICAST:
        # ISATAP (RFC 5214 section 6.1): the lower half is [02]00:5efe and an IPv4 address.
        carried = ipaddress.IPv4Address(number & 0xFFFFFFFF)
        return carried if refusal(carried) is not None else None
    return None


def permitted(host: str, addresses: Iterable[Address], *, private: bool) -> tuple[Address, ...]:
    """Those of `addresses` that may be connected to. `private` allows what is not public, but never
    multicast and unspecified addresses. Raises UpstreamError(DESTINATION_IP_PROHIBITED) if none is left."""
    kept: list[Address] = []
    refused: list[str] = []
    for address in addresses:
        reason = refusal(address)
        if reason is None or (private and reason not in _NEVER):
            kept.append(address)
        else:
            refused.append(f"{address} is {reason}")
    if not kept:
        what = ", ".join(refused[:4]) or "no address"
        line = what if what.startswith(f"{host} ") else f"{host}: {what}"
        raise UpstreamError(ProxyError.DESTINATION_IP_PROHIBITED, line, sent=False)
    return tuple(kept)


def permitted_by_proxy(host: str, *, private: bool) -> None:
    """`permitted`, of a host that a proxy will connect to, who alone knows where names lead: what is judged
    here is a host that is an address. Raises UpstreamError likewise."""
    try:
        address = literal(host)
    except ValueError as error:
        raise UpstreamError(ProxyError.DESTINATION_NOT_FOUND, str(error), sent=False) from None
    if address is not None:
        permitted(host, (address,), private=private)


@lru_cache(maxsize=1024)
def literal(host: str) -> Address | None:
    """The address a host spells, in any form the C library would take for one (`0x7f.1`,
    `2130706433`, `017700000001`); None for a name. Raises ValueError for a host that ends in a
    number without being an address, which no name may (RFC 1123 section 2.1)."""
    host = host.removesuffix(".")
    if ":" in host:
        if "%" in host:
            raise ValueError(f"zone identifier in {host!r}")
        return ipaddress.IPv6Address(host)
    if not _LAST_LABEL_IS_NUMBER.match(host):
        return None
    try:
        # inet_aton never looks a name up: it only reads numbers.
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        raise ValueError(f"not an address: {host!r}") from None
