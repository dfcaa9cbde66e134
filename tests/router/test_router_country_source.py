from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from edgeproxy.router.country_source import LINES_LEAST, read_countries, read_ranges
from edgeproxy.router.country_table import Countries, UnusableTable


def v4_lines(count: int = LINES_LEAST) -> list[str]:
    """Every second /24 from 1.0.0.0 on, in turns."""
    first = 1 << 24
    return [f"{first + 512 * n},{first + 512 * n + 255},{('AU', 'CN', 'JP')[n % 3]}" for n in range(count)]


def v6_lines(count: int = LINES_LEAST) -> list[str]:
    return [
        f"{ipaddress.IPv6Address(n << 96)},{ipaddress.IPv6Address((n << 96) + (1 << 95) - 1)},AU"
        for n in range(0x20010000, 0x20010000 + count)
    ]


def test_ranges_and_the_gaps_between_them() -> None:
    table = read_ranges(["# made by", "", *v4_lines()], 4, "2026-01-01")
    asked = ("0.255.255.255", "1.0.0.0", "1.0.0.255", "1.0.1.0", "1.0.2.0", "1.0.4.9", "200.0.0.1")
    assert [table.country(int(ipaddress.IPv4Address(one))) for one in asked] == [
        *("", "AU", "AU", "", "CN", "JP", "")
    ]


def test_unknown_countries_are_unknown() -> None:
    lines = [line.replace("AU", "??") for line in v4_lines()]
    assert read_ranges(lines, 4, "").country(1 << 24) == ""


@pytest.mark.parametrize(
    "line",
    ["x", "1,2", "2,1,AU", "1,2,AUS", "1,2,A1", "-1,2,AU", "1,4294967296,AU", "1,2,AU,x", "::1,::2,AU"],
)
def test_a_line_that_is_none_is_named(line: str) -> None:
    with pytest.raises(UnusableTable, match="line 1 "):
        read_ranges([line, *v4_lines()], 4, "")


def test_a_table_that_is_far_too_short_is_refused() -> None:
    with pytest.raises(UnusableTable, match="only"):
        read_ranges(v4_lines(10), 4, "")


def test_both_files_are_read(tmp_path: Path, countries: Countries) -> None:
    (tmp_path / "geoip").write_text("\n".join(v4_lines()))
    with pytest.raises(UnusableTable, match="geoip6"):
        read_countries(tmp_path / "geoip", countries)
    (tmp_path / "geoip6").write_text("\n".join(v6_lines()))
    found = read_countries(tmp_path / "geoip", countries)
    assert found.country(ipaddress.ip_address("1.0.2.1")) == "CN"
    assert found.country(ipaddress.ip_address("2001::1")) == "AU"
    assert found.country(ipaddress.ip_address("2001:0:8000::")) == ""
    assert found.place("CN") == countries.place("CN")
    (tmp_path / "geoip").write_bytes(b"\xff\xfe")
    with pytest.raises(UnusableTable, match="cannot be read"):
        read_countries(tmp_path / "geoip", countries)
