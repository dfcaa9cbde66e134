"""What the operator has decided beforehand: which networks belong to which nodes, which countries are served.

Of several entries that hold an address the longest prefix wins, as in routing; then an AS, then a country."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import TypeVar

from edgeproxy.router.client import Address, Client, Network


class Elsewhere(StrEnum):
    """What happens to clients of countries that are not served."""

    NEAREST = "nearest"
    ORIGIN = "origin"  # they are sent to the original URL


@dataclass(frozen=True, slots=True)
class Entry:
    """Clients of `network`, of the AS or of the country go to `nodes`, in this order of preference if
    `ordered`."""

    nodes: tuple[str, ...]
    network: Network | None = None
    asn: int = 0
    country: str = ""

    def __post_init__(self) -> None:
        if not self.nodes:
            raise ValueError("an entry of the coverage map names at least one node")


@dataclass(frozen=True, slots=True)
class Coverage:
    """`countries` are those served; empty: all."""

    countries: frozenset[str] = frozenset()
    elsewhere: Elsewhere = Elsewhere.NEAREST
    by_network: tuple[tuple[int, dict[Network, Entry]], ...] = ()  # by length of the prefix, longest first
    by_asn: dict[int, Entry] = field(default_factory=dict)
    by_country: dict[str, Entry] = field(default_factory=dict)

    def entry(self, client: Client) -> tuple[Entry, str] | None:
        """The entry for a client and what it was found by; None if there is none."""
        if client.address is not None:
            found = self._by_address(client.address)
            if found is not None:
                return found, f"network {found.network}"
        where = client.whereabouts
        if where.asn and where.asn in self.by_asn:
            return self.by_asn[where.asn], f"AS{where.asn}"
        if where.country and where.country in self.by_country:
            return self.by_country[where.country], f"country {where.country}"
        return None

    def _by_address(self, address: Address) -> Entry | None:
        number, width = int(address), address.max_prefixlen
        for length, entries in self.by_network:
            if length > width:
                continue
            shift = width - length
            base = (number >> shift) << shift
            kind = IPv4Network if address.version == 4 else IPv6Network
            entry = entries.get(kind((base, length)))
            if entry is not None:
                return entry
        return None

    def is_served(self, client: Client) -> bool:
        """Whether the client's country is among those served; who has none known is."""
        country = client.whereabouts.country
        return not self.countries or not country or country in self.countries


def coverage(
    entries: Iterable[Entry],
    *,
    countries: Iterable[str] = (),
    elsewhere: Elsewhere = Elsewhere.NEAREST,
) -> Coverage:
    """Raises ValueError for two entries of one network, AS or country."""
    lengths: dict[int, dict[Network, Entry]] = {}
    by_asn: dict[int, Entry] = {}
    by_country: dict[str, Entry] = {}
    for entry in entries:
        if entry.network is not None:
            _put(lengths.setdefault(entry.network.prefixlen, {}), entry.network, entry)
        elif entry.asn:
            _put(by_asn, entry.asn, entry)
        else:
            _put(by_country, entry.country, entry)
    ordered = tuple(sorted(lengths.items(), reverse=True))
    return Coverage(frozenset(countries), elsewhere, ordered, by_asn, by_country)


K = TypeVar("K")


def _put(table: dict[K, Entry], key: K, entry: Entry) -> None:
    if key in table:
        raise ValueError(f"{key} stands twice in the coverage map")
    table[key] = entry
