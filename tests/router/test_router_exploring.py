from dataclasses import replace

from test_router_choice import RULES, candidate

from edgeproxy.router.choice import Candidate, Choice
from edgeproxy.router.exploring import explored
from edgeproxy.router.snapshot import RouteObject

ASKED = RouteObject("k")


def unsure(name: str, rtt: float, deviation: float, km: float, used: float = 0.0) -> Candidate:
    one = candidate(name, rtt, utilisation=used)
    return replace(one, estimate=one.estimate._replace(deviation=deviation, distance_km=km))


BEST = unsure("best", 50.0, 1.0, 3000)


def first(other: Candidate, asked: RouteObject | None = ASKED, chance: float = 0.0) -> str:
    return explored(Choice((BEST, other), ""), asked, RULES, chance).ranked[0].name


def test_one_in_a_hundred_goes_where_a_gain_is_possible() -> None:
    promising = unsure("new", 60.0, 30.0, 1000)
    assert first(promising) == "new"
    assert first(promising, chance=0.01) == "best"


def test_light_cannot_be_beaten() -> None:
    assert first(unsure("new", 60.0, 55.0, 9000)) == "best"


def test_nobody_is_sent_to_a_busy_node_or_one_surely_worse() -> None:
    assert first(unsure("new", 60.0, 30.0, 1000, used=0.7)) == "best"
    assert first(unsure("new", 60.0, 5.0, 1000)) == "best"


def test_never_for_dns_nor_for_what_is_large_and_private() -> None:
    promising = unsure("new", 60.0, 30.0, 1000)
    assert first(promising, None) == "best"
    assert first(promising, RouteObject("k", is_large=True, is_private=True)) == "best"
