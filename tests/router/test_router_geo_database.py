from __future__ import annotations

import ipaddress
import random
import sys
from pathlib import Path

import pytest

from edgeproxy.router import geo_database
from edgeproxy.router.geo_database import GeoDatabase, UnusableDatabase, open_database
from edgeproxy.router.geo_record import NOTHING

FOLDER = Path(__file__).parent / "data" / "mmdb"
FILES = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.mmdb"))
USABLE = {
    *("GeoIP2-City-Test.mmdb", "GeoIP2-Country-Test.mmdb", "GeoIP2-ISP-Test.mmdb"),
    *("GeoLite2-ASN-Test.mmdb", "GeoLite2-City-Test.mmdb", "GeoLite2-Country-Test.mmdb"),
}

pytest.importorskip("maxminddb")


def ask(database: GeoDatabase, text: str) -> tuple[str, float, int]:
    """Country, radius (-1 without a place) and AS number."""
    found = database.record(ipaddress.ip_address(text))
    return found.country, -1.0 if found.place is None else found.place.radius_km, found.asn


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_used_or_refused_with_one_line(name: str) -> None:
    if name in USABLE:
        assert open_database(FOLDER / name).failures == 0
        return
    with pytest.raises(UnusableDatabase) as caught:
        open_database(FOLDER / name)
    assert str(caught.value).startswith(str(FOLDER / name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "address", "expected"),
    [
        ("GeoIP2-City-Test.mmdb", "81.2.69.142", ("GB", 10.0, 0)),
        ("GeoIP2-City-Test.mmdb", "89.160.20.112", ("SE", 76.0, 0)),
        ("GeoIP2-City-Test.mmdb", "67.43.156.1", ("BT", 534.0, 0)),
        ("GeoIP2-City-Test.mmdb", "2001:218::1", ("JP", 100.0, 0)),
        ("GeoIP2-City-Test.mmdb", "8.8.8.8", ("", -1.0, 0)),
        ("GeoIP2-Country-Test.mmdb", "81.2.69.142", ("GB", -1.0, 0)),
        ("GeoLite2-ASN-Test.mmdb", "89.160.20.112", ("", -1.0, 29518)),
        ("GeoLite2-ASN-Test.mmdb", "1.128.0.1", ("", -1.0, 1221)),
        ("GeoIP2-ISP-Test.mmdb", "1.128.0.1", ("", -1.0, 1221)),
    ],
)
def test_what_they_say(name: str, address: str, expected: tuple[str, float, int]) -> None:
    database = open_database(FOLDER / name)
    assert ask(database, address) == expected
    assert ask(database, address) == expected  # remembered


def test_flipped_bits_never_do_harm(tmp_path: Path) -> None:
    """500 damaged files: each is refused, or answers."""
    whole = (FOLDER / "GeoLite2-ASN-Test.mmdb").read_bytes()
    chance = random.Random(1)
    file = tmp_path / "x.mmdb"
    refused = 0
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(chance.choice((1, 20))):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        file.write_bytes(data)
        try:
            database = open_database(file)
        except UnusableDatabase:
            refused += 1
            continue
        for number in range(20):
            database.record(ipaddress.IPv4Address(number * 0x0B0B0B0B & 0xFFFFFFFF))
    assert 0 < refused < 200


@pytest.mark.parametrize("size", [0, 1, 100, 5000])
def test_a_file_that_is_cut_is_refused(tmp_path: Path, size: int) -> None:
    file = tmp_path / "cut.mmdb"
    file.write_bytes((FOLDER / "GeoIP2-City-Test.mmdb").read_bytes()[:size])
    with pytest.raises(UnusableDatabase):
        open_database(file)


def test_what_is_no_file_or_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(UnusableDatabase):
            open_database(path)
    sparse = tmp_path / "sparse.mmdb"
    with sparse.open("wb") as file:
        file.truncate(geo_database.FILE_BYTES_MAX + 1)
    with pytest.raises(UnusableDatabase, match="bytes"):
        open_database(sparse)


def test_a_file_that_is_cut_after_it_was_opened_does_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "city.mmdb"
    file.write_bytes((FOLDER / "GeoIP2-City-Test.mmdb").read_bytes())
    database = open_database(file)
    file.write_bytes(b"")
    assert ask(database, "81.2.69.142")[0] == "GB"


def test_without_the_reader_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "maxminddb", None)
    with pytest.raises(UnusableDatabase, match=r"edgeproxy\[geoip\]"):
        open_database(FOLDER / "GeoIP2-City-Test.mmdb")


def test_answers_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geo_database, "ANSWERS_KEPT", 10)
    database = open_database(FOLDER / "GeoIP2-City-Test.mmdb")
    for number in range(100):
        assert database.record(ipaddress.IPv4Address(number + (8 << 24))) == NOTHING
    assert len(database._answers) <= 10
