"""A country table of the operator's own in place of the one that the package carries: the text files that
distributions have for tor, `geoip` and, beside it, `geoip6`.

    16777216,16777471,AU              first and last address as numbers
    2001:200::,2001:200:ffff:...,JP   or written out

Comments begin with #. Lines are in order and do not overlap."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from edgeproxy.router.country_table import UNKNOWN, Countries, CountryTable, UnusableTable

LINES_MAX = 4_000_000
LINES_LEAST = 1000


def read_ranges(lines: Iterable[str], family: int, built: str) -> CountryTable:
    """Raises UnusableTable for the first line that is wrong."""
    starts, indexes = array("Q", [0]), array("H", [0])
    codes = {UNKNOWN: 0}
    shift = 64 if family == 6 else 0
    end = 0  # the first address behind the last range, shifted
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if number > LINES_MAX:
            raise UnusableTable(f"it has more than {LINES_MAX} lines")
        first, last, code = _range(line, number, family)
        first, last = first >> shift, last >> shift
        if first < end:
            if last < end:  # of IPv6, a range within the upper 64 bits of another
                continue
            first = end
        if first > end:
            _put(starts, indexes, end, 0)
        _put(starts, indexes, first, codes.setdefault(code, len(codes)))
        end = last + 1
    if len(starts) < LINES_LEAST:
        raise UnusableTable(f"it has only {len(starts)} ranges")
    if end < 1 << (64 if family == 6 else 32):
        _put(starts, indexes, end, 0)
    return CountryTable(starts, indexes, tuple(codes), shift, built)


def _put(starts: array[int], indexes: array[int], start: int, index: int) -> None:
    if starts[-1] == start:
        indexes[-1] = index
    elif indexes[-1] != index:
        starts.append(start)
        indexes.append(index)


def _range(line: str, number: int, family: int) -> tuple[int, int, str]:
    try:
        first, last, code = line.split(",")
        if family == 6:
            low, high = int(IPv6Address(first)), int(IPv6Address(last))
        else:
            low, high = int(IPv4Address(int(first))), int(IPv4Address(int(last)))
    except ValueError as error:
        raise UnusableTable(f"line {number} is no range of a country: {str(error)[:100]}") from None
    if code == "??":
        code = UNKNOWN
    if low > high or len(code) != 2 or not code.isascii() or not code.isalpha():
        raise UnusableTable(f"line {number} is no range of a country")
    return low, high, code.upper()


def read_countries(path: Path, points: Countries) -> Countries:
    """The tables at `path` and `path`6, with the places of `points`. A second or two: for a thread. Raises
    UnusableTable."""
    tables = {}
    for family, file in ((4, path), (6, path.with_name(f"{path.name}6"))):
        try:
            built = datetime.fromtimestamp(file.stat().st_mtime, UTC).date().isoformat()
            with file.open(encoding="ascii") as lines:
                tables[family] = read_ranges(lines, family, built)
        except (OSError, UnicodeDecodeError, OverflowError) as error:
            raise UnusableTable(f"{file} cannot be read: {str(error)[:200]}") from None
        except UnusableTable as error:
            raise UnusableTable(f"{file} cannot be used: {error}") from None
    return Countries(tables[4], tables[6], points.points)
