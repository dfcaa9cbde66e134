"""What a server remembers, and when it no longer counts."""

from __future__ import annotations

import pytest

from edgeproxy.message import Headers, Reuse
from edgeproxy.policy.timed_fields import Counting, TimedFields
from edgeproxy.relay.messages import Mark, Reusing
from edgeproxy.relay.recall import Recall
from edgeproxy.relay.table import SharedTable

FIELDS = TimedFields((("Age", "0"), ("A", "b")), ((0, Counting("Age", "", 100.0, False)),))


@pytest.fixture
def table() -> SharedTable:
    table = SharedTable(8)
    table.begin()
    return table


def remembered(
    recall: Recall, table: SharedTable, slot: int, data: bytes = b"x", generation: int = 0, sequence: int = 0
) -> Reuse:
    mark = Mark(slot, generation or table.give(slot), 200.0, sequence)
    return recall.reuse(Reusing(mark, None, FIELDS), data)


def test_what_is_remembered_is_what_was_said(table: SharedTable) -> None:
    reuse = remembered(Recall(table, 10_000), table, 1, b"abc", sequence=3)
    assert (reuse.data, reuse.held.fresh_until, reuse.held.sequence, reuse.source) == (b"abc", 200.0, 3, None)
    assert reuse.fields(107.9) == Headers((("Age", "7"), ("A", "b")))


def test_what_is_retired_has_no_sequence_any_store_could_have(table: SharedTable) -> None:
    recall = Recall(table, 10_000)
    source = Mark(2, table.give(2), 200.0, 3)
    reuse = recall.reuse(Reusing(Mark(1, table.give(1), 200.0, 3), source, FIELDS), b"")
    assert reuse.source is not None
    table.end(2)
    assert (reuse.held.sequence, reuse.source.sequence) == (3, -1)
    table.give(1)
    assert reuse.held.sequence == -1


def test_many_heads_of_one_response_share_its_content_and_what_is_known_of_it(table: SharedTable) -> None:
    recall, generation = Recall(table, 10_000), table.give(1)
    first = remembered(recall, table, 1, bytes([1] * 500), generation)
    second = remembered(recall, table, 1, bytes([1] * 500), generation, sequence=9)
    assert second.data is first.data
    assert first.held.sequence == 9  # the filler has compared it with a purge since
    assert recall.bytes < 1500


def test_it_is_bounded_in_bytes_and_what_leaves_is_not_used_any_more(table: SharedTable) -> None:
    recall = Recall(table, 5000)
    kept = [remembered(recall, table, slot, bytes(1000)) for slot in range(6)]
    assert recall.bytes <= 5000
    assert [reuse.held.fresh_until for reuse in kept] == [0.0, 0.0, 0.0, 200.0, 200.0, 200.0]
    too_large = remembered(recall, table, 7, bytes(6000))
    assert too_large.held.fresh_until == 0.0
    assert len(recall) == 3


def test_what_was_retired_makes_room_first(table: SharedTable) -> None:
    recall = Recall(table, 5000)
    kept = [remembered(recall, table, slot, bytes(1000)) for slot in range(3)]
    table.end(2)
    last = remembered(recall, table, 3, bytes(1000))
    assert [reuse.held.fresh_until for reuse in (*kept, last)] == [200.0, 200.0, 0.0, 200.0]


def test_uses_are_noted_for_the_filler(table: SharedTable) -> None:
    recall, generation = Recall(table, 10_000), table.give(1)
    reuse = remembered(recall, table, 1, b"", generation)
    reuse.used()
    reuse.used()
    assert recall.used == {(1, generation)}
