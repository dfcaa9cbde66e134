"""A record gives back what was recorded, or says that it is damaged."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storage_stand import response

from edgeproxy.errors import StorageError
from edgeproxy.storage import record

TEXT = st.text(st.characters(codec="utf-8"), max_size=30)


@settings(max_examples=100)
@given(key=TEXT, value=st.text(st.characters(max_codepoint=255), max_size=30), time=st.floats(0, 1e11))
def test_a_record_reads_back_as_it_was_written(key, value, time):
    stored = response(key, fields=(("X", value),), selecting=(("a", None), ("b", value)), fresh_until=time)
    assert record.decode(record.encode(stored)) == stored


@settings(max_examples=150)
@given(bit=st.integers(0, 10**9))
def test_any_flipped_bit_is_noticed(bit):
    data = bytearray(record.encode(response("https://o.example/a")))
    bit %= len(data) * 8
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(record.Damaged):
        record.decode(bytes(data))


@pytest.mark.parametrize("data", [b"", b"EPR1", b"EPR2" + bytes(40), record.encode(response("k"))[:-1]])
def test_what_is_no_record_is_damaged(data):
    with pytest.raises(record.Damaged):
        record.decode(data)


def test_infinite_times_become_far_ones():
    stored = record.decode(record.encode(response("k", fresh_until=math.inf, born=math.nan)))
    assert (stored.fresh_until, stored.born) == (record.FOREVER, 0)


@pytest.mark.parametrize("bad", [response("\ud800"), response("k" * (2 << 20))])
def test_what_cannot_be_recorded_is_a_storage_error(bad):
    with pytest.raises(StorageError):
        record.encode(bad)
