"""Who sends a query, as far as the address tells: mostly a resolver, on behalf of others."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple

from edgeproxy.router.client import Network, folded
from edgeproxy.router.dns_map import CLAMP
from edgeproxy.router.dns_settings import DnsSettings

SOURCES_KEPT = 16384


class Source(NamedTuple):
    """`packed` is the address as it came; `version` and `number` are those it stands for (an IPv4 address in
    an IPv6 one is that). `network` is what the limit on answers goes by; `may_tell`: of its clients'
    networks."""

    packed: bytes
    version: int
    number: int
    network: int
    is_unlimited: bool
    may_tell: bool


def source_reader(settings: DnsSettings) -> Callable[[str], Source]:
    """A function from an address, as a socket writes it, to its Source; raises ValueError for what is none.
    It remembers those it has seen."""

    @lru_cache(SOURCES_KEPT)
    def read(host: str) -> Source:
        address = ipaddress.ip_address(host.partition("%")[0])
        meant = folded(address)
        shift = meant.max_prefixlen - CLAMP[meant.version]
        return Source(
            address.packed,
            meant.version,
            int(meant),
            int(meant) >> shift if meant.version == 4 else -1 - (int(meant) >> shift),
            _holds(settings.unlimited, meant),
            settings.use_subnet and (not settings.subnet_from or _holds(settings.subnet_from, meant)),
        )

    return read


def _holds(networks: Iterable[Network], address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return any(network.version == address.version and address in network for network in networks)
