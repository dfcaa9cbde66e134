import pytest

from benchmarks.broken_origin import CLIENTS, Seen, _limits, classify, seen
from benchmarks.ranged import Fetched, Fetching, Part

MIB = 1 << 20


def _one(problem: str, received: int = 10) -> Fetched:
    return Fetched(Part(0, 10, whole=True), received, 0.1, 0.2, problem)


@pytest.mark.parametrize(
    ("one", "outcome"),
    [
        (_one(""), "right"),
        (_one("wrong bytes within 5 from 7"), "wrong"),
        (_one("cut off after 5 bytes", 5), "cut"),
        (_one("status 502 instead of 200", 0), "refused"),
        (_one("no answer", 0), "refused"),
        (_one("no end, after wrong bytes"), "waiting"),
    ],
)
def test_what_a_client_saw_is_told_in_one_word(one: Fetched, outcome: str) -> None:
    assert classify(one) == outcome


def _saw(right: int = CLIENTS, wrong: int = 0, repeated: int = 0, again: str = "") -> Seen:
    spans = [(0, 4 * MIB), (0, repeated)]
    fetched = [_one("")] * right + [_one("wrong bytes within 5 from 7")] * wrong
    return seen(Fetching(fetched, 1.0, CLIENTS - len(fetched)), spans, 2, again)


def test_clients_that_saw_the_same_are_counted_together() -> None:
    saw = seen(
        Fetching([_one("cut off after 12345 bytes"), _one("cut off after 54321 bytes")], 1.0, 0), [], 1, ""
    )
    assert saw.problems == {"cut off after N bytes": 2}


@pytest.mark.parametrize(
    ("kind", "saw", "met"),
    [
        ("cut", _saw(repeated=MIB), [True, True]),
        ("cut", _saw(repeated=MIB + 1), [True, False]),
        ("cut", _saw(right=CLIENTS - 1), [False, False]),
        ("stall", _saw(), [True]),
        ("restart", _saw(right=0), [False]),
        ("flip", _saw(right=0), [True, True]),
        ("flip", _saw(right=0, wrong=1), [False, True]),
        ("flip", _saw(right=0, again="wrong bytes within 5 from 7"), [False, False]),
        ("flip-always", _saw(right=0, again="cut off after 5 bytes"), [True]),
    ],
)
def test_a_limit_is_met_only_by_what_was_seen(kind: str, saw: Seen, met: list[bool]) -> None:
    assert [limit.met for limit in _limits(kind, saw)] == met
