"""Which prefix of the routing tables an address belongs to, and whose it is: a routing table as exported.

Prefixes nest; a table answers with the longest. They are laid flat beforehand: sorted, disjoint intervals,
each with the route that wins there, so that a look-up is a bisection and a million prefixes take some 30 MB.
Of IPv6 the upper 64 bits count."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from edgeproxy.router.client import Address

PREFIXES_MAX = 4_000_000
_V6_BITS = 64


class UnusableRoutes(ValueError):
    """A file that is no routing table; one line says why."""


@dataclass(frozen=True, slots=True)
class Route:
    """`hops` is how many different ASes the shortest path has, its origin included; 0 if no path is known."""

    prefix: str
    asn: int
    hops: int = 0


@dataclass(frozen=True, slots=True)
class Announced:
    """A prefix as a file has it: its first address (of IPv6 the upper 64 bits) and its length."""

    start: int
    length: int
    asn: int
    hops: int = 0


class Routes:
    """Of one family. Made of `packed` prefixes, see `table_of`."""

    def __init__(self, packed: dict[int, int], family: int) -> None:
        self._bits = 32 if family == 4 else _V6_BITS
        self._family = family
        self._starts = array("Q")
        self._lengths = array("B")  # 255: no route
        self._asns = array("I")
        self._hops = array("B")
        self._lay(packed)

    def __len__(self) -> int:
        return len(self._starts)

    def _lay(self, packed: dict[int, int]) -> None:
        """Outer prefixes come before those within; `open_` is the nest we are in."""
        open_: list[Announced] = []
        self._begin(0, None)
        for key in sorted(packed):
            told = packed[key]
            one = Announced(key >> 8, key & 255, told >> 8, told & 255)
            while open_ and self._end(open_[-1]) <= one.start:
                self._close(open_)
            self._begin(one.start, one)
            open_.append(one)
        while open_:
            self._close(open_)

    def _close(self, open_: list[Announced]) -> None:
        end = self._end(open_.pop())
        while open_ and self._end(open_[-1]) == end:
            open_.pop()
        if end < 1 << self._bits:
            self._begin(end, open_[-1] if open_ else None)

    def _end(self, one: Announced) -> int:
        return one.start + (1 << (self._bits - one.length))

    def _begin(self, start: int, one: Announced | None) -> None:
        if self._starts and self._starts[-1] == start:  # nothing lies between two that begin here
            for table in (self._starts, self._lengths, self._asns, self._hops):
                table.pop()
        self._starts.append(start)
        self._lengths.append(255 if one is None else one.length)
        self._asns.append(0 if one is None else one.asn)
        self._hops.append(0 if one is None else one.hops)

    def route(self, number: int) -> Route | None:
        """`number` is the whole address."""
        key = number if self._family == 4 else number >> _V6_BITS
        at = bisect_right(self._starts, key) - 1
        length = self._lengths[at]
        if length == 255:
            return None
        base = (key >> (self._bits - length)) << (self._bits - length)
        if self._family == 4:
            prefix = str(IPv4Network((base, length)))
        else:
            prefix = str(IPv6Network((base << _V6_BITS, length)))
        return Route(prefix, self._asns[at], self._hops[at])


@dataclass(frozen=True, slots=True)
class BgpTable:
    """Both families. `is_cut`: the file ended within a record, and what came before is used."""

    v4: Routes
    v6: Routes
    prefixes: int = 0
    is_cut: bool = False

    def route(self, address: Address) -> Route | None:
        table = self.v4 if address.version == 4 else self.v6
        return table.route(int(address))


def table_of(announced: Iterable[tuple[int, Announced]]) -> BgpTable:
    """Of pairs of family and prefix in any order; of a prefix that stands twice the last counts. Raises
    UnusableRoutes for too many, or none."""
    # Where and how long, whose and how far: numbers, since values would take 300 MB for a million prefixes.
    found: dict[int, dict[int, int]] = {4: {}, 6: {}}
    count = 0
    for family, one in announced:
        found[family][one.start << 8 | one.length] = one.asn << 8 | min(one.hops, 255)
        count += 1
        if count > PREFIXES_MAX:
            raise UnusableRoutes(f"it has more than {PREFIXES_MAX} prefixes")
    if not count:
        raise UnusableRoutes("it has no prefixes")
    return BgpTable(Routes(found[4], 4), Routes(found[6], 6), count)


def read_lines(lines: Iterable[str]) -> Iterable[tuple[int, Announced]]:
    """Of a file of `prefix<TAB>asn`; lines that begin with ; or # are comments. Raises UnusableRoutes for the
    first line that is neither."""
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if not line or line[0] in ";#":
            continue
        prefix, _, told = line.partition("\t")
        try:
            network = ip_network(prefix)
            asn = int(told.removeprefix("AS")) if told.isascii() else -1
            if not 0 <= asn < 1 << 32:
                raise ValueError("no AS number")
        except ValueError as error:
            raise UnusableRoutes(f"line {number} is no prefix and AS number: {str(error)[:100]}") from None
        if network.version == 4:
            yield 4, Announced(int(network.network_address), network.prefixlen, asn)
        elif network.prefixlen <= _V6_BITS:
            yield 6, Announced(int(network.network_address) >> _V6_BITS, network.prefixlen, asn)
