import json
from dataclasses import replace
from typing import Any

import pytest
from router_world import NOW, PLACES, client_at, node

from edgeproxy.router.coverage import Elsewhere, coverage
from edgeproxy.router.decide import Asking, decide
from edgeproxy.router.explanation import explanation, lines
from edgeproxy.router.learner import Learner
from edgeproxy.router.nodes import NodeState
from edgeproxy.router.snapshot import RouteObject, Snapshot

NODES = (node("paris"), node("tokyo"), replace(node("denver"), state=NodeState.DRAINING))
WORLD = Snapshot(NODES, generation=7, made_at=NOW)
OBJECT = RouteObject("acme/model@1/weights")


def told(
    city: str = "berlin", snapshot: Snapshot = WORLD, asked: RouteObject | None = OBJECT
) -> dict[str, Any]:
    return explanation(client_at(city, asn=64500), asked, snapshot, NOW, table="country table")


def test_it_can_be_sent_as_json_and_read_on_a_terminal() -> None:
    document = told()
    assert json.loads(json.dumps(document)) == json.loads(json.dumps(document, sort_keys=True))
    text = "\n".join(lines(document))
    assert "paris" in text
    assert "refused: draining" in text
    assert "AS64500" in text


def test_it_says_who_the_client_is_taken_for_and_by_which_table() -> None:
    client = told()["client"]
    assert (client["country"], client["asn"], client["table"]) == ("DE", 64500, "country table")
    assert client["place"] == {"latitude": 52.5, "longitude": 13.4, "radius_km": 0.0}
    assert client["prefix"].endswith("/24")


def test_it_says_what_decide_says() -> None:
    document = told()
    decision = decide(client_at("berlin", asn=64500), OBJECT, WORLD, NOW)
    assert [one["node"] for one in document["candidates"]] == [one.name for one in decision.ranked]
    assert document["choice"]["node"] == "paris"
    assert document["choice"]["reason"] == decision.reason
    assert document["pool"]["nodes"] == ["paris"]


def test_every_candidate_has_its_estimate_its_source_and_its_cost_term_by_term() -> None:
    first = told()["candidates"][0]
    assert first["source"] == "distance"
    assert first["deviation_ms"] == pytest.approx(0.3 * first["estimate_ms"], rel=0.01)
    assert first["light_ms"] < first["estimate_ms"]
    terms = [value for name, value in first["cost"].items() if name != "total"]
    assert sum(terms) == pytest.approx(first["cost"]["total"], abs=0.05)


def test_the_refused_have_a_reason_and_an_estimate_all_the_same() -> None:
    (refused,) = told()["refused"]
    assert (refused["node"], refused["reason"], refused["rank"]) == ("denver", "draining", None)
    assert refused["estimate_ms"] > 0


def test_the_estimate_at_which_another_would_be_chosen_is_where_it_is() -> None:
    sentence = next(text for text in told()["otherwise"] if text.startswith("tokyo would be chosen"))
    below = float(sentence.partition("fell below ")[2].split()[0])
    paris = told()["candidates"][0]
    assert 0 < below < paris["cost"]["total"] + 10 * 1.5


def test_it_says_who_comes_after_the_chosen_one() -> None:
    found = told()["otherwise"]
    assert "tokyo if paris were out of service" in found
    assert any(text.startswith("tokyo if paris were at ") for text in found)


def test_a_refused_node_that_would_be_the_first_is_named() -> None:
    assert "denver would be chosen were it not for: draining" in told("denver")["otherwise"]
    assert not any(text.startswith("denver would") for text in told("berlin")["otherwise"])


def test_what_was_learned_is_told_as_its_source() -> None:
    learner = Learner()
    client = client_at("berlin", asn=64500)
    for _ in range(20):
        learner.told(client, "paris", PLACES["paris"], 400.0, NOW)
        learner.told(client, "tokyo", PLACES["tokyo"], 110.0, NOW)
    document = told(snapshot=replace(WORLD, beliefs=learner.beliefs()))
    assert document["choice"]["node"] == "tokyo"
    assert document["candidates"][0]["source"] == "prefix"


def test_without_nodes_and_for_the_origin_it_says_so() -> None:
    nobody = told(snapshot=Snapshot(()))
    assert (nobody["choice"]["node"], nobody["pool"]["bound_ms"], nobody["candidates"]) == (None, None, [])
    rule = coverage([], countries=["FR"], elsewhere=Elsewhere.ORIGIN)
    away = told(snapshot=replace(WORLD, coverage=rule))
    assert away["choice"]["to_origin"] is True
    assert any("original URL" in line for line in lines(away))


def test_a_complaint_is_named_among_the_reasons() -> None:
    document = explanation(client_at("berlin"), OBJECT, WORLD, NOW, Asking(excluded=frozenset({"paris"})))
    assert ("paris", "the client has complained of it") in [
        (r["node"], r["reason"]) for r in document["refused"]
    ]
    assert "paris would be chosen were it not for: the client has complained of it" in document["otherwise"]
