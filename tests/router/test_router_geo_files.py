from __future__ import annotations

import ipaddress
import os
import shutil
from pathlib import Path

import pytest
from router.router_keeping import Clock
from router.test_router_country_source import v4_lines, v6_lines

from edgeproxy.router import country_table
from edgeproxy.router.client import Whereabouts
from edgeproxy.router.country_table import Countries
from edgeproxy.router.geo_files import GeoFiles, GeoSettings

FOLDER = Path(__file__).parent / "data" / "mmdb"
SWEDE = ipaddress.ip_address("89.160.20.112")
BUILT = 1_782_345_600.0  # the day of the embedded table

pytest.importorskip("maxminddb")


@pytest.fixture(autouse=True)
def embedded(countries: Countries, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read once for all tests."""
    monkeypatch.setattr(country_table, "embedded", lambda: countries)


class Files:
    def __init__(self, folder: Path, **settings: Path | None) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self.changes = 0
        self.clock = Clock(BUILT)
        self.files = GeoFiles(
            GeoSettings(**settings),  # type: ignore[arg-type]
            clock=self.clock,
            report=self.lines.append,
            changed=self.changed,
        )

    def changed(self) -> None:
        self.changes += 1

    def put(self, name: str, source: str, *, at: int) -> None:
        """A file appears whole, under the time `at`."""
        shutil.copy(FOLDER / source, self.folder / "new")
        os.utime(self.folder / "new", (at, at))
        (self.folder / "new").replace(self.folder / name)

    @property
    def radius(self) -> float:
        place = self.files.whereabouts(SWEDE).place
        assert place is not None
        return place.radius_km


async def test_before_anything_is_read_nothing_is_known(tmp_path: Path) -> None:
    house = Files(tmp_path)
    assert house.files.whereabouts(SWEDE) == Whereabouts()
    await house.files.load()
    assert house.files.whereabouts(SWEDE).country == "SE"
    assert house.lines == []


async def test_a_database_is_swapped_when_it_changes_and_kept_when_the_new_one_is_bad(
    tmp_path: Path, countries: Countries
) -> None:
    place = countries.place("SE")
    assert place is not None
    of_country = place.radius_km
    house = Files(tmp_path, city=tmp_path / "city.mmdb")
    await house.files.load()
    assert "left out" in house.lines.pop()
    assert house.radius == of_country
    house.put("city.mmdb", "GeoIP2-City-Test.mmdb", at=1000)
    await house.files.look()
    assert house.radius == 76.0
    assert house.lines.pop() == f"geo.city: {tmp_path}/city.mmdb is used"
    for number, name in enumerate(sorted(path.name for path in (FOLDER / "bad-data").glob("*.mmdb"))):
        house.put("city.mmdb", f"bad-data/{name}", at=2000 + number)
        await house.files.look()
        assert "the former one stays" in house.lines.pop()
        assert house.radius == 76.0
    await house.files.look()
    assert house.lines == [], "it is said once"
    assert house.changes == 1
    house.put("city.mmdb", "GeoIP2-Country-Test.mmdb", at=3000)
    await house.files.look()
    assert house.radius == of_country
    assert house.changes == 2


async def test_a_database_that_vanishes_is_still_used(tmp_path: Path) -> None:
    house = Files(tmp_path, city=tmp_path / "city.mmdb")
    house.put("city.mmdb", "GeoIP2-City-Test.mmdb", at=1000)
    await house.files.load()
    (tmp_path / "city.mmdb").unlink()
    await house.files.look()
    assert house.radius == 76.0
    assert "the former one stays" in house.lines[-1]


async def test_routes_and_networks_are_kept_up_to_date_too(tmp_path: Path) -> None:
    routes = tmp_path / "routes.tsv"
    routes.write_text("89.160.0.0/16\t64500\n")
    house = Files(tmp_path, routes=routes)
    await house.files.load()
    assert house.files.whereabouts(SWEDE).bgp_prefix == "89.160.0.0/16"
    assert house.files.whereabouts(SWEDE).asn == 64500
    house.put("asn.mmdb", "GeoLite2-ASN-Test.mmdb", at=1000)
    await house.files.configure(GeoSettings(routes=routes, asn=tmp_path / "asn.mmdb"))
    assert house.files.whereabouts(SWEDE).asn == 29518
    await house.files.configure(GeoSettings())
    assert house.files.whereabouts(SWEDE) == Whereabouts("SE", house.files.whereabouts(SWEDE).place)


async def test_another_country_table_takes_the_place_of_the_one_that_is_carried(tmp_path: Path) -> None:
    (tmp_path / "geoip").write_text("\n".join(v4_lines()))
    (tmp_path / "geoip6").write_text("\n".join(v6_lines()))
    house = Files(tmp_path, country_source=tmp_path / "geoip")
    await house.files.load()
    assert house.files.whereabouts(ipaddress.ip_address("1.0.2.1")).country == "CN"
    assert house.files.whereabouts(SWEDE).country == ""
    await house.files.configure(GeoSettings())
    assert house.files.whereabouts(SWEDE).country == "SE"


async def test_an_old_country_table_is_said_to_be_old_once_a_day(tmp_path: Path) -> None:
    house = Files(tmp_path)
    house.clock.now = BUILT + 179 * 86_400
    await house.files.load()
    assert house.lines == []
    house.clock.now = BUILT + 182 * 86_400
    for _ in range(3):
        await house.files.look()
    assert len(house.lines) == 1
    assert "2026-06-25" in house.lines[0]
    house.clock.now += 86_401
    await house.files.look()
    assert len(house.lines) == 2
