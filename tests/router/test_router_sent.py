import pytest

from edgeproxy.message import Response
from edgeproxy.router.sent import Again, Sent, SentTable

REPEAT, DECIDE, COMPLAINT = Again


def sent(at: float = 0.0, **changes: bool) -> Sent:
    return Sent(Response(302), "paris", "DE", at, 0, **changes)


@pytest.mark.parametrize(
    ("times", "is_part", "expected"),
    [
        ([0.1], False, [REPEAT]),
        ([3.0], False, [COMPLAINT]),
        ([3.0], True, [REPEAT]),
        ([9.9], False, [COMPLAINT]),
        ([11.0], False, [DECIDE]),
        ([0.1, 3.0, 4.0], False, [REPEAT, REPEAT, REPEAT]),
        ([3.0, 4.0, 6.0], False, [COMPLAINT, REPEAT, DECIDE]),
    ],
)
def test_what_it_means_to_ask_again(times: list[float], is_part: bool, expected: list[Again]) -> None:
    table, entry = SentTable(8, 10.0), sent()
    assert [table.again(entry, now, is_part=is_part) for now in times] == expected


def test_who_was_sent_on_a_complaint_does_not_complain_again() -> None:
    assert SentTable(8, 10.0).again(sent(is_settled=True), 3.0, is_part=False) is REPEAT


def test_nobody_complains_where_that_is_switched_off() -> None:
    assert SentTable(8, 0.0).again(sent(), 3.0, is_part=False) is REPEAT


def test_what_was_decided_with_another_map_is_decided_again() -> None:
    table = SentTable(8, 10.0)
    table.generation += 1
    assert table.again(sent(), 0.1, is_part=False) is DECIDE


def test_the_longest_there_leave_first() -> None:
    table = SentTable(2, 10.0)
    for number in range(4):
        table.put(("c", str(number)), sent())
    assert [table.get(("c", str(number))) is not None for number in range(4)] == [False, False, True, True]
    none = SentTable(0, 10.0)
    none.put(("c", "t"), sent())
    assert len(none) == 0
