"""Answers to requests to switch protocols."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.errors import UpstreamError
from edgeproxy.proxy.answer_head import CONTENT_BYTES_MAX, AnswerHead, parse, read_answer

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\r\n"


async def answer(data: bytes) -> tuple[AnswerHead, bytes]:
    """What was read, and what is left."""
    reader = asyncio.StreamReader(limit=64 << 10)
    reader.feed_data(data)
    reader.feed_eof()
    return await read_answer(reader), await reader.read()


async def test_a_switch_leaves_what_follows_to_the_other_protocol() -> None:
    found, left = await answer(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + SWITCH + b"\x81\x02hi")
    assert (found.status, found.headers.get("upgrade"), left) == (101, "websocket", b"\x81\x02hi")


@pytest.mark.parametrize(
    ("data", "status", "content"),
    [
        (b"HTTP/1.1 401 No\r\nContent-Length: 3\r\n\r\nnono", 401, b"non"),
        (b"HTTP/1.1 404\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n", 404, b"no"),
        (b"HTTP/1.1 200 OK\r\nX: \xe9\r\n\r\nto the end", 200, b"to the end"),
        (b"HTTP/1.1 204 None\r\n\r\n", 204, b""),
    ],
)
async def test_what_is_said_instead_is_read_whole(data: bytes, status: int, content: bytes) -> None:
    found, _ = await answer(data)
    assert (found.status, found.content) == (status, content)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 101 Switching Protocols\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        SWITCH.replace(b"websocket", b"h2c"),
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\n\n\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
        b"HTTP/1.1 099 Low\r\n\r\n",
        b"HTTP/1.1 401 No\r\nContent-Length: 5\r\n\r\nno",
        b"HTTP/1.1 401 No\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nno",
        b"HTTP/1.1 401 No\r\nContent-Length: +2\r\n\r\nno",
        b"HTTP/1.1 401 No\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 401 No\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno",
        b"HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n",
        b"HTTP/1.1 401 No\r\nContent-Length: 99999999\r\n\r\n",
        b"HTTP/1.1 401 No\r\n\r\n" + bytes(CONTENT_BYTES_MAX + 1),
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + bytes(200_000),
        b"HTTP/1.1 100 Continue\r\n\r\n" * 20,
    ],
)
async def test_what_two_could_read_differently_is_no_answer(data: bytes) -> None:
    with pytest.raises(UpstreamError):
        await answer(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_head_or_are_not(data: bytes) -> None:
    try:
        found = parse(data)
    except UpstreamError:
        return
    assert 100 <= found.status <= 599
