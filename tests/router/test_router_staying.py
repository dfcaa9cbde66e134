from router_world import NOW
from test_router_choice import RULES, candidate

from edgeproxy.router.choice import Choice
from edgeproxy.router.snapshot import Kept
from edgeproxy.router.staying import settled


def choice(**rtts: float) -> Choice:
    found = sorted((candidate(name, rtt) for name, rtt in rtts.items()), key=lambda one: one.cost.total)
    return Choice(tuple(found), "the nearest by cost")


def first(made: Choice) -> str:
    return made.ranked[0].name


def test_a_small_gain_moves_nobody() -> None:
    made, kept = settled(choice(a=30.0, b=27.0), Kept("a"), RULES, NOW)
    assert (first(made), kept) == ("a", Kept("a"))


def test_a_clear_gain_moves_when_it_has_lasted() -> None:
    made, kept = settled(choice(a=30.0, b=15.0), Kept("a"), RULES, NOW)
    assert (first(made), kept) == ("a", Kept("a", "b", NOW))
    made, kept = settled(choice(a=30.0, b=15.0), kept, RULES, NOW + 10)
    assert first(made) == "a"
    made, kept = settled(choice(a=30.0, b=15.0), kept, RULES, NOW + 30)
    assert (first(made), kept) == ("b", Kept("b"))


def test_a_gain_that_was_gone_in_between_starts_anew() -> None:
    _, kept = settled(choice(a=30.0, b=15.0), Kept("a"), RULES, NOW)
    _, kept = settled(choice(a=30.0, b=29.0), kept, RULES, NOW + 20)
    made, _ = settled(choice(a=30.0, b=15.0), kept, RULES, NOW + 40)
    assert first(made) == "a"


def test_a_node_that_is_gone_or_overfull_is_left_at_once() -> None:
    assert first(settled(choice(b=300.0), Kept("a"), RULES, NOW)[0]) == "b"
    full = Choice((candidate("b", 300.0), candidate("a", 10.0, utilisation=0.96)), "")
    assert first(settled(full, Kept("a"), RULES, NOW)[0]) == "b"


def test_who_is_new_goes_where_it_is_best() -> None:
    made, kept = settled(choice(a=30.0, b=27.0), None, RULES, NOW)
    assert (first(made), kept) == ("b", Kept("b"))
