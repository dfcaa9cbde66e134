from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from router.router_keeping import announcement

from edgeproxy.router.announcement import BODY_BYTES_MAX, Refused, RoundTrip, Seen, parse


def test_it_comes_back_as_it_was_sent() -> None:
    told = announcement(
        utilisation=0.5, round_trips=[RoundTrip("8.8.8.0/24", 12.5, 3)], seen=[Seen("paris", True, 9.0)]
    )
    assert parse(msgspec.json.encode(told)) == told


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b"{" * 5000,
        b"[" * 100_000,
        b'{"name": "oslo"}',
        b'{"name": "oslo", "sent_at": "now"}',
        b'{"name": "../etc", "sent_at": 1}',
        b'{"name": "oslo\\n", "sent_at": 1}',
        b'{"name": "", "sent_at": 1}',
        b'{"name": "oslo", "sent_at": 1, "extra": 1}',
        b'{"name": "oslo", "sent_at": 1, "latitude": 91}',
        b'{"name": "oslo", "sent_at": 1, "capacity": 0}',
        b'{"name": "oslo", "sent_at": 1, "state": "gone"}',
        b'{"name": "oslo", "sent_at": 1, "utilisation": -1}',
        b'{"name": "oslo", "sent_at": 1, "utilisation": 1e999}',
        b'{"name": "oslo", "sent_at": 1, "utilisation": NaN}',
        b'{"name": "oslo", "sent_at": 1, "round_trips": [["8.8.8.0/24", -1, 1]]}',
        b'{"name": "oslo", "sent_at": 1, "round_trips": [["8.8.8.0/24", 1, 0]]}',
        b'{"name": "oslo", "sent_at": 1, "round_trips": ['
        + b",".join([b'["8.8.8.0/24",1,1]'] * 2001)
        + b"]}",
        b'{"name": "oslo", "sent_at": 1, "seen": [["x", 1]]}',
    ],
    ids=range(22),
)
def test_what_is_no_announcement_is_refused_with_one_line(body: bytes) -> None:
    with pytest.raises(Refused) as caught:
        parse(body)
    assert caught.value.status == 400
    assert "\n" not in str(caught.value)


def test_a_large_one_is_refused_unread() -> None:
    with pytest.raises(Refused) as caught:
        parse(b" " * (BODY_BYTES_MAX + 1))
    assert caught.value.status == 413


@given(st.binary(max_size=200))
def test_garbage_is_refused(body: bytes) -> None:
    with pytest.raises(Refused):
        parse(body)
