from __future__ import annotations

import pytest
from router.router_server import OK, stub

from edgeproxy.router.short_exchange import CONTENT_BYTES_MAX, ExchangeFailed, connect_ms, exchange


async def test_a_request_has_its_answer() -> None:
    async with stub() as server:
        answer = await exchange(
            f"{server.url}/a?b", seconds=30, method="POST", fields=(("X-A", "1"),), content=b"hello"
        )
        assert (answer.status, answer.content) == (200, b"ok")
        head, _, content = server.asked[0].partition(b"\r\n\r\n")
        assert head.startswith(b"POST /a?b HTTP/1.1\r\nHost: 127.0.0.1:")
        assert b"X-A: 1" in head
        assert content == b"hello"


@pytest.mark.parametrize(
    ("answer", "status", "content"),
    [
        (b"HTTP/1.1 103 Early\r\nA: b\r\n\r\n" + OK, 200, b"ok"),
        (b"HTTP/1.0 503 Busy\r\n\r\nwhatever", 503, b""),
        (b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.example/\r\n\r\n", 302, b""),
        (f"HTTP/1.1 200 OK\r\nContent-Length: {CONTENT_BYTES_MAX + 1}\r\n\r\n".encode(), 200, b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", 200, b""),
    ],
)
async def test_answers_of_many_kinds(answer: bytes, status: int, content: bytes) -> None:
    async with stub(answer) as server:
        found = await exchange(server.url, seconds=30)
    assert (found.status, found.content) == (status, content)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 20\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
    ],
    ids=["nothing", "ssh", "status", "cut", "short", "endless"],
)
async def test_what_is_no_answer_fails_with_one_line(answer: bytes) -> None:
    async with stub(answer) as server:
        with pytest.raises(ExchangeFailed) as caught:
            await exchange(server.url, seconds=30)
    assert str(caught.value)
    assert "\n" not in str(caught.value)


async def test_silence_is_bounded() -> None:
    async with stub(None) as server:
        with pytest.raises(ExchangeFailed, match=r"no answer within 0.05 s"):
            await exchange(server.url, seconds=0.05)


@pytest.mark.parametrize(
    "url", ["", "ftp://a", "http://", "http://[::1", "http://a:99999", "http://a b", "http://a\r\nX: y/"]
)
async def test_what_is_no_url_fails(url: str) -> None:
    for attempt in (exchange(url, seconds=1), connect_ms(url, seconds=1)):
        with pytest.raises(ExchangeFailed):
            await attempt


async def test_a_connection_has_its_time() -> None:
    async with stub() as server:
        assert 0 < await connect_ms(server.url, seconds=30) < 30_000
        url = server.url
    with pytest.raises(ExchangeFailed):
        await connect_ms(url, seconds=30)
