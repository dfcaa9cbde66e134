from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from router_world import NOW, PLACES, client_at, node

from edgeproxy.router.coverage import Elsewhere, coverage
from edgeproxy.router.decide import Asking, decide
from edgeproxy.router.learner import Learner
from edgeproxy.router.nodes import NodeState
from edgeproxy.router.snapshot import Kept, RouteObject, Snapshot

WORLD = Snapshot(tuple(node(city) for city in ("paris", "tokyo", "denver")), made_at=NOW)
OBJECT = RouteObject("acme/model@1/weights")


def chosen(city: str, snapshot: Snapshot = WORLD, asked: RouteObject | None = OBJECT) -> str:
    found = decide(client_at(city), asked, snapshot, NOW).node
    return "" if found is None else found.name


def test_each_client_gets_its_nearest_node() -> None:
    assert [chosen(city) for city in ("berlin", "sydney", "denver")] == ["paris", "tokyo", "denver"]


def test_what_was_measured_counts_more_than_the_map() -> None:
    learner = Learner()
    for _ in range(30):
        learner.told(client_at("berlin"), "paris", PLACES["paris"], 400.0, NOW)
        learner.told(client_at("berlin"), "denver", PLACES["denver"], 90.0, NOW)
    assert chosen("berlin", replace(WORLD, beliefs=learner.beliefs())) == "denver"


def test_a_dead_node_is_named_among_the_refused_and_moves_its_own_clients_only() -> None:
    nodes = tuple(replace(one, state=NodeState.DOWN) if one.name == "paris" else one for one in WORLD.nodes)
    dead = replace(WORLD, nodes=nodes)
    decision = decide(client_at("berlin"), OBJECT, dead, NOW)
    assert [(one.node, one.reason.value) for one in decision.refused] == [("paris", "down")]
    assert decision.node is not None
    assert decision.node.name != "paris"
    assert [chosen(city, dead) for city in ("sydney", "denver")] == ["tokyo", "denver"]


def test_without_nodes_it_says_so() -> None:
    decision = decide(client_at("berlin"), OBJECT, Snapshot(()), NOW)
    assert (decision.node, decision.reason) == (None, "no node may serve")


def test_other_countries_go_to_the_origin() -> None:
    rule = coverage([], countries=["FR"], elsewhere=Elsewhere.ORIGIN)
    decision = decide(client_at("berlin"), OBJECT, replace(WORLD, coverage=rule), NOW)
    assert (decision.to_origin, decision.ranked) == (True, ())


def test_dns_answers_keep_a_group_where_it_is() -> None:
    client = client_at("berlin")
    kept = replace(WORLD, kept={client.group: Kept("denver")})
    decision = decide(client, None, kept, NOW)
    assert decision.node is not None
    assert decision.node.name == "denver"
    assert decision.kept == Kept("denver", "paris", NOW)


def test_an_old_map_is_used_and_said_to_be_old() -> None:
    decision = decide(client_at("berlin"), OBJECT, WORLD, NOW + 3600)
    assert decision.is_old
    assert decision.node is not None


@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(PLACES)),
            st.sampled_from(list(NodeState)),
            st.floats(0, 2),
            st.integers(0, 1000),
        ),
        max_size=8,
    ),
    st.sampled_from(sorted(PLACES)),
    st.booleans(),
    st.floats(0, 0.999),
)
def test_every_node_is_ranked_or_refused_and_only_usable_ones_are_ranked(
    made: list[tuple[str, NodeState, float, int]], city: str, is_dns: bool, chance: float
) -> None:
    nodes = tuple(
        node(place, f"n{number}", state=state, utilisation=used, in_flight=flying)
        for number, (place, state, used, flying) in enumerate(made)
    )
    asked = None if is_dns else OBJECT
    snapshot = Snapshot(nodes)
    decision = decide(client_at(city), asked, snapshot, NOW, Asking(chance=chance))
    seen = [one.name for one in decision.ranked] + [one.node for one in decision.refused]
    assert sorted(seen) == sorted(one.name for one in nodes)
    draining = {one.name for one in nodes if one.state in (NodeState.DRAINING, NodeState.MAINTENANCE)}
    assert not draining & {one.name for one in decision.ranked}
    assert decision == decide(client_at(city), asked, snapshot, NOW, Asking(chance=chance))
