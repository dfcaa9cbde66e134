import pytest
from router_world import COUNTRIES, NOW, PLACES, node

from edgeproxy.router.client import Address, Client, Whereabouts, identify
from edgeproxy.router.coverage import Elsewhere, coverage
from edgeproxy.router.decision_log import LoggedDecision, written
from edgeproxy.router.replay import ERRORS_MAX, Replayed, replay
from edgeproxy.router.snapshot import Snapshot

WORLD = Snapshot(tuple(node(city) for city in ("paris", "tokyo", "denver")))
CITIES = {"11.0.0.7": "berlin", "12.0.0.7": "sydney", "13.0.0.7": "denver"}


class _Atlas:
    def whereabouts(self, address: Address) -> Whereabouts:
        city = CITIES.get(str(address))
        return Whereabouts() if city is None else Whereabouts(COUNTRIES[city], PLACES[city])


def who(address: Address | None, bits: int | None) -> Client:
    return identify(address, _Atlas(), bits=bits)


def line(client: str, node: str = "", key: str = "k", after: float = 0.0) -> bytes:
    return written(LoggedDecision(NOW + after, client, node=node, key=key))


LOG = [
    line("11.0.0.7", "paris"),
    line("12.0.0.7", "paris", after=5.0),
    line("13.0.0.7", "denver", after=2.0),
    b"\n",
]


def outcomes(found: Replayed) -> dict[str, dict[str, int]]:
    return {one.policy: one.by_node for one in found.outcomes}


def test_it_says_what_each_policy_would_have_done() -> None:
    found = replay([*LOG, LOG[0], LOG[0]], WORLD, who)
    assert (found.lines, found.unusable, found.first, found.last) == (5, 0, NOW, NOW + 5)
    assert outcomes(found)["geo-rtt"] == {"paris": 3, "tokyo": 1, "denver": 1}
    assert outcomes(found)["round-robin"] == {"paris": 2, "tokyo": 2, "denver": 1}
    by_name = {one.policy: one for one in found.outcomes}
    assert by_name["geo-rtt"].expected_ms < by_name["round-robin"].expected_ms - 20


def test_it_is_compared_with_what_was_logged() -> None:
    (found,) = replay(LOG, WORLD, who, ["geo-rtt"]).outcomes
    assert (found.beside_log.decisions, found.beside_log.different) == (3, 1)
    assert found.beside_log.shadow_mean_ms < found.beside_log.live_mean_ms


def test_lines_that_cannot_be_used_are_told_by_number_and_the_others_count() -> None:
    found = replay([b"nonsense", *LOG, *[b"{}"] * 50], WORLD, who, ["geo"])
    assert (found.lines, found.unusable, len(found.errors)) == (54, 51, ERRORS_MAX)
    assert found.errors[0][0] == 1
    assert outcomes(found)["geo"]["paris"] == 1


def test_a_node_that_is_gone_from_the_map_is_counted_and_not_compared() -> None:
    found = replay([line("11.0.0.7", "lisbon")], WORLD, who, ["geo-rtt"])
    assert found.unknown_nodes == 1
    assert found.outcomes[0].beside_log.decisions == 0
    assert found.outcomes[0].answered == 1


def test_answers_that_name_no_node_are_counted_apart() -> None:
    rule = coverage([], countries=["FR"], elsewhere=Elsewhere.ORIGIN)
    (found,) = replay(LOG, Snapshot(WORLD.nodes, coverage=rule), who, ["geo-rtt"]).outcomes
    assert (found.answered, found.to_origin, found.unanswered) == (0, 3, 0)
    (found,) = replay(LOG, Snapshot(()), who, ["geo-rtt"]).outcomes
    assert (found.unanswered, found.expected_ms) == (3, 0.0)


def test_there_is_no_policy_of_any_other_name() -> None:
    with pytest.raises(ValueError, match="fastest"):
        replay(LOG, WORLD, who, ["fastest"])


def test_dns_questions_stay_where_the_policy_itself_has_put_them() -> None:
    found = replay([line("11.0.0.7", key="") for _ in range(3)], WORLD, who, ["geo-rtt"])
    assert outcomes(found)["geo-rtt"] == {"paris": 3}
