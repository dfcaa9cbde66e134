import pytest

from benchmarks.ranged import Fetched, Fetching, Part
from benchmarks.report import Result
from benchmarks.trouble_figures import CLIENTS, Seen, classify, limits, report, seen

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
    assert [limit.met for limit in limits(kind, [saw, saw])] == met


def test_a_whole_wrong_body_of_the_node_fails_the_run_and_one_of_a_peer_does_not() -> None:
    wrong = _saw(right=0, wrong=1, again="wrong bytes within 5 from 7")
    result = Result("broken_origin", "What?", [], machine={})
    report(result, {"flip": {"edgeproxy": [_saw(right=0)], "squid": [wrong]}})
    assert result.failures == []
    assert result.tables[0].rows[1][1:3] == ["0 of 8", "1"]
    report(result, {"flip": {"edgeproxy": [wrong]}})
    assert len(result.failures) == 1


def test_comparisons_say_which_way_is_better() -> None:
    result = Result("broken_origin", "What?", [], machine={})
    servers = {"edgeproxy": [_saw()], "nginx": [_saw(right=7)], "direct": [_saw(right=1)]}
    report(result, {"cut": servers, "flip": servers})
    assert [(it.ours, it.theirs, it.peer, it.less_is_better) for it in result.comparisons] == [
        (8, 7, "nginx", False),
        (0, 0, "nginx", True),
    ]
    assert [plot.title for plot in result.plots] == [
        "Clients unaware of a broken origin",
        "Clients with a whole wrong body",
    ]
