from __future__ import annotations

import pytest

from edgeproxy.config import Config
from edgeproxy.config_router import Router, RouterNode
from edgeproxy.errors import RequestError
from edgeproxy.metrics import Metrics
from edgeproxy.route_map import RouteMap
from edgeproxy.route_views import LiveRouting
from edgeproxy.router.atlas import Atlas
from edgeproxy.router.country_table import embedded
from edgeproxy.tasks import Tasks

NOW = 1_700_000_000.0


@pytest.fixture(scope="module")
def routing() -> LiveRouting:
    nodes = [
        RouterNode(name="paris", url="http://paris.example", latitude=48.9, longitude=2.4),
        RouterNode(name="tokyo", url="http://tokyo.example", latitude=35.7, longitude=139.7),
        RouterNode(name="denver", url="http://denver.example", country="US", state="maintenance"),
    ]
    config, metrics = Config(router=Router(node=nodes, shadow=["geo"])), Metrics()
    tasks = Tasks(lambda name, error: None)
    route_map = RouteMap(config, tasks=tasks, metrics=metrics, clock=lambda: NOW, report=lambda line: None)
    route_map.geo.atlas = Atlas(embedded())
    route_map.configure(config)
    metrics.count("redirects_total", "paris", "FR", by=5)
    metrics.count("redirects_total", "paris", "DE", by=7)
    metrics.count("redirects_total", "origin", "CN")
    metrics.count("complaints_total", "tokyo", "said so")
    return LiveRouting(route_map, metrics, lambda: NOW)


def test_the_status_tells_nodes_with_what_was_sent_to_them(routing: LiveRouting) -> None:
    told = routing.routing_status()
    assert [(one["name"], one["state"], one["sent"]) for one in told["nodes"]] == [
        ("paris", "up", 12),
        ("tokyo", "up", 0),
        ("denver", "maintenance", 0),
    ]
    assert [(one["country"], one["node"], one["count"]) for one in told["flows"]] == [
        ("DE", "paris", 7),
        ("FR", "paris", 5),
        ("CN", "origin", 1),
    ]
    assert told["flows"][0]["latitude"] == pytest.approx(52.5, abs=1.0)
    assert told["refusals"] == [{"node": "denver", "reason": "maintenance"}]
    assert told["complaints"] == [{"node": "tokyo", "how": "said so", "count": 1}]
    assert len(told["countries"]) > 200
    assert [(one["policy"], one["decisions"]) for one in told["shadow"]] == [("geo", 0)]


def test_a_decision_is_explained_with_every_candidate_and_every_refusal(routing: LiveRouting) -> None:
    told = routing.routing_explain("133.11.0.1", "/hf/a?b")
    assert (told["client"]["country"], told["choice"]["node"]) == ("JP", "tokyo")
    assert [one["node"] for one in told["candidates"]] == ["tokyo", "paris"]
    assert told["candidates"][0]["source"] == "distance"
    assert [(one["node"], one["reason"]) for one in told["refused"]] == [("denver", "maintenance")]


def test_what_is_no_address_is_refused(routing: LiveRouting) -> None:
    with pytest.raises(RequestError) as caught:
        routing.routing_explain("here", "")
    assert caught.value.status == 400
