from __future__ import annotations

from dataclasses import dataclass

import pytest

from edgeproxy.serving.http2_order import UNTOLD, Order, Priority, parse_priority


@pytest.mark.parametrize(
    ("text", "priority"),
    [
        ("", UNTOLD),
        ("u=0", Priority(0, False)),
        ("u=7, i", Priority(7, True)),
        ("i", Priority(3, True)),
        ("i=?0", Priority(3, False)),
        ("u=8", Priority(3, False)),
        ("u=-1", Priority(3, False)),
        ("u=1.0", Priority(3, False)),
        ("u=1, x=y", Priority(1, False)),
        ("u=", UNTOLD),
        ("\xe9", UNTOLD),
    ],
)
def test_a_priority_field_is_read_and_what_is_wrong_is_not_told(text: str, priority: Priority) -> None:
    assert parse_priority(text) == priority


@dataclass(eq=False)
class Member:
    id: int
    left: int
    priority: Priority = UNTOLD
    is_queued: bool = False


def served(order: Order[Member]) -> list[int]:
    seen = []
    while (member := order.take()) is not None:
        seen.append(member.id)
        member.left -= 1
        if member.left:
            order.add(member)
    assert len(order) == 0
    return seen


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ([Member(1, 2), Member(3, 2), Member(5, 1)], [1, 3, 5, 1, 3]),
        ([Member(3, 2, Priority(3, False)), Member(1, 2, Priority(3, False))], [1, 1, 3, 3]),
        ([Member(1, 2), Member(3, 1, Priority(0, True)), Member(5, 2, Priority(0, True))], [3, 5, 5, 1, 1]),
        ([Member(1, 2, Priority(7, False)), Member(3, 1)], [3, 1, 1]),
        ([Member(1, 3, Priority(3, False)), Member(3, 2), Member(5, 2)], [1, 3, 1, 5, 1, 3, 5]),
    ],
    ids=["turns", "line", "urgent", "least", "mixed"],
)
def test_urgency_decides_then_turns_or_the_order_of_requests(
    members: list[Member], expected: list[int]
) -> None:
    order: Order[Member] = Order()
    for member in members:
        order.add(member)
        order.add(member)
    assert served(order) == expected


def test_who_leaves_or_moves_is_not_served_where_it_stood() -> None:
    order: Order[Member] = Order()
    one, two, three = Member(1, 1), Member(3, 1, Priority(3, False)), Member(5, 1)
    for member in (one, two, three):
        order.add(member)
    order.discard(two)
    order.discard(two)
    order.move(three, Priority(0, False))
    order.move(two, Priority(1, True))
    assert served(order) == [5, 1]
    assert two.priority == Priority(1, True)
