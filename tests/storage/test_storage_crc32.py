"""Sums of parts make the sum of the whole."""

from __future__ import annotations

import zlib

from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.storage.crc32 import crc32, joined, remainder


@given(st.binary(max_size=2000), st.binary(max_size=2000))
def test_the_sum_of_two_parts_is_that_of_the_whole(first, second):
    whole, a, b = zlib.crc32(first + second), zlib.crc32(first), zlib.crc32(second)
    assert joined(a, b, len(second)) == whole
    assert remainder(whole, a, len(second)) == b


@given(st.binary(max_size=70_000), st.integers(0, 2**32 - 1))
def test_it_is_the_sum_that_stores_of_other_machines_hold(data, before):
    assert crc32(data) == zlib.crc32(data)
    assert crc32(memoryview(data), before) == zlib.crc32(data, before)
