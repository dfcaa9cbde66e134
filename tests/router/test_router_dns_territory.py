from ipaddress import ip_address

import pytest

from edgeproxy.router.country_table import Countries
from edgeproxy.router.dns_territory import CountryTerritory


@pytest.mark.parametrize(
    "text", ["81.2.69.142", "1.1.1.1", "10.0.0.1", "0.0.0.0", "255.255.255.255", "2a00:1450::1", "::1"]
)
def test_areas_say_what_the_table_says(countries: Countries, text: str) -> None:
    address = ip_address(text)
    areas = CountryTerritory(countries).areas(address.version)
    at = max(number for number, start in enumerate(areas.starts) if start <= int(address))
    kind = areas.kinds[areas.indexes[at]]
    assert kind.country == countries.country(address)
    assert kind.place == countries.place(kind.country)


def test_areas_begin_with_the_first_address_and_ascend(countries: Countries) -> None:
    territory = CountryTerritory(countries)
    for version in (4, 6):
        areas = territory.areas(version)
        assert areas.starts[0] == 0
        assert all(one < other for one, other in zip(areas.starts, areas.starts[1:], strict=False))
        assert territory.areas(version) is areas
        assert len(areas.kinds) < 300
