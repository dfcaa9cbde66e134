from ipaddress import ip_address, ip_network

import pytest
from router_world import client_at

from edgeproxy.router.client import Client, Whereabouts, identify
from edgeproxy.router.coverage import Coverage, Entry, coverage

MAP = coverage(
    [
        Entry(("office",), network=ip_network("10.0.0.0/8")),
        Entry(("lab",), network=ip_network("10.1.0.0/16")),
        Entry(("six",), network=ip_network("2001:db8::/32")),
        Entry(("isp",), asn=64500),
        Entry(("fr",), country="FR"),
    ]
)


class At:
    def whereabouts(self, address: object) -> Whereabouts:
        return Whereabouts("FR", None, 64500 if str(address) == "81.2.69.1" else 0)


def at(text: str) -> Client:
    return identify(ip_address(text), At())


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("10.9.9.9", "office"),
        ("10.1.2.3", "lab"),
        ("2001:db8:5::1", "six"),
        ("81.2.69.1", "isp"),
        ("81.2.69.2", "fr"),
    ],
)
def test_the_longest_prefix_wins_then_the_as_then_the_country(text: str, node: str) -> None:
    found = MAP.entry(at(text))
    assert found is not None
    assert found[0].nodes == (node,)


def test_who_is_not_in_the_map_is_not_covered() -> None:
    assert MAP.entry(client_at("tokyo")) is None


def test_an_entry_names_nodes_and_stands_once() -> None:
    with pytest.raises(ValueError, match="at least one node"):
        Entry((), country="DE")
    with pytest.raises(ValueError, match="twice"):
        coverage([Entry(("a",), country="DE"), Entry(("b",), country="DE")])


def test_countries_that_are_not_served_and_those_unknown() -> None:
    served = Coverage(frozenset({"DE"}))
    assert served.is_served(client_at("berlin"))
    assert not served.is_served(client_at("tokyo"))
    assert served.is_served(identify(ip_address("10.1.1.1"), At()))
