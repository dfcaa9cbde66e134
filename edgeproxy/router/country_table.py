"""Which country an address belongs to: the table that the package carries (data/NOTICE).

A file is, once unpacked, a line of JSON and then numbers in planes, all of `n` bytes: `key_bits` / 8 planes
for the first addresses of the entries, most significant byte first, each entry as the difference to the one
before; then the high and the low bytes of indexes into `codes`. IPv6 goes by its upper 64 bits."""

from __future__ import annotations

import csv
import lzma
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from ipaddress import IPv4Address, IPv6Address
from itertools import accumulate

import msgspec

from edgeproxy.router.place import Place

UNKNOWN = "ZZ"
TABLE_BYTES_MAX = 64 << 20
POINTS_MAX = 1000


class UnusableTable(ValueError):
    """A table that is not what it says it is; the text says why, in one line."""


class _Head(msgspec.Struct, frozen=True):
    format: str
    family: int
    key_bits: int
    n: int
    codes: list[str]
    built: str = ""


@dataclass(frozen=True, slots=True)
class CountryTable:
    """Of one family. `built` is the day its data were made."""

    starts: array[int]
    indexes: array[int]
    codes: tuple[str, ...]
    shift: int
    built: str

    def country(self, address: int) -> str:
        """ISO 3166-1 alpha-2, "" if unknown."""
        at = bisect_right(self.starts, address >> self.shift) - 1
        if at < 0:
            return ""
        code = self.codes[self.indexes[at]]
        return "" if code == UNKNOWN else code


def read_table(packed: bytes) -> CountryTable:
    """Raises UnusableTable."""
    unpacking = lzma.LZMADecompressor()
    try:
        data = unpacking.decompress(packed, TABLE_BYTES_MAX)
    except lzma.LZMAError as error:
        raise UnusableTable(f"it cannot be unpacked: {error}") from None
    if not unpacking.eof:
        raise UnusableTable(f"it ends early, or has more than {TABLE_BYTES_MAX} bytes")
    line, _, planes = data.partition(b"\n")
    try:
        head = msgspec.json.decode(line, type=_Head)
    except msgspec.MsgspecError as error:
        raise UnusableTable(f"its first line is not that of a table: {error}") from None
    width = head.key_bits // 8
    if head.family not in (4, 6) or head.key_bits not in (32, 64) or head.n <= 0:
        raise UnusableTable("its first line describes no table of addresses")
    if len(planes) != (width + 2) * head.n:
        raise UnusableTable(f"it has {len(planes)} bytes where {(width + 2) * head.n} are expected")
    indexes = _woven(planes[width * head.n :], 2, head.n)
    if max(indexes) >= len(head.codes):
        raise UnusableTable("it names a country that is not in its list")
    starts = array("Q", accumulate(_woven(planes[: width * head.n], width, head.n)))
    shift = 64 if head.family == 6 else 0
    return CountryTable(starts, array("H", indexes), tuple(head.codes), shift, head.built)


def _woven(planes: bytes, width: int, count: int) -> array[int]:
    """Numbers from their planes of bytes, most significant first."""
    size = 2 if width == 2 else 4 if width == 4 else 8
    woven = bytearray(size * count)
    for plane in range(width):
        woven[width - 1 - plane :: size] = planes[plane * count : (plane + 1) * count]
    numbers = array({2: "H", 4: "I", 8: "Q"}[size])
    numbers.frombytes(bytes(woven))
    if array("H", b"\x01\x00")[0] != 1:
        numbers.byteswap()
    return numbers


def read_points(lines: Iterable[str]) -> dict[str, tuple[Place, str]]:
    """Place and continent of each country, from the lines of country-points.csv. Raises UnusableTable."""
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    points: dict[str, tuple[Place, str]] = {}
    try:
        for row in rows:
            place = Place(float(row["lat"]), float(row["lon"]), float(row["spread_km"]))
            points[row["cc"]] = place, row["continent"]
            if len(points) > POINTS_MAX:
                raise UnusableTable(f"it has more than {POINTS_MAX} countries")
    except (KeyError, TypeError, ValueError) as error:
        raise UnusableTable(f"it is no table of points: {error}") from None
    return points


@dataclass(frozen=True, slots=True)
class Countries:
    """Both families, and where the countries are."""

    v4: CountryTable
    v6: CountryTable
    points: Mapping[str, tuple[Place, str]]

    def country(self, address: IPv4Address | IPv6Address) -> str:
        """ISO 3166-1 alpha-2, "" if unknown."""
        table = self.v4 if address.version == 4 else self.v6
        return table.country(int(address))

    def place(self, country: str) -> Place | None:
        found = self.points.get(country)
        return found[0] if found else None

    def continent(self, country: str) -> str:
        found = self.points.get(country)
        return found[1] if found else ""


def embedded() -> Countries:
    """The tables that the package carries. Takes about 0.2 s and 16 MB: for a thread, once."""
    folder = resources.files("edgeproxy.router") / "data"
    with (folder / "country-points.csv").open(encoding="utf-8") as lines:
        points = read_points(lines)
    v4, v6 = ((folder / f"country{family}.bin.xz").read_bytes() for family in (4, 6))
    return Countries(read_table(v4), read_table(v6), points)
