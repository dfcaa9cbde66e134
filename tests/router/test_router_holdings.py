from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.router.holdings import DIGESTS_MAX, UnusableHoldings, decode, digest_of, encode


@given(st.lists(st.text(max_size=20), max_size=200))
def test_a_set_comes_back_whole(keys: list[str]) -> None:
    assert decode(encode(keys)) == {digest_of(key) for key in keys}


def test_a_full_set_is_small_and_more_is_left_out() -> None:
    packed = encode(f"key{number}" for number in range(3 * DIGESTS_MAX))
    assert len(decode(packed)) == DIGESTS_MAX
    assert len(packed) < 23_000


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_other_bytes_are_refused_or_harmless(data: bytes) -> None:
    try:
        found = decode(data)
    except UnusableHoldings:
        return
    assert all(0 <= digest < 1 << 32 for digest in found)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0\1",
        b"\xff\xff\xff\xff\x05" + b"\0" * 100,
        b"\0\0\0\1\x20\0\0\0\0",
        b"\0\0\0\1\1\xff\xff",
        b"\0\0\0\2\x1f\xff\xff\xff\xff\0\0\0\0\0\0",
        b"x" * 100_000,
    ],
)
def test_what_is_no_set_is_refused(data: bytes) -> None:
    with pytest.raises(UnusableHoldings):
        decode(data)
