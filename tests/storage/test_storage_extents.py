"""What is there of a body, and its sums, against a model that holds the bytes."""

from __future__ import annotations

import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.storage import extents
from edgeproxy.storage.extents import Extent, Extents, checksums
from edgeproxy.storage.integrity import SEGMENT_BYTES
from edgeproxy.storage.record import Damaged

PIECE = 64


@pytest.fixture(scope="module", autouse=True)
def small_pieces():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extents, "SEGMENT_BYTES", PIECE)
        yield


@given(
    size=st.integers(1, 1000),
    writes=st.lists(st.tuples(st.integers(0, 999), st.integers(1, 200), st.booleans()), max_size=40),
    seed=st.integers(0, 99),
)
@settings(max_examples=150, deadline=None)
def test_any_order_of_writes_and_losses_gives_the_sums_of_the_bytes(size, writes, seed):
    data = random.Random(seed).randbytes(size)
    held = Extents(size)
    for start, length, lose in [*writes, (0, size, False)]:
        for first, last in list(held.spans.holes(min(start, size), min(size, start + length))):
            before = held.crc_before(first)
            middle = (first + last) // 2
            for a, b, crc in checksums(first, [data[first:middle], data[middle:last]], before):
                held.add(a, b, crc, before if a == first else 0)
        if lose and len(held):
            assert held.drop(random.Random(start).choice(list(held)))
        assert held.incomplete == sum(not held._is_whole(extent) for extent in held)
        assert all(zlib.crc32(data[e.start : e.end]) == e.crc for e in held)
        again = Extents.decode(held.encode(), size)
        assert again.spans == held.spans
        assert [(e.start, e.end, e.crc) for e in again] == [(e.start, e.end, e.crc) for e in held]
        assert not any(e.is_proven for e in again)
        assert again.incomplete == held.incomplete
    assert held.sums() == tuple(zlib.crc32(data[i : i + PIECE]) for i in range(0, size, PIECE))


def test_suspect_bytes_do_not_grow_together_with_proven_ones():
    held = Extents.of(PIECE, [Extent(0, 10, zlib.crc32(b"a" * 10), is_proven=False)])
    assert held.crc_before(10) == 0
    held.add(10, PIECE, zlib.crc32(b"b" * 54))
    assert [e.is_proven for e in held] == [False, True]
    assert held.sums() == (zlib.crc32(b"a" * 10 + b"b" * 54),)


def test_of_too_many_extents_the_longest_are_written_down(monkeypatch):
    monkeypatch.setattr(extents, "EXTENTS_MAX", 2)
    held = Extents(1000)
    for start, length in ((0, 3), (100, 9), (300, 1), (500, 7)):
        held.add(start, start + length, 1)
    assert list(Extents.decode(held.encode(), 1000).spans) == [(100, 109), (500, 507)]


def test_of_too_many_extents_the_shortest_are_excess_but_not_the_beginning_or_what_is_needed(monkeypatch):
    monkeypatch.setattr(extents, "EXTENTS_MAX", 16)
    held = Extents(100 * PIECE)
    held.add(0, 1, 1)
    for number in range(1, 16):
        held.add(number * PIECE, number * PIECE + number, 1)
    assert held.excess([]) == []
    held.add(20 * PIECE, 21 * PIECE, 1)  # a whole piece does not count
    assert held.excess([]) == []
    held.add(16 * PIECE, 16 * PIECE + 16, 1)
    needed = [(2 * PIECE, 2 * PIECE + 1)]
    assert [e.end - e.start for e in held.excess(needed)] == [1, 3, 4]


@given(st.integers(0, 10_000))
def test_a_changed_bit_is_noticed(bit):
    held = Extents(500)
    for start, end, crc in checksums(10, [b"x" * 300]):
        held.add(start, end, crc)
    data = bytearray(held.encode())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    with pytest.raises(Damaged):
        Extents.decode(bytes(data), 500)


@pytest.mark.parametrize("found", [[(0, 0)], [(5, 3)], [(0, 65)], [(0, 9), (5, 20)], [(60, 101)]])
def test_impossible_extents_are_refused(found):
    with pytest.raises(Damaged):
        Extents.of(100, [Extent(start, end, 0) for start, end in found])


def test_whole_pieces_are_counted_when_they_become_whole():
    held = Extents(PIECE + 5)
    held.add(0, 10, 1)
    assert held.pieces_filled == 0
    held.add(10, PIECE, 1)
    held.add(PIECE, PIECE + 5, 1)
    assert held.pieces_filled == 2
    assert SEGMENT_BYTES == 4 << 20
