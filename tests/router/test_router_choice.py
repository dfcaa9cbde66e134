from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from router_world import NOW, node

from edgeproxy.router.beliefs import Estimate
from edgeproxy.router.choice import Candidate, choose
from edgeproxy.router.cost import cost_of
from edgeproxy.router.snapshot import RouteObject, RouteRules

RULES = RouteRules()


def candidate(name: str, rtt: float, **changes: Any) -> Candidate:
    made = node("paris", name, **changes)
    estimate = Estimate(rtt, 0.0, rtt, 100.0, "prefix")
    return Candidate(made, estimate, cost_of(estimate, made, None, RULES))


def names(candidates: list[Candidate], key: str | None = "k", group: str = "g", **asked: Any) -> list[str]:
    wanted = None if key is None else RouteObject(key, **asked)
    return [one.name for one in choose(candidates, wanted, group, RULES, NOW).ranked]


def test_without_an_object_the_cheapest_is_first() -> None:
    found = [candidate("b", 20.0), candidate("a", 21.0), candidate("c", 5.0)]
    assert names(found, None) == ["c", "b", "a"]


def test_near_ones_share_the_objects_and_far_ones_get_none() -> None:
    found = [candidate("a", 20.0), candidate("b", 25.0), candidate("far", 60.0)]
    first = Counter(names(found, str(n))[0] for n in range(1000))
    assert set(first) == {"a", "b"}
    assert first["a"] == pytest.approx(500, rel=0.2)
    assert all(names(found, str(n))[-1] == "far" for n in range(20))


def test_large_ones_may_be_farther_away() -> None:
    found = [candidate("a", 20.0), candidate("b", 42.0)]
    assert {names(found, str(n))[0] for n in range(50)} == {"a"}
    assert {names(found, str(n), is_large=True)[0] for n in range(50)} == {"a", "b"}


def test_a_full_node_gives_a_share_of_the_groups_away_always_the_same_ones() -> None:
    found = [candidate("a", 20.0, utilisation=0.90), candidate("far", 90.0)]
    first = {f"g{n}": names(found, "k", f"g{n}")[0] for n in range(400)}
    assert Counter(first.values())["far"] == pytest.approx(200, rel=0.25)
    assert all(names(found, "k", group)[0] == where for group, where in first.items())


def test_when_all_are_full_the_least_used_is_taken() -> None:
    found = [candidate("a", 20.0, utilisation=0.99), candidate("b", 30.0, utilisation=0.97)]
    assert names(found)[0] == "b"
    one = choose(found, None, "g", RULES, NOW)
    assert "full" in one.reason


def test_no_node_of_the_pool_has_much_more_than_its_share_in_flight() -> None:
    found = [candidate("a", 20.0, in_flight=40), candidate("b", 21.0, in_flight=2)]
    assert {names(found, str(n))[0] for n in range(50)} == {"b"}


def test_a_node_that_came_back_takes_clients_little_by_little() -> None:
    back = candidate("a", 20.0, started=NOW - 12)
    found = [back, candidate("b", 20.0)]
    early = Counter(names(found, str(n))[0] for n in range(2000))
    assert early["a"] < 500
    later = [replace(back, node=replace(back.node, started=NOW - 200)), found[1]]
    assert Counter(names(later, str(n))[0] for n in range(2000))["a"] == pytest.approx(1000, rel=0.1)


def test_every_candidate_is_ranked_once() -> None:
    found = [candidate(f"n{n}", 10.0 * n, utilisation=n / 10) for n in range(1, 10)]
    for key in ("a", "b", None):
        assert sorted(names(found, key)) == sorted(one.name for one in found)
