from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.router.bgp_table import BgpTable, Route, UnusableRoutes, read_lines, table_of


def table(*lines: str) -> BgpTable:
    return table_of(read_lines(lines))


def route(found: BgpTable, text: str) -> Route | None:
    return found.route(ipaddress.ip_address(text))


NESTED = table(
    "; a comment",
    "",
    "10.0.0.0/8\t1",
    "10.1.0.0/16\t2",
    "10.1.2.0/24\t3",
    "10.255.255.0/24\t4",  # ends where the outer one ends
    "11.0.0.0/8\tAS5",
    "0.0.0.0/0\t6",  # a default route
    "::/0\t6",
    "12.0.0.0/8\t6",
    "2001:db8::/32\t7",
    "2001:db8:1::/48\t8",
    "2001:db8:1:2:3::/80\t9",  # longer than is looked at
)


@pytest.mark.parametrize(
    ("address", "prefix", "asn"),
    [
        ("10.1.2.3", "10.1.2.0/24", 3),
        ("10.1.3.0", "10.1.0.0/16", 2),
        ("10.0.0.0", "10.0.0.0/8", 1),
        ("10.2.0.0", "10.0.0.0/8", 1),
        ("10.255.255.255", "10.255.255.0/24", 4),
        ("11.0.0.0", "11.0.0.0/8", 5),
        ("12.255.255.255", "12.0.0.0/8", 6),
        ("2001:db8::1", "2001:db8::/32", 7),
        ("2001:db8:1:2:3::1", "2001:db8:1::/48", 8),
    ],
)
def test_the_longest_prefix_wins(address: str, prefix: str, asn: int) -> None:
    assert route(NESTED, address) == Route(prefix, asn)


@pytest.mark.parametrize(
    "address", ["9.255.255.255", "13.0.0.0", "128.0.0.0", "255.255.255.255", "::", "2001:db9::"]
)
def test_what_no_prefix_holds_has_no_route(address: str) -> None:
    assert route(NESTED, address) is None


def test_the_ends_of_the_space_can_be_held() -> None:
    found = table("0.0.0.0/8\t1", "255.0.0.0/8\t2", "ff00::/16\t3", "ffff::/16\t4")
    assert route(found, "0.0.0.0") == Route("0.0.0.0/8", 1)
    assert route(found, "255.255.255.255") == Route("255.0.0.0/8", 2)
    assert route(found, "ffff:ffff:ffff:ffff::") == Route("ffff::/16", 4)


def test_of_a_prefix_that_stands_twice_the_last_counts() -> None:
    assert route(table("10.0.0.0/8\t1", "10.0.0.0/8\t2"), "10.0.0.1") == Route("10.0.0.0/8", 2)


@pytest.mark.parametrize(
    "line",
    ["x", "10.0.0.0/8", "10.0.0.0/8 1", "10.0.0.1/8\t1", "10.0.0.0/8\t-1", "10.0.0.0/8\t4294967296",
     "10.0.0.0/8\tx", "10.0.0.0/33\t1", "10.0.0.0/8\t\u0661"],
)  # fmt: skip
def test_a_line_that_is_none_is_named(line: str) -> None:
    with pytest.raises(UnusableRoutes, match="line 2"):
        table("8.0.0.0/8\t1", line)


def test_nothing_is_no_table() -> None:
    with pytest.raises(UnusableRoutes, match="no prefixes"):
        table("# only this")


PREFIXES = st.lists(
    st.tuples(st.integers(0, 255), st.integers(0, 8), st.integers(1, 9)), min_size=1, max_size=30
)


@given(PREFIXES, st.integers(0, 255))
def test_it_agrees_with_looking_at_every_prefix(prefixes: list[tuple[int, int, int]], last: int) -> None:
    """Within one /24, so that prefixes nest and meet."""
    networks = {
        ipaddress.ip_network((0x0A000000 | start, 24 + length), strict=False): asn
        for start, length, asn in prefixes
    }
    address = ipaddress.IPv4Address(0x0A000000 | last)
    holding = [network for network in networks if address in network]
    expected = max(holding, key=lambda network: network.prefixlen, default=None)
    found = table(*(f"{network}\t{asn}" for network, asn in networks.items())).route(address)
    assert found == (None if expected is None else Route(str(expected), networks[expected]))
