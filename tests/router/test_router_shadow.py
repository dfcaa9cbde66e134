import pytest
from router_world import NOW, client_at, node

from edgeproxy.router.decide import Decision, decide
from edgeproxy.router.policies import policy
from edgeproxy.router.shadow import Comparison, Remembering, Shadow, compared, costs_of
from edgeproxy.router.snapshot import Kept, RouteObject, Snapshot

WORLD = Snapshot(tuple(node(city) for city in ("paris", "tokyo", "denver")), made_at=NOW)
OBJECT = RouteObject("k")


def live(city: str, asked: RouteObject | None = OBJECT) -> Decision:
    return decide(client_at(city), asked, WORLD, NOW)


def test_the_policy_that_steers_differs_from_itself_in_nothing() -> None:
    shadow = Shadow(policy("geo-rtt"))
    for city in ("berlin", "tokyo", "denver", "sydney"):
        shadow.saw(live(city), client_at(city), OBJECT, WORLD, NOW)
    found = shadow.comparison
    assert (found.decisions, found.different, found.unanswered) == (4, 0, 0)
    assert found.live_ms == found.shadow_ms > 0


def test_differences_are_counted_and_cost_what_is_believed_of_their_nodes() -> None:
    shadow = Shadow(policy("round-robin"))
    for _ in range(3):
        shadow.saw(live("berlin"), client_at("berlin"), OBJECT, WORLD, NOW)
    costs = costs_of(client_at("berlin"), OBJECT, WORLD, NOW)
    found = shadow.comparison
    assert (found.decisions, found.different) == (3, 2)
    assert found.live_mean_ms == pytest.approx(costs["paris"])
    assert found.shadow_mean_ms == pytest.approx(sum(costs.values()) / 3)


def test_where_one_of_the_two_has_no_answer_nothing_is_added_up() -> None:
    costs = {"a": 10.0, "b": 20.0}
    found = compared(compared(Comparison(), "a", None, costs), None, "b", costs)
    assert (found.decisions, found.different, found.unanswered, found.lost) == (2, 2, 2, 1)
    assert (found.live_mean_ms, found.shadow_mean_ms) == (0.0, 0.0)
    assert compared(Comparison(), None, None, costs).different == 0


def test_it_steers_nobody_and_remembers_its_own_groups() -> None:
    client, elsewhere = client_at("berlin"), Kept("denver")
    snapshot = Snapshot(WORLD.nodes, kept={client.group: elsewhere})
    shadow = Shadow(policy("geo-rtt"))
    own = shadow.saw(decide(client, None, snapshot, NOW), client, None, snapshot, NOW)
    assert own.node is not None
    assert own.node.name == "paris"
    assert snapshot.kept[client.group] == elsewhere


def test_it_remembers_a_bounded_number_of_groups() -> None:
    kept = Remembering(policy("geo-rtt"), groups_max=5)
    for number in range(1, 30):
        kept.decide(client_at("berlin", number=number), None, WORLD, NOW)
    assert len(kept._kept) == 5
