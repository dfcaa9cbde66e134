"""What an operator says about the DNS router."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeproxy.router.client import Network
from edgeproxy.router.dns_limit import LimitSettings


@dataclass(frozen=True, slots=True)
class RoutedName:
    """A name whose addresses are those of the nodes nearest to who asks; `*.` in front stands for every name
    below that does not exist otherwise. With `alpn` there is an HTTPS record (RFC 9460) too, with `port` in
    it unless that is 0. Clients whose country is not served get `elsewhere`, if it names any addresses."""

    name: str
    alpn: tuple[str, ...] = ()
    port: int = 0
    elsewhere: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ZoneSettings:
    """`records` in the form of a zone file; names without a dot at the end are below `origin`. SOA may
    be left out, NS for the origin may not."""

    origin: str
    records: str = ""
    routed: tuple[RoutedName, ...] = ()


@dataclass(frozen=True, slots=True)
class TcpSettings:
    """Connections in all and of one address; questions on one; seconds without one until it is closed."""

    connections: int = 256
    connections_of_one: int = 32
    questions: int = 1000
    idle_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class DnsSettings:
    """`listen` as "host:port", UDP and TCP. `udp_bytes_max`: larger answers go over TCP. `nsid`: what tells
    this server from others of its address, empty: not told. `subnet_from`: resolvers that may tell of their
    clients' networks, empty: all; `use_subnet` false: none. `cookie_secret` (32 hexadecimal digits) is shared
    by servers of one address; empty: one of our own, changed every `cookie_seconds`. `unlimited`: networks
    exempt from the limit on answers. `map_seconds`: the map is made anew so often, and when nodes change."""

    listen: tuple[str, ...]
    zones: tuple[ZoneSettings, ...]
    udp_bytes_max: int = 1232
    nsid: str = ""
    use_subnet: bool = True
    subnet_from: tuple[Network, ...] = ()
    cookie_secret: str = ""
    cookie_seconds: float = 86400.0
    limit: LimitSettings = LimitSettings()
    unlimited: tuple[Network, ...] = ()
    tcp: TcpSettings = TcpSettings()
    map_seconds: float = 10.0
    prefixes_max: int = 5_000
    addresses: int = 2
    ttl_least: int = 15
    ttl_most: int = 60
    reuse_port: bool = False
    receive_bytes: int = field(default=4 << 20)
