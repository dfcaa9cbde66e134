from ipaddress import ip_address, ip_network

import pytest

from edgeproxy.router.dns_settings import DnsSettings
from edgeproxy.router.dns_source import source_reader


def reader(**changes: object):  # type: ignore[no-untyped-def]
    return source_reader(DnsSettings((), (), **changes))  # type: ignore[arg-type]


def test_an_ipv4_address_in_an_ipv6_one_is_that_but_its_cookie_is_for_what_was_seen() -> None:
    read = reader()
    plain, mapped = read("192.0.2.7"), read("::ffff:192.0.2.7")
    assert (mapped.version, mapped.number, mapped.network) == (plain.version, plain.number, plain.network)
    assert mapped.packed == ip_address("::ffff:192.0.2.7").packed


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.254", True),
        ("192.0.2.1", "192.0.3.1", False),
        ("2001:db8:0:ff::1", "2001:db8:0:1::1", True),
        ("2001:db8:0:100::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("0.0.1.0", "::100", False),
    ],
)
def test_a_network_is_24_bits_or_56(one: str, other: str, same: bool) -> None:
    read = reader()
    assert (read(one).network == read(other).network) is same


def test_who_may_tell_of_clients_and_who_has_no_limit() -> None:
    inside, outside = "192.0.2.1", "198.51.100.1"
    networks = (ip_network("192.0.2.0/24"), ip_network("2001:db8::/32"))
    read = reader(subnet_from=networks, unlimited=networks)
    assert [(read(one).may_tell, read(one).is_unlimited) for one in (inside, outside)] == [
        (True, True),
        (False, False),
    ]
    assert reader()(outside).may_tell
    assert not reader(use_subnet=False, subnet_from=networks)(inside).may_tell


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(ValueError):
        reader()("nonsense")
