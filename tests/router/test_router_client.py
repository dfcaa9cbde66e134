from ipaddress import IPv4Address, IPv4Network, ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from router_world import PLACES, Atlas

from edgeproxy.router.client import Whereabouts, folded, identify, is_private, parse, prefix_of, prefix_text

_SHARED = IPv4Network("100.64.0.0/10")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("64:ff9b::c000:201", "192.0.2.1"),
        ("2002:c000:201::1", "192.0.2.1"),
        ("2001:0:1:2:3:4:3fff:fdfe", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("192.0.2.1", "192.0.2.1"),
    ],
)
def test_an_address_within_an_address_is_the_client(written: str, meant: str) -> None:
    assert folded(ip_address(written)) == ip_address(meant)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("[2001:db8::1]", "2001:db8::1"),
        ("[fe80::1%eth0]", "fe80::1"),
        ("fe80::1%eth0", "fe80::1"),
        (" 192.0.2.1 ", "192.0.2.1"),
        ("192.0.2.256", None),
        ("0x7f.1", None),
        ("", None),
        ("unknown", None),
    ],
)
def test_addresses_are_read_as_they_are_written(text: str, address: str | None) -> None:
    assert parse(text) == (None if address is None else ip_address(address))


@pytest.mark.parametrize(
    "text", ["10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "127.0.0.1", "fd00::1", "fe80::1", "::1"]
)
def test_private_addresses_have_no_geography(text: str) -> None:
    assert is_private(ip_address(text))
    client = identify(
        ip_address(text), Atlas(**{text.replace(".", "_"): Whereabouts("DE", PLACES["berlin"])})
    )
    assert client.is_private
    assert (client.whereabouts, client.groups[1:]) == (Whereabouts(), (None, None, None, ""))


def test_a_client_belongs_to_groups_from_fine_to_coarse() -> None:
    where = Whereabouts("DE", PLACES["berlin"], 64500, "81.2.0.0/16")
    client = identify(ip_address("81.2.69.7"), Atlas(**{"81_2_69_7": where}))
    assert client.groups == ("81.2.69.0/24", "81.2.0.0/16", (64500, "DE"), ("DE", 10, 2), "")
    assert client.group == "81.2.69.0/24"
    unknown = identify(None, Atlas())
    assert (unknown.group, unknown.prefix) == ("", "")


def test_no_more_of_an_address_is_used_than_was_told_or_is_decent() -> None:
    address = ip_address("2001:db8:1:2::7")
    assert identify(address, Atlas()).prefix == "2001:db8:1::/48"
    assert identify(address, Atlas(), bits=32).prefix == "2001:db8::/32"
    assert identify(address, Atlas(), bits=128).prefix == "2001:db8:1::/48"


@given(st.ip_addresses())
def test_every_address_has_a_prefix_that_holds_what_it_folds_to(address: object) -> None:
    client = identify(address, Atlas())  # type: ignore[arg-type]
    assert client.address in prefix_of(client.address)  # type: ignore[arg-type]
    assert client.groups[-1] == ""


@given(st.ip_addresses(), st.one_of(st.none(), st.integers(0, 128)))
def test_a_prefix_in_words_is_the_prefix(address: Any, bits: int | None) -> None:
    kept = None if bits is None else min(bits, address.max_prefixlen)
    assert prefix_text(address, kept) == str(prefix_of(address, kept))


@pytest.mark.parametrize("octet", range(256))
def test_only_octets_that_are_looked_at_hold_private_addresses(octet: int) -> None:
    """The networks that are no part of the internet, whichever release of the library knows them."""
    for rest in (0, 1, 0x00FFFFFF, 0x000000AA, 0x00010203, *(1 << bit for bit in range(24))):
        address = IPv4Address(octet << 24 | rest)
        special = address.is_private or address.is_loopback or address.is_link_local
        assert is_private(address) is (special or address.is_unspecified or address in _SHARED)
