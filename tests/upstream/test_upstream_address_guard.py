"""Addresses a client may and may not make us connect to."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.upstream.address_guard import literal, permitted, refusal

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "172.15.0.1",
    "100.128.0.1",
    "2606:4700::1",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
]
REFUSED = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "fc00::1",
    "fd12::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "2001:0:1:2::3",
    "5f00::1",
    "100::1",
    "::ffff:127.0.0.1",
    "::ffff:10.1.1.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2606:4700::5efe:10.0.0.1",
    "2606:4700::200:5efe:7f00:1",
]


@pytest.mark.parametrize("text", PUBLIC)
def test_a_public_address_is_permitted(text: str) -> None:
    assert refusal(ip_address(text)) is None


@pytest.mark.parametrize("text", REFUSED)
def test_an_address_that_is_not_public_is_refused(text: str) -> None:
    with pytest.raises(UpstreamError) as caught:
        permitted("x", [ip_address(text)], private=False)
    assert (caught.value.error, caught.value.sent) == (ProxyError.DESTINATION_IP_PROHIBITED, False)


@pytest.mark.parametrize("text", ["10.0.0.1", "127.0.0.1", "::1", "fd12::1", "169.254.169.254"])
def test_private_addresses_are_permitted_where_allowed(text: str) -> None:
    assert permitted("x", [ip_address(text)], private=True) == (ip_address(text),)


@pytest.mark.parametrize("text", ["0.0.0.0", "::", "224.0.0.1", "ff02::1"])
def test_addresses_of_nobody_and_of_many_are_never_permitted(text: str) -> None:
    with pytest.raises(UpstreamError):
        permitted("x", [ip_address(text)], private=True)


def test_of_a_mixed_answer_only_the_public_addresses_are_left() -> None:
    answer = [ip_address("127.0.0.1"), ip_address("8.8.8.8"), ip_address("::1")]
    assert permitted("x", answer, private=False) == (ip_address("8.8.8.8"),)


@pytest.mark.parametrize(
    "host",
    ["0x7f.1", "2130706433", "017700000001", "127.1", "0177.0.0.1", "127.0.0.1.", "0x7F000001", "127.0.1"],
)
def test_every_spelling_of_loopback_is_seen_as_loopback(host: str) -> None:
    assert refusal(literal(host) or ip_address("8.8.8.8")) == "loopback"


@pytest.mark.parametrize("host", ["example.1", "1.2.3.4.5", "256.1.1.1", "0x", "fe80::1%eth0", "::g"])
def test_what_ends_in_a_number_and_is_no_address_is_no_name_either(host: str) -> None:
    with pytest.raises(ValueError):
        literal(host)


@pytest.mark.parametrize("host", ["example.com", "1.example", "0x7f.example", "a1", "localhost"])
def test_a_name_is_not_an_address(host: str) -> None:
    assert literal(host) is None


@settings(max_examples=150)
@given(st.integers(0, 2**32 - 1))
def test_an_address_carried_in_ipv6_is_as_public_as_it_is_alone(number: int) -> None:
    plain = refusal(IPv4Address(number)) is None
    for carrier in (0xFFFF << 32, 0x64FF9B << 96):
        assert (
            refusal(
                ip_address(carrier | number)
                if carrier >> 40
                else ip_address("::ffff:" + str(IPv4Address(number)))
            )
            is None
        ) is plain
