"""What holds of every decision, whatever the nodes and the client."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from router_world import NOW, PLACES, client_at, node

from edgeproxy.router.decide import Asking, Decision, decide
from edgeproxy.router.learner import Learner
from edgeproxy.router.nodes import NodeState, RouteNode
from edgeproxy.router.place import light_ms
from edgeproxy.router.snapshot import Kept, RouteObject, Snapshot

CITIES = sorted(PLACES)
OBJECTS = st.builds(
    RouteObject, st.text("abcdef", min_size=1, max_size=8), is_large=st.booleans(), is_private=st.booleans()
)
USABLE = st.tuples(st.sampled_from(CITIES), st.floats(0, 1.2), st.integers(0, 50))
ANY = st.tuples(USABLE, st.sampled_from(list(NodeState)))
TOLD = st.lists(st.tuples(st.sampled_from(CITIES), st.integers(0, 5), st.floats(0.5, 500)), max_size=12)


def nodes_of(made: list[tuple[tuple[str, float, int], NodeState]]) -> tuple[RouteNode, ...]:
    return tuple(
        node(city, f"n{number}", state=state, utilisation=used, in_flight=flying)
        for number, ((city, used, flying), state) in enumerate(made)
    )


def world_of(nodes: tuple[RouteNode, ...], told: list[tuple[str, int, float]], **more: Any) -> Snapshot:
    learner = Learner()
    for city, number, rtt in told:
        if number < len(nodes):
            for _ in range(10):
                learner.told(client_at(city), nodes[number].name, nodes[number].place, rtt, NOW)
    return Snapshot(nodes, learner.beliefs(), **more)


def first(decision: Decision) -> str:
    return "" if decision.node is None else decision.node.name


@given(st.lists(ANY, max_size=8), TOLD, st.sampled_from(CITIES), st.none() | OBJECTS, st.floats(0, 0.999))
@settings(deadline=None)
def test_a_decision_is_one_to_its_arguments_and_places_every_node_once(
    made: list[Any], told: list[Any], city: str, asked: RouteObject | None, chance: float
) -> None:
    snapshot = world_of(nodes_of(made), told)
    decision = decide(client_at(city), asked, snapshot, NOW, Asking(chance=chance))
    assert decision == decide(
        client_at(city), asked, world_of(nodes_of(made), told), NOW, Asking(chance=chance)
    )
    seen = Counter([one.name for one in decision.ranked] + [one.node for one in decision.refused])
    assert seen == Counter(one.name for one in snapshot.nodes)
    assert not {one.node for one in decision.refused} & {first(decision)}


@given(st.lists(ANY, min_size=1, max_size=8), TOLD, st.sampled_from(CITIES), OBJECTS)
@settings(deadline=None)
def test_nobody_is_sent_to_explore_where_light_could_not_win_or_a_node_is_busy(
    made: list[Any], told: list[Any], city: str, asked: RouteObject
) -> None:
    snapshot = world_of(nodes_of(made), told)
    plain = decide(client_at(city), asked, snapshot, NOW)
    explored = decide(client_at(city), asked, snapshot, NOW, Asking(chance=0.0))
    if first(explored) != first(plain):
        one, best = explored.ranked[0], plain.ranked[0]
        assert not (asked.is_large and asked.is_private)
        assert one.estimate.distance_km is not None
        assert light_ms(one.estimate.distance_km) < best.estimate.rtt
        assert one.node.utilisation <= snapshot.rules.explore_below


@given(st.lists(USABLE, min_size=2, max_size=6), TOLD, st.integers(0, 5))
@settings(deadline=None, max_examples=50)
def test_the_death_of_a_node_moves_only_those_who_were_there(
    made: list[Any], told: list[Any], number: int
) -> None:
    nodes = nodes_of([((city, min(used, 0.5), 0), NodeState.UP) for city, used, _ in made])
    dead = nodes[number % len(nodes)].name
    states = {True: NodeState.MAINTENANCE, False: NodeState.UP}
    alive = world_of(nodes, told)
    after = replace(alive, nodes=tuple(replace(one, state=states[one.name == dead]) for one in nodes))
    for city in CITIES:
        for asked in (None, RouteObject("model")):
            before = decide(client_at(city), asked, alive, NOW)
            if first(before) != dead and dead not in _pool(before, asked):
                assert first(decide(client_at(city), asked, after, NOW)) == first(before)


def _pool(decision: Decision, asked: RouteObject | None) -> set[str]:
    """With a node of the pool the bound may leave: it is set by the cheapest."""
    cheapest = min(decision.ranked, key=lambda one: one.cost.total)
    return {cheapest.name} if asked is not None else set()


@given(st.floats(0.851, 0.949))
@settings(deadline=None, max_examples=20)
def test_spill_is_partial_stable_and_grows_with_the_load(used: float) -> None:
    def gone(load: float) -> set[int]:
        nodes = (node("paris", utilisation=load), node("tokyo"))
        found = set()
        for number in range(1, 120):
            one = decide(client_at("berlin", number=number), RouteObject("model"), Snapshot(nodes), NOW)
            if first(one) == "tokyo":
                found.add(number)
        return found

    less, more = gone(used), gone(min(0.95, used + 0.03))
    assert less == gone(used)
    assert less <= more
    assert len(gone(0.85)) == 0
    assert len(gone(0.951)) == 119


@given(st.floats(0, 119))
@settings(deadline=None, max_examples=20)
def test_a_node_that_came_back_takes_more_and_more_and_never_gives_back(seconds: float) -> None:
    def at_home(passed: float) -> set[int]:
        nodes = (node("paris", started=NOW - passed), node("tokyo"))
        return {
            number
            for number in range(1, 120)
            if first(decide(client_at("berlin", number=number), None, Snapshot(nodes), NOW)) == "paris"
        }

    early, later = at_home(seconds), at_home(seconds + 10)
    assert early <= later
    assert len(at_home(0.0)) < 40
    assert len(at_home(120.0)) == 119


def test_newcomers_stay_away_from_a_node_before_its_own_groups_leave_it() -> None:
    nodes = (node("paris", utilisation=0.86), node("tokyo"))
    clients = [client_at("berlin", number=number) for number in range(1, 100)]
    at_home = {one.group: Kept("paris") for one in clients}
    old = [first(decide(one, None, Snapshot(nodes, kept=at_home), NOW)) for one in clients]
    new = [first(decide(one, None, Snapshot(nodes), NOW)) for one in clients]
    assert set(old) == {"paris"}
    assert set(new) == {"tokyo"}


def test_what_fits_nowhere_is_spread_by_room() -> None:
    nodes = (
        node("paris", utilisation=0.90),
        node("tokyo", utilisation=0.86),
        node("denver", utilisation=0.94),
    )
    clients = [client_at("berlin", number=number) for number in range(1, 240)]
    went = Counter(first(decide(one, None, Snapshot(nodes), NOW)) for one in clients)
    assert went["tokyo"] > went["paris"] > went["denver"]


def test_a_map_that_nobody_makes_anew_keeps_what_it_knew() -> None:
    learner = Learner()
    for _ in range(10):
        learner.told(client_at("berlin"), "paris", PLACES["paris"], 300.0, NOW)
    snapshot = Snapshot((node("paris"), node("denver")), learner.beliefs(), made_at=NOW)
    late = [decide(client_at("berlin"), None, snapshot, NOW + hours * 3600) for hours in (1, 5, 100)]
    rtts = {one.estimate.rtt for decision in late for one in decision.ranked if one.name == "paris"}
    assert len(rtts) == 1
    assert all(decision.is_old for decision in late)
