from __future__ import annotations

import pytest
from router.router_keeping import ALLOWED, announcement
from router.router_world import NOW, node

from edgeproxy.router.announcement import AnnounceRules, Refused
from edgeproxy.router.nodes import NodeState, RouteNode
from edgeproxy.router.registry import Listed, Registry


def registry() -> Registry:
    found = Registry(ALLOWED)
    found.configure([Listed(node("berlin"), token="own"), Listed(node("paris"))])
    return found


def named(found: Registry, now: float = NOW) -> dict[str, RouteNode]:
    return {one.node.name: one.node for one in found.listed(now)}


def refusal(found: Registry, *, now: float = NOW, **fields: object) -> int:
    with pytest.raises(Refused) as caught:
        found.announced(announcement(**fields), now)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return caught.value.status


@pytest.mark.parametrize(
    ("name", "token", "status"),
    [
        ("berlin", "own", 0),
        ("berlin", "all", 401),  # what all nodes know does not speak for this one
        ("paris", "all", 0),
        ("oslo", "all", 0),
        ("oslo", "own", 401),
        ("oslo", "", 401),
        ("oslo", "\udcff", 401),
    ],
)
def test_a_node_speaks_for_itself_only(name: str, token: str, status: int) -> None:
    if not status:
        registry().authorise(name, token)
        return
    with pytest.raises(Refused) as caught:
        registry().authorise(name, token)
    assert caught.value.status == status


def test_without_a_token_nobody_announces() -> None:
    found = Registry(AnnounceRules())
    for attempt in (lambda: found.admit(""), lambda: found.authorise("oslo", "")):
        with pytest.raises(Refused) as caught:
            attempt()
        assert caught.value.status == 403


def test_a_configured_node_tells_how_it_fares_but_never_where_it_is() -> None:
    found = registry()
    found.announced(
        announcement("berlin", url="https://evil.edge.example", utilisation=0.9, in_flight=7), NOW
    )
    berlin = named(found)["berlin"]
    assert berlin.url == node("berlin").url
    assert (berlin.utilisation, berlin.in_flight) == (0.9, 7)


def test_what_the_operator_drains_stays_drained() -> None:
    found = Registry(ALLOWED)
    found.configure([Listed(node("berlin", state=NodeState.DRAINING))])
    found.announced(announcement("berlin", state="up"), NOW)
    assert named(found)["berlin"].state is NodeState.DRAINING
    found.configure([Listed(node("berlin"))])
    found.announced(announcement("berlin", at=NOW + 10, state="draining"), NOW + 10)
    assert named(found, NOW + 10)["berlin"].state is NodeState.DRAINING


def test_an_announced_node_lasts_three_heartbeats() -> None:
    found = registry()
    found.announced(announcement(addresses=["203.0.113.9"], latitude=59.9, longitude=10.7), NOW)
    oslo = named(found)["oslo"]
    assert (oslo.url, oslo.addresses, oslo.scheme) == ("https://oslo.edge.example", ("203.0.113.9",), "https")
    assert oslo.place is not None
    assert oslo.started == NOW, "it begins slowly"
    assert "oslo" in named(found, NOW + 30)
    assert "oslo" not in named(found, NOW + 31)
    assert found.expire(NOW + 31) == ["oslo"]


def test_what_a_configured_node_told_is_not_believed_for_ever() -> None:
    found = registry()
    found.announced(announcement("paris", utilisation=0.9), NOW)
    assert named(found, NOW + 31)["paris"].utilisation == 0.0


def test_load_is_smoothed() -> None:
    found = registry()
    for number, used in enumerate([0.0, 1.0, 1.0]):
        found.announced(announcement(at=NOW + number, utilisation=used), NOW + number)
    assert named(found, NOW + 3)["oslo"].utilisation == 0.75


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"url": "http://oslo.edge.example"}, 403),  # the pattern says https
        ({"url": "https://oslo.edge.example.evil.com"}, 403),
        ({"url": "https://evil.com/x.edge.example"}, 403),
        ({"url": "https://evil.com#.edge.example"}, 400),
        ({"url": "https://evil.com\\.edge.example"}, 400),
        ({"url": "https://x@evil.com"}, 400),
        ({"url": "//evil.com"}, 400),
        ({"url": "javascript:alert(1)"}, 400),
        ({"url": "https://oslo.edge.example\r\nX: y"}, 400),
        ({"url": "https://oslo.edge.example/"}, 400),
        ({"url": "https://[::1"}, 400),
        ({"url": "https://oslo.edge.example:99999"}, 400),
        ({"url": ""}, 400),
        ({"url": "http://10.0.0.1"}, 403),
        ({"url": "http://169.254.169.254"}, 403),
        ({"addresses": ["198.51.100.1"]}, 403),
        ({"addresses": ["203.0.113.9", "::1"]}, 403),
        ({"addresses": ["evil.com"]}, 403),
        ({"at": NOW - 61}, 400),
        ({"at": NOW + 61}, 400),
        ({"at": float("nan")}, 400),
        ({"at": float("inf")}, 400),
    ],
)
def test_clients_are_sent_only_where_the_operator_allows(fields: dict[str, object], status: int) -> None:
    found = registry()
    assert refusal(found, **fields) == status
    assert "oslo" not in named(found)


@pytest.mark.parametrize(
    "url",
    ["https://oslo.edge.example", "https://oslo.edge.example/files", "http://203.0.113.9:8080"],
)
def test_what_is_allowed_is_taken(url: str) -> None:
    found = registry()
    found.announced(announcement(url=url), NOW)
    assert named(found)["oslo"].url == url


def test_an_address_in_the_url_is_the_address_for_dns() -> None:
    found = registry()
    found.announced(announcement(url="http://203.0.113.9:8080"), NOW)
    assert named(found)["oslo"].addresses == ("203.0.113.9",)


def test_a_name_is_not_stolen_while_its_node_lives() -> None:
    found = registry()
    found.announced(announcement(), NOW)
    assert refusal(found, now=NOW + 1, at=NOW + 1, url="https://evil.edge.example") == 409
    found.announced(announcement(at=NOW + 40, url="https://oslo2.edge.example"), NOW + 40)
    assert named(found, NOW + 40)["oslo"].url == "https://oslo2.edge.example"


def test_what_was_said_before_is_not_said_again() -> None:
    found = registry()
    found.announced(announcement(at=NOW + 5), NOW)
    assert refusal(found, now=NOW + 10, at=NOW + 5) == 409
    assert refusal(found, now=NOW + 0.1, at=NOW + 6) == 429


def test_nodes_are_bounded() -> None:
    found = registry()
    for number in range(5):
        found.announced(announcement(f"n{number}", url=f"https://n{number}.edge.example"), NOW)
    assert refusal(found) == 503
    found.announced(announcement(at=NOW + 40), NOW + 40)


def test_another_configuration_takes_a_name_that_was_announced() -> None:
    found = registry()
    found.announced(announcement(utilisation=0.5), NOW)
    found.configure([Listed(node("tokyo", "oslo"))])
    assert list(named(found)) == ["oslo"]
    assert named(found)["oslo"].url == "http://oslo.example"
    assert named(found)["oslo"].utilisation == 0.0


def test_a_name_is_configured_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        Registry(ALLOWED).configure([Listed(node("berlin")), Listed(node("berlin"))])


def test_another_source_lists_nodes_behind_the_configuration() -> None:
    class Elsewhere:
        def listed(self, now: float) -> list[Listed]:
            return [Listed(node("tokyo")), Listed(node("sydney", "berlin"))]

    found = Registry(ALLOWED, (Elsewhere(),))
    found.configure([Listed(node("berlin"))])
    assert {name: one.url for name, one in named(found).items()} == {
        "berlin": "http://berlin.example",
        "tokyo": "http://tokyo.example",
    }
    assert refusal(found, name="tokyo") == 409


def test_what_matters_at_once_is_told() -> None:
    found = registry()
    took = [
        found.announced(announcement(at=NOW + number, **fields), NOW + number)
        for number, fields in enumerate([{}, {}, {"state": "draining"}, {"utilisation": 2.0}, {}])
    ]
    assert took == [True, False, True, True, True]
