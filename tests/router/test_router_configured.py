import pytest

from edgeproxy.config_router import (
    Router,
    RouterCoverage,
    RouterDns,
    RouterHealth,
    RouterNode,
    RouterRules,
    RouterSignals,
)
from edgeproxy.errors import ConfigurationError
from edgeproxy.router import configured
from edgeproxy.router.client import Whereabouts, identify, parse
from edgeproxy.router.coverage import Elsewhere
from edgeproxy.router.nodes import NodeState
from edgeproxy.router.place import Place
from edgeproxy.router.snapshot import RouteRules

POINTS = {"FR": Place(46.0, 2.0, 900.0)}


def only(**changes: object) -> configured.Listed:
    node = RouterNode(**{"name": "a", "url": "https://a.example/cache/", **changes})
    (listed,) = configured.nodes(Router(node=[node]), POINTS.get)
    return listed


def test_a_node_is_where_its_place_or_else_its_country_says() -> None:
    assert only(country="FR").node.place == POINTS["FR"]
    assert only(country="FR", latitude=48.9, longitude=2.4).node.place == Place(48.9, 2.4)
    assert only().node.place is None


def test_what_is_written_of_a_node_is_what_the_router_knows() -> None:
    listed = only(
        addresses=["192.0.2.1"],
        cost=0.005,
        fill=0.08,
        state="draining",
        countries=["FR"],
        networks=["10.0.0.0/8"],
        probe="http://a.example/alive",
        token="t",
    )
    node = listed.node
    assert (node.url, node.scheme, node.addresses) == ("https://a.example/cache", "https", ("192.0.2.1",))
    assert (node.policy_ms, node.fill_ms, node.state) == (5.0, 80.0, NodeState.DRAINING)
    assert (node.countries, [str(one) for one in node.networks]) == (frozenset({"FR"}), ["10.0.0.0/8"])
    assert (listed.target, listed.token) == ("http://a.example/alive", "t")
    assert only().target == "https://a.example/cache/healthz"


def test_who_shares_the_secret_is_asked_what_no_origin_has_to_answer() -> None:
    router = Router(secret="s" * 32, node=[RouterNode(name="a", url="http://a.example/x/")])
    assert configured.nodes(router, POINTS.get)[0].target == "http://a.example/x/route/v1/alive"


def test_coverage_holds_every_network_as_and_country_of_an_entry() -> None:
    entries = [
        RouterCoverage(nodes=["a", "b"], networks=["10.0.0.0/8", "2001:db8::/32"], asns=[64500]),
        RouterCoverage(nodes=["b"], countries=["DE"]),
    ]
    made = configured.coverage_of(Router(coverage=entries, countries=["DE"], elsewhere="origin"))

    class Nowhere:
        def whereabouts(self, address: object) -> Whereabouts:
            return Whereabouts("DE")

    found = made.entry(identify(parse("10.1.2.3"), Nowhere()))
    assert found is not None
    assert found[0].nodes == ("a", "b")
    by_country = made.entry(identify(parse("192.0.2.1"), Nowhere()))
    assert by_country is None or by_country[0].nodes == ("b",)
    assert (made.countries, made.elsewhere) == (frozenset({"DE"}), Elsewhere.ORIGIN)


def test_what_belongs_to_two_entries_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="coverage"):
        configured.coverage_of(Router(coverage=[RouterCoverage(nodes=["a"], asns=[1]) for _ in range(2)]))


def test_the_defaults_of_the_configuration_are_those_of_the_rules() -> None:
    assert configured.rules_of(Router()) == RouteRules()


def test_seconds_become_milliseconds() -> None:
    rules = configured.rules_of(
        Router(rules=RouterRules(affinity=0.02, keep=0.001), dns=RouterDns(ttl_max=30))
    )
    assert (rules.affinity_budget_ms, rules.keep_ms, rules.ttl_most) == (20.0, 1.0, 30.0)


def test_signals_and_health_are_those_of_the_configuration() -> None:
    signals = RouterSignals(
        announced=["https://*.x"], announced_networks=["10.0.0.0/8"], interval=4, missed=2
    )
    router = Router(signals=signals, health=RouterHealth(interval=2, timeout=1, down=2, up=3, down_of_ten=4))
    rules = configured.announce_rules(router, "t")
    assert (rules.token, rules.urls, rules.heartbeat_seconds, rules.missed) == ("t", ("https://*.x",), 4, 2)
    probe = configured.probe_settings(router)
    assert (probe.every_seconds, probe.timeout_seconds) == (2, 1)
    votes = configured.keeper_settings(router).votes
    assert (votes.down_row, votes.down_most, votes.up_row) == (2, 4, 3)
