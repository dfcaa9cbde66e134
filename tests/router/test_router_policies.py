from collections import Counter
from dataclasses import replace

import pytest
from router_world import NOW, PLACES, client_at, node

from edgeproxy.router.coverage import Elsewhere, coverage
from edgeproxy.router.decide import decide
from edgeproxy.router.learner import Learner
from edgeproxy.router.nodes import NodeState
from edgeproxy.router.policies import DEFAULT, POLICIES, Policy, policy
from edgeproxy.router.snapshot import RouteObject, Snapshot

NODES = tuple(node(city) for city in ("paris", "tokyo", "denver"))
WORLD = Snapshot(NODES, made_at=NOW)
OBJECT = RouteObject("acme/model@1/weights")


def told() -> Snapshot:
    """Distance speaks for paris, round trips for denver."""
    learner = Learner()
    for _ in range(30):
        learner.told(client_at("berlin"), "paris", PLACES["paris"], 400.0, NOW)
        learner.told(client_at("berlin"), "denver", PLACES["denver"], 90.0, NOW)
    return replace(WORLD, beliefs=learner.beliefs())


def chosen(policy: Policy, snapshot: Snapshot = WORLD, asked: RouteObject | None = OBJECT) -> str:
    found = policy.decide(client_at("berlin"), asked, snapshot, NOW).node
    return "" if found is None else found.name


def test_there_are_four_and_the_default_is_one_of_them() -> None:
    assert sorted(POLICIES) == ["geo", "geo-rtt", "least-connections", "round-robin"]
    assert {name: policy(name).name for name in POLICIES} == {name: name for name in POLICIES}
    assert DEFAULT in POLICIES
    with pytest.raises(ValueError, match="'fastest' is no policy"):
        policy("fastest")


def test_geo_rtt_is_what_the_router_does() -> None:
    client, snapshot = client_at("berlin"), told()
    assert policy("geo-rtt").decide(client, OBJECT, snapshot, NOW) == decide(client, OBJECT, snapshot, NOW)


def test_geo_does_not_look_at_round_trips_and_tells_them_all_the_same() -> None:
    assert chosen(policy("geo-rtt"), told()) == "denver"
    assert chosen(policy("geo"), told()) == "paris"
    first = policy("geo").decide(client_at("berlin"), OBJECT, told(), NOW).ranked[0]
    assert first.estimate.rtt > 200


def test_round_robin_takes_turns() -> None:
    turning = policy("round-robin")
    assert [chosen(turning) for _ in range(6)] == ["paris", "tokyo", "denver"] * 2


def test_least_connections_weighs_by_capacity() -> None:
    nodes = (
        replace(NODES[0], in_flight=10),
        replace(NODES[1], in_flight=12, capacity=2.0),
        replace(NODES[2], in_flight=7),
    )
    assert chosen(policy("least-connections"), replace(WORLD, nodes=nodes)) == "tokyo"


def test_least_connections_gives_equal_ones_their_turn() -> None:
    fair = policy("least-connections")
    assert Counter(chosen(fair) for _ in range(9)) == {"paris": 3, "tokyo": 3, "denver": 3}


@pytest.mark.parametrize("name", sorted(POLICIES))
@pytest.mark.parametrize("asked", [OBJECT, None], ids=["object", "dns"])
def test_whoever_may_not_serve_is_refused_by_all_of_them(name: str, asked: RouteObject | None) -> None:
    nodes = (replace(NODES[0], state=NodeState.DRAINING), *NODES[1:])
    decision = policy(name).decide(client_at("berlin"), asked, replace(WORLD, nodes=nodes), NOW)
    assert [one.node for one in decision.refused] == ["paris"]
    assert sorted(one.name for one in decision.ranked) == ["denver", "tokyo"]
    assert policy(name).decide(client_at("berlin"), asked, Snapshot(()), NOW).node is None
    rule = coverage([], countries=["FR"], elsewhere=Elsewhere.ORIGIN)
    assert policy(name).decide(client_at("berlin"), asked, replace(WORLD, coverage=rule), NOW).to_origin
