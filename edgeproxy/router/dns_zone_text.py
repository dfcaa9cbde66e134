"""Zones from what the operator wrote: a zone file's text (read by dnspython) and the routed names."""

from __future__ import annotations

import ipaddress

import dns.exception
import dns.name
import dns.node
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.zone

from edgeproxy.router.dns_records import TTL_MAX, Records, wire_name
from edgeproxy.router.dns_settings import RoutedName, ZoneSettings
from edgeproxy.router.dns_words import (
    TYPE_A,
    TYPE_AAAA,
    TYPE_CNAME,
    TYPE_HTTPS,
    TYPE_NS,
    TYPE_SOA,
)
from edgeproxy.router.dns_zone import Content, Routed, Zone, Zones

DEFAULT_TTL = 300
SOA_TTL = 3600
SOA_NUMBERS = "1 3600 600 604800 60"  # serial, refresh, retry, expire, what a negative answer lives (seconds)
RECORDS_MAX = 100_000
_DNAME = 39


class UnusableZone(ValueError):
    """A zone that cannot be served; the text says why, in one line."""


def read_zones(settings: tuple[ZoneSettings, ...]) -> Zones:
    """Raises UnusableZone."""
    zones = [read_zone(one) for one in settings]
    origins = [zone.origin for zone in zones]
    if len(set(origins)) < len(origins):
        raise UnusableZone("a zone is there twice")
    return Zones(tuple(zones))


def read_zone(settings: ZoneSettings) -> Zone:
    """Raises UnusableZone."""
    try:
        origin = dns.name.from_text(settings.origin.rstrip(".") + ".")
        contents = _static(settings.records, origin)
        _add_soa(contents, origin)
        for routed in settings.routed:
            _add_routed(contents, routed, origin)
        return Zone(_wire(origin), contents)
    except (dns.exception.DNSException, ValueError) as error:
        raise UnusableZone(f"zone {settings.origin}: {' '.join(str(error).split())}") from None


def _static(text: str, origin: dns.name.Name) -> dict[bytes, Content]:
    zone = dns.zone.from_text(
        f"$TTL {DEFAULT_TTL}\n{text}\n", origin, relativize=False, check_origin=False, allow_include=False
    )
    contents: dict[bytes, Content] = {}
    count = 0
    for name, node in zone.nodes.items():
        content = contents[_wire(name)] = Content()
        for rdataset in node.rdatasets:
            count += len(rdataset)
            if count > RECORDS_MAX:
                raise ValueError(f"it has more than {RECORDS_MAX} records")
            if rdataset.rdtype == _DNAME:
                raise ValueError("DNAME is not supported")
            rdata = tuple(one.to_wire() or b"" for one in rdataset)
            rtype = int(rdataset.rdtype)
            content.records[rtype] = Records(_wire(name), rtype, min(rdataset.ttl, TTL_MAX), rdata)
        if TYPE_CNAME in content.records and len(content.records) > 1:
            raise ValueError(f"{name} has CNAME and other records")
    return contents


def _add_soa(contents: dict[bytes, Content], origin: dns.name.Name) -> None:
    apex = contents.setdefault(_wire(origin), Content())
    if TYPE_NS not in apex.records:
        raise ValueError("it has no NS record for the zone itself")
    if TYPE_SOA not in apex.records:
        first = dns.name.from_wire(apex.records[TYPE_NS].rdata[0], 0)[0]
        text = f"{first} hostmaster.{origin} {SOA_NUMBERS}"
        soa = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.SOA, text).to_wire() or b""
        apex.records[TYPE_SOA] = Records(_wire(origin), TYPE_SOA, SOA_TTL, (soa,))


def _add_routed(contents: dict[bytes, Content], routed: RoutedName, origin: dns.name.Name) -> None:
    name = dns.name.from_text(routed.name, origin)
    if not name.is_subdomain(origin):
        raise ValueError(f"{routed.name} is not in it")
    content = contents.setdefault(_wire(name), Content())
    taken = {TYPE_A, TYPE_AAAA, TYPE_CNAME} | ({TYPE_HTTPS} if routed.alpn else set())
    if content.routed is not None or taken & set(content.records):
        raise ValueError(f"{routed.name} is routed, and is there a second time")
    if name != origin and TYPE_NS in content.records:
        raise ValueError(f"{routed.name} is routed, and delegated to others")
    elsewhere: dict[int, tuple[bytes, ...]] = {TYPE_A: (), TYPE_AAAA: ()}
    for text in routed.elsewhere:
        address = ipaddress.ip_address(text)
        elsewhere[TYPE_A if address.version == 4 else TYPE_AAAA] += (address.packed,)
    content.routed = Routed(_service(routed), elsewhere)


def _service(routed: RoutedName) -> bytes:
    """The HTTPS record without hints, which have the greatest keys: RFC 9460 section 2.2 wants them last."""
    if not routed.alpn:
        return b""
    words = [f'alpn="{",".join(routed.alpn)}"'] + ([f"port={routed.port}"] if routed.port else [])
    return (
        dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.HTTPS, f"1 . {' '.join(words)}").to_wire() or b""
    )


def _wire(name: dns.name.Name) -> bytes:
    return wire_name(label.lower() for label in name.labels[:-1])
