from __future__ import annotations

import pytest
from router.router_keeping import Clock, Plain
from router.router_world import PLACES

from edgeproxy.router.announcement import RoundTrip
from edgeproxy.router.learner import Learner
from edgeproxy.router.learning import CONNECTIONS_MAX, Learning


def learning(**options: int) -> Learning:
    return Learning(Learner(), Plain(), places=lambda: dict(PLACES), clock=Clock(), **options)


@pytest.mark.parametrize(
    ("node", "prefix", "rtt", "learned"),
    [
        ("berlin", "8.0.1.0/24", 20.0, 1),
        ("berlin", "8.4.1.0/24", 1.0, 0),  # from Tokyo to Berlin no light is so fast
        ("berlin", "10.0.0.0/24", 5.0, 0),
        ("berlin", "nonsense", 5.0, 0),
        ("berlin", "8.0.1.7/24", 5.0, 0),
        ("berlin", "2a00:1234:5678::/48", 5.0, 1),
        ("atlantis", "8.0.1.0/24", 20.0, 0),
    ],
)
def test_what_cannot_be_true_is_not_learned(node: str, prefix: str, rtt: float, learned: int) -> None:
    found = learning()
    found.clients(node, [RoundTrip(prefix, rtt, 1)])
    assert found.take(60.0)
    assert found.learned == learned


async def test_beliefs_are_made_when_there_is_news() -> None:
    found = learning()
    empty = found.beliefs
    await found.believe()
    assert found.beliefs is empty
    found.clients("berlin", [RoundTrip("8.0.1.0/24", 20.0, 10**6)])
    found.take(60.0)
    await found.believe()
    observed = found.beliefs.observed[(0, "8.0.1.0/24", "berlin")]
    assert observed.count == CONNECTIONS_MAX
    made = found.beliefs
    await found.believe()
    assert found.beliefs is made


def test_a_way_between_nodes_is_learned_both_ways() -> None:
    found = learning()
    found.between("berlin", "paris", 12.0)
    found.between("berlin", "atlantis", 12.0)
    found.take(60.0)
    assert found.learned == 2


def test_a_flood_is_learned_from_in_slices_and_its_oldest_part_is_dropped() -> None:
    found = learning(waiting_max=5000)
    found.clients("berlin", (RoundTrip(f"8.0.{number % 250}.0/24", 20.0, 1) for number in range(20_000)))
    assert len(found) == 5000
    assert found.take(0.0)
    assert len(found) == 4999
    assert found.take(60.0)
    assert not found.take()
    assert found.learned == 5000
