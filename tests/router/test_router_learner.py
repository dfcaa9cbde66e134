import pytest
from router_world import NOW, PLACES, client_at

from edgeproxy.router.beliefs import CELL, EVERYBODY, PREFIX
from edgeproxy.router.learner import Learner


@pytest.mark.parametrize("rtt", [0.0, -5.0, 1e9, float("nan"), float("inf")])
def test_what_cannot_be_a_round_trip_is_not_believed(rtt: float) -> None:
    learner = Learner()
    learner.told(client_at("berlin"), "paris", PLACES["paris"], rtt, NOW)
    assert learner.beliefs().observed == {}


def test_a_probe_between_nodes_is_a_sample_of_the_cell_only() -> None:
    learner = Learner()
    learner.told(client_at("berlin"), "paris", PLACES["paris"], 20.0, NOW, finest=CELL)
    assert {key[0] for key in learner.beliefs().observed} == {CELL, EVERYBODY}


def test_what_was_handed_out_does_not_change() -> None:
    learner = Learner()
    learner.told(client_at("berlin"), "paris", PLACES["paris"], 20.0, NOW)
    beliefs = learner.beliefs()
    before = dict(beliefs.observed)
    learner.told(client_at("berlin"), "paris", PLACES["paris"], 90.0, NOW)
    assert dict(beliefs.observed) == before


def test_the_longest_untold_leave_a_full_table() -> None:
    learner = Learner(entries_max=10)
    for number in range(1, 50):
        learner.told(client_at("berlin", number=number), "paris", PLACES["paris"], 20.0, NOW + number)
    groups = {key[1] for key in learner.beliefs().observed if key[0] == PREFIX}
    assert len(learner.beliefs().observed) <= 10
    assert client_at("berlin", number=49).group in groups
