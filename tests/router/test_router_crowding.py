from __future__ import annotations

import time

from edgeproxy.router.crowding import crowded_out


def test_the_longest_there_leave_and_nobody_where_there_is_room() -> None:
    table = dict.fromkeys(range(10))
    assert crowded_out(table, 10) == []
    table[10] = None
    assert crowded_out(table, 10) == [0]
    assert list(table) == list(range(1, 11))
    table.update(dict.fromkeys(range(100, 105)))
    assert crowded_out(table, 10) == [1, 2, 3, 4, 5]


def test_of_a_large_table_a_part_leaves_so_that_the_next_ones_need_not() -> None:
    table = dict.fromkeys(range(6400))
    table["new"] = None  # type: ignore[index]
    assert crowded_out(table, 6400) == list(range(101))  # type: ignore[arg-type]
    assert len(table) == 6300


def test_no_room_at_all() -> None:
    table = {"a": None}
    assert crowded_out(table, 0) == ["a"]


def test_what_comes_to_a_full_table_takes_no_longer_the_larger_it_is() -> None:
    def seconds(entries: int) -> float:
        table = dict.fromkeys(range(entries))
        began = time.thread_time()
        for number in range(entries, entries + 30_000):
            table[number] = None
            crowded_out(table, entries)
        return time.thread_time() - began

    few = min(seconds(1000) for _ in range(3))
    assert min(seconds(200_000) for _ in range(3)) < 20 * few + 0.05  # one at a time: 100 times
