"""Checksums by piece do not depend on how a body arrives."""

from __future__ import annotations

import zlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.storage import integrity


@settings(max_examples=50, deadline=None)
@given(cuts=st.lists(st.integers(0, 10_000_000), max_size=6))
def test_checksums_are_those_of_the_pieces_however_the_bytes_arrive(cuts):
    data = bytes(10_000_000)
    running = integrity.RunningChecksums()
    edges = [0, *sorted(cuts), len(data)]
    for start, end in pairwise(edges):
        running.add(memoryview(data)[start:end])
    step = integrity.SEGMENT_BYTES
    assert running.finish() == tuple(zlib.crc32(data[at : at + step]) for at in range(0, len(data), step))


@pytest.mark.parametrize("size", [0, 1, 16 << 30, (16 << 30) + 1, 1 << 40])
def test_there_are_at_most_4096_segments(size):
    length = integrity.segment_bytes(size)
    assert length % integrity.SEGMENT_BYTES == 0
    assert -(-size // length) <= integrity.SEGMENTS_MAX


def test_what_was_proven_is_forgotten_when_the_file_changes():
    proven = integrity.Proven()
    proven.pieces("b", (1, 2, 3, 4), 2)[0] = 1
    assert proven.pieces("b", (1, 2, 3, 4), 2)[0] == 1
    assert proven.pieces("b", (1, 2, 3, 5), 2)[0] == 0
