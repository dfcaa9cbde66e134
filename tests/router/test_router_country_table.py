import json
import lzma
from ipaddress import ip_address

import pytest

from edgeproxy.router.country_table import Countries, UnusableTable, read_points, read_table

HEAD = {"format": "edge-ipcc-1", "family": 4, "key_bits": 32, "n": 2, "codes": ["DE", "ZZ"]}
STARTS = bytes([0, 10, 0, 0, 0, 0, 0, 5])  # 0.0.0.0 and 10.0.0.5 in four planes of two bytes
INDEXES = bytes([0, 0, 1, 0])  # ZZ from the start, DE from 10.0.0.5


def packed(planes: bytes = STARTS + INDEXES, **changes: object) -> bytes:
    return lzma.compress(json.dumps({**HEAD, **changes}).encode() + b"\n" + planes)


def test_a_table_is_read_plane_by_plane() -> None:
    table = read_table(packed())
    assert list(table.starts) == [0, 10 << 24 | 5]
    assert [table.country(n) for n in (0, (10 << 24) + 4, (10 << 24) + 5, 0xFFFFFFFF)] == ["", "", "DE", "DE"]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "ends early"),
        (b"no xz", "unpacked"),
        (packed()[:-8], "ends early"),
        (packed(STARTS), "bytes where"),
        (packed(n=3), "bytes where"),
        (packed(n=-1), "no table"),
        (packed(family=5), "no table"),
        (packed(codes=["DE"]), "not in its list"),
        (lzma.compress(b"[]\n"), "first line"),
    ],
    ids=range(9),
)
def test_what_is_no_table_is_refused_with_a_reason(data: bytes, why: str) -> None:
    with pytest.raises(UnusableTable, match=why):
        read_table(data)


@pytest.mark.parametrize(
    ("address", "country"),
    [
        ("8.8.8.8", "US"),
        ("81.2.69.142", "GB"),
        ("89.160.20.112", "SE"),
        ("2001:218::1", "JP"),
        ("10.0.0.1", ""),
        ("::1", ""),
        ("255.255.255.255", ""),
    ],
)
def test_the_table_in_the_package_knows_the_world(countries: Countries, address: str, country: str) -> None:
    assert countries.country(ip_address(address)) == country
    assert (countries.place(country) is None) == (country == "")


def test_points_have_place_continent_and_spread(countries: Countries) -> None:
    assert countries.continent("JP") == "AS"
    place = countries.place("US")
    assert place is not None
    assert place.radius_km > 3000
    with pytest.raises(UnusableTable, match="no table of points"):
        read_points(["cc,continent,lat,lon,zone,spread_km", "DE,EU,north,13,Europe/Berlin,0"])
