from ipaddress import ip_network
from typing import Any

import pytest
from router_world import client_at, node

from edgeproxy.router.coverage import Coverage, Elsewhere, Entry, coverage
from edgeproxy.router.nodes import NodeState
from edgeproxy.router.refusals import Refusal, Refused, eligible

BERLIN = client_at("berlin", asn=64500)


@pytest.mark.parametrize(
    ("changes", "asked", "reason"),
    [
        ({"state": NodeState.DOWN}, {}, Refusal.DOWN),
        ({"state": NodeState.DRAINING}, {}, Refusal.DRAINING),
        ({"state": NodeState.MAINTENANCE}, {}, Refusal.MAINTENANCE),
        ({"addresses": ("192.0.2.1",)}, {"family": 6}, Refusal.FAMILY),
        ({"addresses": ("192.0.2.1", "2001:db8::1")}, {"family": 6}, None),
        ({}, {"scheme": "https"}, Refusal.SCHEME),
        ({"countries": frozenset({"FR"})}, {}, Refusal.COUNTRY),
        ({"countries": frozenset({"DE"})}, {}, None),
        ({"asns": frozenset({64501})}, {}, Refusal.NETWORK),
        ({"asns": frozenset({64500})}, {}, None),
        ({"networks": (ip_network("198.0.0.0/8"),)}, {}, None),
        ({"networks": (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))}, {}, Refusal.NETWORK),
        ({}, {"excluded": frozenset({"one"})}, Refusal.COMPLAINT),
        ({"state": NodeState.DEGRADED}, {}, None),
    ],
)
def test_each_refusal_has_its_reason(
    changes: dict[str, Any], asked: dict[str, Any], reason: Refusal | None
) -> None:
    others = [node("paris", "two", addresses=("2001:db8::2",), scheme="https"), node("paris", "three")]
    found = eligible([node("paris", "one", **changes), *others], BERLIN, Coverage(), **asked)
    refused = {one.node: one.reason for one in found.refused}
    assert refused.get("one") == reason
    assert ("one" in {one.name for one in found.nodes}) is (reason is None)


def test_when_most_are_down_the_looking_is_what_is_broken() -> None:
    nodes = [node("paris", f"n{n}", state=NodeState.DOWN if n < 2 else NodeState.UP) for n in range(3)]
    found = eligible(nodes, BERLIN, Coverage())
    assert found.panic
    assert len(found.nodes) == 3
    alone = eligible([node("paris", state=NodeState.DOWN)], BERLIN, Coverage())
    assert (alone.panic, alone.nodes) == (False, ())


def test_the_map_decides_while_what_it_names_is_usable() -> None:
    nodes = [node("paris"), node("tokyo")]
    covered = coverage([Entry(("tokyo",), country="DE")])
    found = eligible(nodes, BERLIN, covered)
    assert [one.name for one in found.nodes] == ["tokyo"]
    assert found.refused == (Refused("paris", Refusal.COVERAGE),)
    nodes[1] = node("tokyo", state=NodeState.DRAINING)
    assert [one.name for one in eligible(nodes, BERLIN, covered).nodes] == ["paris"]


def test_clients_of_other_countries_may_be_sent_to_the_origin() -> None:
    rule = coverage([], countries=["FR"], elsewhere=Elsewhere.ORIGIN)
    assert eligible([node("paris")], BERLIN, rule).to_origin
    assert not eligible([node("paris")], client_at("paris"), rule).to_origin
