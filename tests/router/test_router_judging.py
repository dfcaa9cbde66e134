from __future__ import annotations

from router.router_world import node

from edgeproxy.router.judging import OWN, POINTS_MAX, Judging
from edgeproxy.router.nodes import NodeState
from edgeproxy.router.votes import VoteRules


def judging(*names: str) -> Judging:
    found = Judging(VoteRules())
    found.keep(names or ("berlin", "paris", "tokyo"))
    return found


def fail(found: Judging, name: str, times: int, at: float = 0.0) -> str:
    changes = [found.looked(OWN, name, False, at + number) for number in range(times)]
    return "".join(changes)


def test_a_change_is_told_once_in_words() -> None:
    found = judging()
    assert found.looked(OWN, "paris", True, 0.0) == ""
    assert fail(found, "berlin", 5) == "down (1 of 1 points say so)"
    assert found.stated(node("berlin")).state is NodeState.DOWN
    assert found.stated(node("paris")).state is NodeState.UP


def test_what_the_operator_means_is_above_what_is_seen() -> None:
    found = judging()
    found.looked(OWN, "paris", True, 0.0)
    fail(found, "berlin", 3)
    assert found.stated(node("berlin", state=NodeState.MAINTENANCE)).state is NodeState.MAINTENANCE
    assert found.stated(node("berlin", state=NodeState.DRAINING)).state is NodeState.DOWN


def test_a_node_that_is_gone_is_forgotten_with_all_that_was_said_of_it() -> None:
    found = judging()
    found.looked(OWN, "paris", True, 0.0)
    fail(found, "berlin", 3)
    found.keep(["paris"])
    assert fail(found, "berlin", 5) == ""
    found.keep(["paris", "berlin"])
    assert found.stated(node("berlin")).state is NodeState.UP


def test_points_are_bounded_and_this_router_is_always_one() -> None:
    found = judging()
    fail(found, "berlin", 1)
    for number in range(2 * POINTS_MAX):
        found.told(f"point{number}", "berlin", True, 1.0)
    for number in range(2 * POINTS_MAX):
        found.told(f"late{number}", "berlin", False, 2.0)
    assert found.stated(node("berlin")).state is NodeState.DOWN


def test_it_is_looked_at_again_soon_where_a_look_surprised() -> None:
    found = judging()
    found.looked(OWN, "berlin", True, 0.0)
    assert not found.is_suspicious("berlin")
    found.looked(OWN, "berlin", False, 5.0)
    assert found.is_suspicious("berlin")
    assert not found.is_suspicious("nobody")
