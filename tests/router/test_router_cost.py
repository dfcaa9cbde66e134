import pytest
from router_world import node

from edgeproxy.router.beliefs import Estimate
from edgeproxy.router.cost import cost_of
from edgeproxy.router.nodes import NodeState
from edgeproxy.router.snapshot import RouteObject, RouteRules

WAY = Estimate(50.0, 10.0, 50.0, 1000.0, "prefix")


@pytest.mark.parametrize(("used", "queue"), [(0.0, 0.0), (0.5, 5.0), (0.9, 45.0), (1.0, 495.0), (7.0, 495.0)])
def test_a_queue_costs_more_the_fuller_it_is(used: float, queue: float) -> None:
    cost = cost_of(WAY, node("paris", utilisation=used), None, RouteRules())
    assert cost.queue == pytest.approx(queue)
    assert cost.total == pytest.approx(50 + 5 + queue)


def test_a_probable_miss_costs_the_way_to_the_parent() -> None:
    asked = RouteObject("repo/file", digest=7)
    assert cost_of(WAY, node("paris", fill_ms=80.0), asked, RouteRules()).miss == 80
    assert cost_of(WAY, node("paris", fill_ms=80.0, holds=frozenset({7})), asked, RouteRules()).miss == 0
    assert cost_of(WAY, node("paris", fill_ms=80.0), None, RouteRules()).miss == 0


def test_it_says_what_it_is_made_of() -> None:
    cost = cost_of(WAY, node("paris", policy_ms=3.0, state=NodeState.DEGRADED), None, RouteRules())
    assert str(cost) == "50.0 network + 5.0 doubt + 53.0 policy"
