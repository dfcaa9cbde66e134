"""Everything that tables say of an address, as one value: the Geography of the router.

A city database knows more than the country table and is believed first; an AS number is from its own
database, or else from the routing table, which alone knows the prefix that is announced."""

from __future__ import annotations

from dataclasses import dataclass

from edgeproxy.router.bgp_table import BgpTable
from edgeproxy.router.client import Address, Whereabouts
from edgeproxy.router.country_table import Countries
from edgeproxy.router.geo_database import GeoDatabase
from edgeproxy.router.geo_record import NOTHING


@dataclass(frozen=True, slots=True)
class Atlas:
    """Implements Geography. What is None is not there."""

    countries: Countries
    city: GeoDatabase | None = None
    asn: GeoDatabase | None = None
    routes: BgpTable | None = None

    def whereabouts(self, address: Address) -> Whereabouts:
        city = self.city.record(address) if self.city is not None else NOTHING
        asn = self.asn.record(address).asn if self.asn is not None else 0
        route = self.routes.route(address) if self.routes is not None else None
        country = city.country or self.countries.country(address)
        return Whereabouts(
            country,
            city.place or self.countries.place(country),
            asn or city.asn or (route.asn if route is not None else 0),
            route.prefix if route is not None else "",
        )
