"""The form of a request head, and the search for heads among unread bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.config import Limits
from edgeproxy.errors import RequestError
from edgeproxy.serving.head_syntax import WHOLE_HEAD, HeadReader, fault, is_foreign

HEADS = [b"GET / HTTP/1.1\r\nA: b\r\n\r\n", b"\r\nPUT /x HTTP/1.0\r\n\r\n", b"A * HTTP/1.1\r\n\r\n"]
SMALL = Limits(head=200, uri=50, fields=3)


@given(st.lists(st.sampled_from(HEADS), max_size=5), st.lists(st.integers(1, 20), min_size=1, max_size=5))
def test_heads_are_found_whole_and_in_order_however_they_are_cut(heads: list[bytes], cuts: list[int]) -> None:
    reader, data, found, turn = HeadReader(Limits()), b"".join(heads), [], 0
    while data:
        size = cuts[turn % len(cuts)]
        turn += 1
        reader.push(data[:size])
        data = data[size:]
        while (head := reader.pop()) is not None:
            found.append(head)
    assert found == heads
    assert len(reader) == 0


def test_what_is_left_is_handed_over_once() -> None:
    reader = HeadReader(Limits())
    reader.push(HEADS[0] + b"content")
    assert reader.pop() == HEADS[0]
    assert len(reader) == 7
    assert reader.rest() == b"content"
    assert reader.rest() == b""


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01", 400),
        (b"GET /\r\n", 400),
        (b"GET / HTTP/2.0\r\n", 505),
        (b"GET /%b HTTP/1.1\r\n" % (b"a" * 50), 414),
        (b"GET /" + b"a" * 120, 414),
        (b"GET / HTTP/1.1\r\nA : b\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: b\n", 400),
        (b"GET / HTTP/1.1\r\nA: b\r\n c\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 4, 431),
        (b"GET / HTTP/1.1\r\nA: " + b"b" * 200, 431),
    ],
)
def test_a_fault_is_known_before_the_head_is_whole_and_is_the_same_after(data: bytes, status: int) -> None:
    reader = HeadReader(SMALL)
    reader.push(data)
    with pytest.raises(RequestError) as caught:
        reader.pop()
    assert caught.value.status == status
    assert fault(data + b"\r\n\r\n", SMALL).status == status


@given(st.binary(max_size=60))
def test_the_quick_pattern_takes_nothing_that_the_lines_refuse(middle: bytes) -> None:
    head = b"GET / HTTP/1.1\r\nA:" + middle + b"\r\n\r\n"
    if WHOLE_HEAD.fullmatch(head):
        reader = HeadReader(Limits())
        for byte in head[:-1]:
            reader.push(bytes([byte]))
            assert reader.pop() is None


@pytest.mark.parametrize(
    ("data", "foreign"),
    [
        (b"INVALID CONNECTION PREFACE\r\n\r\n", True),
        (b"EHLO a b\r\n", True),
        (b"GET / HTTP/1.1\r\n", False),
        (b"GET / HTTP/9.9\r\n", False),
        (b"GET /\r\n", False),
        (b"\r\n", False),
        (b"GET  / HTTP\r\n", False),
        (b"a b c d\r\n", False),
    ],
)
def test_what_is_no_http_in_any_version_is_told_apart(data: bytes, foreign: bool) -> None:
    assert is_foreign(data) is foreign
