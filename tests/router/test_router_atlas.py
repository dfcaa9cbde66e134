from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from edgeproxy.router.atlas import Atlas
from edgeproxy.router.bgp_table import read_lines, table_of
from edgeproxy.router.client import Whereabouts, identify
from edgeproxy.router.country_table import Countries
from edgeproxy.router.geo_database import open_database
from edgeproxy.router.place import Place

FOLDER = Path(__file__).parent / "data" / "mmdb"
SWEDE = ipaddress.ip_address("89.160.20.112")


def test_the_country_table_alone_gives_a_country_and_its_place(countries: Countries) -> None:
    found = Atlas(countries).whereabouts(SWEDE)
    assert (found.country, found.asn, found.bgp_prefix) == ("SE", 0, "")
    assert found.place == countries.place("SE")


def test_each_file_adds_what_it_knows(countries: Countries) -> None:
    pytest.importorskip("maxminddb")
    atlas = Atlas(
        countries,
        open_database(FOLDER / "GeoIP2-City-Test.mmdb"),
        open_database(FOLDER / "GeoLite2-ASN-Test.mmdb"),
        table_of(read_lines(["89.160.0.0/16\t64500", "81.2.0.0/16\t64501"])),
    )
    assert atlas.whereabouts(SWEDE) == Whereabouts(
        "SE", Place(58.4167, 15.6167, 76.0), 29518, "89.160.0.0/16"
    )
    briton = atlas.whereabouts(ipaddress.ip_address("81.2.69.142"))
    assert (briton.asn, briton.bgp_prefix) == (64501, "81.2.0.0/16"), (
        "the routing table knows what else is unknown"
    )
    groups = identify(SWEDE, atlas).groups
    assert groups[:3] == ("89.160.20.0/24", "89.160.0.0/16", (29518, "SE"))


def test_a_country_without_a_place_has_the_place_of_the_country(countries: Countries) -> None:
    pytest.importorskip("maxminddb")
    atlas = Atlas(countries, open_database(FOLDER / "GeoIP2-Country-Test.mmdb"))
    assert atlas.whereabouts(SWEDE).place == countries.place("SE")
