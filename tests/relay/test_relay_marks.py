"""What is marked as repeatable is so until the moment it is retired."""

from __future__ import annotations

import pytest
from relay_stand import NOW, HeldCopy, Repeats

from edgeproxy.relay.marks import Marks
from edgeproxy.relay.messages import Mark, Reusing
from edgeproxy.relay.table import SharedTable


@pytest.fixture
def table() -> SharedTable:
    return SharedTable(3)


def holds(table: SharedTable, mark: Mark) -> bool:
    return table.holds(mark.slot, mark.generation)


def marked(marks: Marks, reuse: Repeats) -> Mark:
    reusing = marks.reusing(reuse, NOW)
    assert isinstance(reusing, Reusing)
    return reusing.held


def test_a_mark_holds_until_its_response_is_retired(table: SharedTable) -> None:
    marks, held = Marks(table), HeldCopy(sequence=5)
    mark = marked(marks, Repeats(held, b""))
    assert (mark.fresh_until, mark.sequence, holds(table, mark)) == (held.fresh_until, 5, True)
    assert marked(marks, Repeats(held, b"")) == mark  # one for all heads
    held.retire()
    assert not holds(table, mark)
    assert len(marks) == 0


def test_a_view_is_marked_with_what_it_was_made_from(table: SharedTable) -> None:
    marks, held, source = Marks(table), HeldCopy(), HeldCopy(sequence=2)
    reusing = marks.reusing(Repeats(held, b"", source), NOW)
    assert reusing is not None
    assert reusing.source is not None
    source.retire()
    assert not holds(table, reusing.source)
    assert holds(table, reusing.held)


@pytest.mark.parametrize(
    "reuse",
    [
        Repeats(HeldCopy(fresh_until=NOW), b""),
        Repeats(HeldCopy(), b"", HeldCopy(fresh_until=0.0)),
        Repeats(HeldCopy(), b"", is_timed=False),
    ],
    ids=["stale", "made from something stale", "fields that depend on time in ways of their own"],
)
def test_what_may_not_be_repeated_is_not_marked(table: SharedTable, reuse: Repeats) -> None:
    marks = Marks(table)
    assert marks.reusing(reuse, NOW) is None
    assert len(marks) == 0


def test_where_all_slots_are_given_the_first_is_taken_back(table: SharedTable) -> None:
    marks, copies = Marks(table), [HeldCopy() for _ in range(5)]
    given = [marked(marks, Repeats(copy, b"")) for copy in copies]
    assert [holds(table, mark) for mark in given] == [False, False, True, True, True]
    copies[0].retire()  # its slot is another's now
    assert holds(table, given[3])


def test_uses_are_told_to_the_response_they_were_of_and_to_no_other(table: SharedTable) -> None:
    marks, first, second = Marks(table), Repeats(HeldCopy(), b""), Repeats(HeldCopy(), b"")
    mark = marked(marks, first)
    first.held.retire()
    again = marked(marks, second)
    assert again.slot == mark.slot
    marks.used(mark.slot, mark.generation)
    marks.used(again.slot, again.generation)
    marks.used(99, 1)
    assert (first.uses, second.uses) == (0, 1)


def test_clearing_ends_all_and_leaves_all_slots_free(table: SharedTable) -> None:
    marks, copies = Marks(table), [HeldCopy() for _ in range(3)]
    given = [marked(marks, Repeats(copy, b"")) for copy in copies]
    marks.clear()
    assert not any(holds(table, mark) for mark in given)
    assert [copy.retired for copy in copies] == [None] * 3
    assert marked(marks, Repeats(copies[0], b"")) not in given


def test_a_new_purge_sequence_is_there_for_all(table: SharedTable) -> None:
    Marks(table).sequence_changed(41)
    assert table.sequence == 41
