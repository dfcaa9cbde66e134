import dataclasses
import time
from ipaddress import IPv4Address, ip_address, ip_network

import pytest
from dns_world import NOW, V6, Continents, dns_nodes, done
from router_world import node

from edgeproxy.router.beliefs import PREFIX, Beliefs, Observed
from edgeproxy.router.client import Client, Network, identify
from edgeproxy.router.coverage import Elsewhere, Entry, coverage
from edgeproxy.router.decide import decide
from edgeproxy.router.dns_compile import Compiled, MapRules, compiling, knowing
from edgeproxy.router.dns_map import AnswerSet
from edgeproxy.router.nodes import NodeState
from edgeproxy.router.snapshot import Kept, Snapshot

TERRITORY = Continents()
RULES = MapRules()


def made(snapshot: Snapshot, rules: MapRules = RULES, former: Compiled | None = None) -> Compiled:
    return done(compiling(snapshot, TERRITORY, client_of, NOW, rules, former or Compiled()))


def client_of(network: Network) -> Client:
    return identify(network.network_address, TERRITORY, bits=network.prefixlen)


def at(compiled: Compiled, text: str) -> AnswerSet:
    address = ip_address(text)
    return compiled.map.find(address.version, int(address))


@pytest.mark.parametrize(
    ("address", "nodes"),
    [
        ("20.1.1.1", ("berlin", "paris")),
        ("70.1.1.1", ("tokyo",)),
        ("120.1.1.1", ("tokyo",)),
        ("160.1.1.1", ("denver",)),
        ("2001:db8::1", ("berlin", "paris")),
    ],
)
def test_every_area_gets_its_nearest_nodes(address: str, nodes: tuple[str, ...]) -> None:
    assert at(made(Snapshot(dns_nodes())), address).nodes == nodes


def test_both_families_come_from_the_same_nodes_in_the_same_order() -> None:
    found = at(made(Snapshot(dns_nodes())), "20.1.1.1")
    assert found.v4 == (ip_address("192.0.2.1").packed, ip_address("192.0.2.2").packed)
    assert found.v6 == (ip_address(V6["berlin"]).packed,)


def test_one_address_is_given_where_one_is_wanted_or_the_second_is_not_well() -> None:
    assert at(made(Snapshot(dns_nodes()), MapRules(addresses=1)), "20.1.1.1").nodes == ("berlin",)
    ill = Snapshot(dns_nodes(paris={"state": NodeState.DEGRADED}))
    assert at(made(ill), "20.1.1.1").nodes == ("berlin",)


def test_a_node_without_an_address_is_not_told_of() -> None:
    nodes = (node("berlin", addresses=("edge.example", "")), *dns_nodes()[1:])
    assert at(made(Snapshot(nodes)), "20.1.1.1").nodes == ("paris",)


def test_equal_neighbours_are_one_range() -> None:
    """Tokyo has what begins at 60.0.0.0, and Sydney's from 100.0.0.0 to 150.0.0.0: within it 64.0.0.0/2."""
    answer, scope = made(Snapshot(dns_nodes())).map.find_subnet(4, int(IPv4Address("70.1.1.1")))
    assert (answer.nodes, scope) == (("tokyo",), 2)


def test_networks_that_are_known_are_decided_by_themselves() -> None:
    entries = [
        Entry(("tokyo",), network=ip_network("20.1.0.0/16")),
        Entry(("denver",), network=ip_network("20.1.2.128/25")),
    ]
    observed = {
        (PREFIX, "20.9.9.0/24", name): Observed(50, -3.0 if name == "denver" else 3.0, 0.0, NOW)
        for name in ("berlin", "paris", "tokyo", "denver")
    }
    snapshot = Snapshot(dns_nodes(), Beliefs(observed), coverage(entries))
    compiled = made(snapshot)
    assert at(compiled, "20.1.2.1").nodes == ("tokyo",)
    assert at(compiled, "20.1.2.200").nodes == ("denver",)
    assert at(compiled, "20.9.9.1").nodes == ("denver",)
    assert at(compiled, "20.9.8.1").nodes == ("berlin", "paris")
    answer, scope = compiled.map.find_subnet(4, int(IPv4Address("20.9.9.77")))
    assert (answer.nodes, scope) == (("denver",), 24)
    assert compiled.map.find_subnet(4, int(IPv4Address("20.1.2.200")))[0].nodes == ("tokyo",)


def test_the_map_says_what_the_decision_says_for_each_client() -> None:
    entries = [Entry(("tokyo",), network=ip_network(f"20.{number}.0.0/16")) for number in range(0, 250, 7)]
    snapshot = Snapshot(dns_nodes(), coverage=coverage(entries))
    compiled = made(snapshot)
    for number in range(0, 224, 3):
        for second in (1, 7, 14, 200):
            address = ip_address(f"{number}.{second}.3.4")
            if identify(address, TERRITORY).is_private or TERRITORY.whereabouts(address).place is None:
                continue
            decision = decide(identify(address, TERRITORY), None, snapshot, NOW)
            assert decision.node is not None
            assert compiled.map.find(4, int(address)).nodes[0] == decision.node.name, address


def test_rules_for_countries_hold() -> None:
    served = coverage(
        [Entry(("denver",), country="JP")], countries=["DE", "JP", "US"], elsewhere=Elsewhere.ORIGIN
    )
    compiled = made(Snapshot(dns_nodes(), coverage=served))
    assert at(compiled, "70.1.1.1").nodes == ("denver",)
    assert not at(compiled, "20.1.1.1").is_elsewhere
    sydney = at(compiled, "120.1.1.1")
    assert (sydney.is_elsewhere, sydney.nodes) == (True, ("tokyo",))


@pytest.mark.parametrize(
    ("changes", "ttl"),
    [
        ({}, 60),
        ({"state": NodeState.DEGRADED}, 15),
        ({"started": NOW - 30}, 15),
        ({"started": NOW - 300}, 60),
    ],
)
def test_an_answer_lives_until_the_health_of_its_nodes_may_change(
    changes: dict[str, object], ttl: int
) -> None:
    snapshot = Snapshot(dns_nodes(tokyo=changes))
    assert at(made(snapshot), "70.1.1.1").ttl == ttl


@pytest.mark.parametrize(("seconds", "ttl"), [(0.0, 15), (15.9, 15), (42.5, 42), (1e9, 60)])
def test_how_long_health_is_steady_may_be_told_and_is_clamped(seconds: float, ttl: int) -> None:
    rules = MapRules(steady=lambda node: seconds)
    assert at(made(Snapshot(dns_nodes()), rules), "70.1.1.1").ttl == ttl


def test_a_dead_node_is_in_no_answer_and_others_stay_the_same_objects() -> None:
    before = made(Snapshot(dns_nodes()))
    after = made(Snapshot(dns_nodes(tokyo={"state": NodeState.DOWN})), former=before)
    assert not [one for one in after.sets if "tokyo" in one.nodes]
    assert at(after, "20.1.1.1") is at(before, "20.1.1.1")
    again = made(Snapshot(dns_nodes()), former=before)
    assert again.unders[4] is before.unders[4]


def test_where_no_node_may_serve_there_is_no_node() -> None:
    every = {name: {"state": NodeState.MAINTENANCE} for name in ("berlin", "paris", "tokyo", "denver")}
    assert {one.nodes for one in made(Snapshot(dns_nodes(**every))).sets} == {()}
    assert {one.nodes for one in made(Snapshot(())).sets} == {()}


def test_what_is_to_be_kept_is_told_once() -> None:
    snapshot = Snapshot(dns_nodes())
    decided = made(snapshot).decided
    kept = {client.group: decision.kept for client, decision in decided}
    assert ("JP", 7, 27) in kept
    assert kept[("JP", 7, 27)] == Kept("tokyo")
    known = dataclasses.replace(snapshot, kept={group: one for group, one in kept.items() if one})
    assert made(known).decided == ()


def test_a_group_that_is_kept_stays_while_no_other_is_clearly_better() -> None:
    snapshot = Snapshot(dns_nodes(), kept={("DE", 10, 2): Kept("paris")})
    assert at(made(snapshot), "20.1.1.1").nodes == ("paris", "berlin")


def test_known_networks_are_bounded_and_the_operators_come_first() -> None:
    entries = [Entry(("tokyo",), network=ip_network(f"20.{number}.0.0/16")) for number in range(5)]
    kept = {f"30.1.{number}.0/24": Kept("berlin") for number in range(10)} | {
        "no network": Kept("x"),
        "": Kept("y"),
    }
    nodes = (*dns_nodes(), node("sydney", networks=(ip_network("10.0.0.0/8"),)))
    found = done(knowing(Snapshot(nodes, coverage=coverage(entries), kept=kept), 8))
    assert len(found) == 8
    assert list(found.values())[:6] == [entry.network for entry in entries] + [ip_network("10.0.0.0/8")]
    assert len(done(knowing(Snapshot(nodes, coverage=coverage(entries), kept=kept), 100))) == 16


def test_networks_with_observations_come_before_those_that_are_only_kept() -> None:
    observed = {(PREFIX, f"20.9.{number}.0/24", "tokyo"): Observed(9, 0.0, 0.0, NOW) for number in range(3)}
    kept = {f"30.1.{number}.0/24": Kept("berlin") for number in range(10)}
    found = done(knowing(Snapshot(dns_nodes(), Beliefs(observed), kept=kept), 4))
    expected = [*(f"20.9.{n}.0/24" for n in range(3)), "30.1.0.0/24"]
    assert found == {text: ip_network(text) for text in expected}


def test_a_network_that_is_written_in_several_ways_is_one_and_was_read_once() -> None:
    kept = dict.fromkeys(("2001:DB8:0::/48", "2001:db8::/48", "30.1.1.0/24"), Kept("berlin"))
    snapshot = Snapshot(dns_nodes(), kept=kept)
    found = done(knowing(snapshot, 10))
    assert list(found) == ["2001:db8::/48", "30.1.1.0/24"]
    again = done(knowing(snapshot, 10, found))
    assert again == found
    assert all(again[text] is found[text] for text in found)


def test_no_step_takes_long_where_much_is_known_for_the_first_time() -> None:
    kept = {f"30.{one}.{two}.0/24": Kept("berlin") for one in range(20) for two in range(250)}
    snapshot = Snapshot(dns_nodes(), kept=kept)
    found: list[int] = []
    for _ in range(3):  # the interpreter collects garbage now and then
        spent, steps = [], compiling(snapshot, TERRITORY, client_of, NOW, RULES, Compiled())
        began = time.thread_time()
        for _ in steps:
            spent.append(time.thread_time() - began)
            began = time.thread_time()
        found.append(sum(one > 0.005 for one in spent))
    assert min(found) <= 1


def test_the_work_comes_in_many_small_steps() -> None:
    observed = {
        (PREFIX, f"20.{one}.{two}.0/24", "tokyo"): Observed(9, 0.0, 0.0, NOW)
        for one in range(10)
        for two in range(100)
    }
    snapshot = Snapshot(dns_nodes(), Beliefs(observed))
    steps = sum(1 for _ in compiling(snapshot, TERRITORY, client_of, NOW, RULES, Compiled()))
    assert steps > len(observed)
