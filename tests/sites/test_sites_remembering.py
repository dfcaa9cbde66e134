"""The oldest is forgotten first, and what is told again is not old."""

from __future__ import annotations

from collections import OrderedDict

from edgeproxy.sites.remembering import remember


def test_the_oldest_is_forgotten_first_and_what_is_told_again_is_new() -> None:
    table: OrderedDict[str, int] = OrderedDict()
    for number, key in enumerate("abcab"):
        remember(table, key, number, 3)
    assert list(table.items()) == [("c", 2), ("a", 3), ("b", 4)]
    remember(table, "d", 5, 3)
    assert list(table) == ["a", "b", "d"]
    remember(table, "e", 6, 1)
    assert list(table.items()) == [("e", 6)]
