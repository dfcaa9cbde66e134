"""What origins do wrong, and what becomes of it: a table of scripted wires."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from upstream_raw_origin import LOCAL, Exchange, RawOrigin

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.upstream import transfer
from edgeproxy.upstream.client import CurlUpstream

PROTOCOL = ProxyError.HTTP_PROTOCOL_ERROR
CODING = ProxyError.HTTP_RESPONSE_TRANSFER_CODING
TOO_LARGE = ProxyError.HTTP_RESPONSE_HEADER_SECTION_SIZE
INCOMPLETE = ProxyError.HTTP_RESPONSE_INCOMPLETE
TERMINATED = ProxyError.CONNECTION_TERMINATED

START = b"HTTP/1.1 200 OK\r\n"
CHUNKED = START + b"Transfer-Encoding: chunked\r\n\r\n"

BAD_HEADS = {
    "two different lengths": (START + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi", PROTOCOL),
    "list of lengths": (START + b"Content-Length: 2, 2\r\n\r\nhi", PROTOCOL),
    "negative length": (START + b"Content-Length: -2\r\n\r\nhi", PROTOCOL),
    "signed length": (START + b"Content-Length: +2\r\n\r\nhi", PROTOCOL),
    "junk length": (START + b"Content-Length: two\r\n\r\nhi", PROTOCOL),
    "empty length": (START + b"Content-Length:\r\n\r\nhi", PROTOCOL),
    "length overflow": (START + b"Content-Length: 99999999999999999999\r\n\r\nhi", PROTOCOL),
    "length of 19 digits": (START + b"Content-Length: 0000000000000000002\r\n\r\nhi", PROTOCOL),
    "coding gzip": (START + b"Transfer-Encoding: gzip\r\n\r\nhi", PROTOCOL),
    "codings gzip, chunked": (START + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", PROTOCOL),
    "coding like chunked": (START + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", PROTOCOL),
    "coding that is no name": (START + b"Transfer-Encoding: a b\r\n\r\nhi", PROTOCOL),
    "coding with a parameter": (START + b"Transfer-Encoding: binary;q=1\r\n\r\nhi", PROTOCOL),
    "two codings nobody knows": (START + b"Transfer-Encoding: a, b\r\n\r\nhi", PROTOCOL),
    "length and a coding nobody knows": (
        START + b"Content-Length: 2\r\nTransfer-Encoding: binary\r\n\r\nhi",
        PROTOCOL,
    ),
    "chunked twice": (START + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n", PROTOCOL),
    "length and coding": (
        START + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        PROTOCOL,
    ),
    "coding and length": (
        START + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
        PROTOCOL,
    ),
    "coding in 1.0": (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", PROTOCOL),
    "space before colon": (START + b"Content-Length : 2\r\n\r\nhi", PROTOCOL),
    "no colon": (START + b"Content-Length 2\r\n\r\nhi", PROTOCOL),
    "NUL": (START + b"X: a\0b\r\nContent-Length: 2\r\n\r\nhi", PROTOCOL),
    "CR in a value": (START + b"X: a\rb\r\nContent-Length: 2\r\n\r\nhi", PROTOCOL),
    "bare LF": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", PROTOCOL),
    "no status line": (b"hello there\r\n\r\n", PROTOCOL),
    "status of two digits": (b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", PROTOCOL),
    "status 600": (b"HTTP/1.1 600 X\r\nContent-Length: 0\r\n\r\n", PROTOCOL),
    "version 3.1": (b"HTTP/3.1 200 OK\r\nContent-Length: 0\r\n\r\n", PROTOCOL),
    "blank line first": (b"\r\n" + START + b"Content-Length: 0\r\n\r\n", PROTOCOL),
    "101 nobody asked for": (b"HTTP/1.1 101 Go\r\nUpgrade: x\r\n\r\n", PROTOCOL),
    "flood of 103": (b"HTTP/1.1 103 Early\r\n\r\n" * 9 + START + b"Content-Length: 0\r\n\r\n", PROTOCOL),
    "field of 1 MiB": (START + b"X: " + b"a" * (1 << 20) + b"\r\n\r\n", TOO_LARGE),
    "5000 fields": (START + b"X: a\r\n" * 5000 + b"\r\n", TOO_LARGE),
    "129 fields": (START + b"X: a\r\n" * 129 + b"\r\n", TOO_LARGE),
    "reason of 70 KiB": (b"HTTP/1.1 200 " + b"a" * 70000 + b"\r\n\r\n", TOO_LARGE),
}


@pytest.mark.parametrize("case", BAD_HEADS)
async def test_a_bad_head_is_an_error_and_its_connection_is_not_used_again(
    client: CurlUpstream, origin: RawOrigin, case: str
) -> None:
    data, expected = BAD_HEADS[case]
    origin.says(data)
    with pytest.raises(UpstreamError) as caught:
        await client.fetch(origin.request())
    assert (caught.value.error, caught.value.sent) == (expected, True)
    origin.says(START + b"Content-Length: 2\r\n\r\nok")
    response = await client.fetch(origin.request())
    assert [piece async for piece in response.chunks()] == [b"ok"]
    assert (len(origin.heads), origin.connections) == (2, 2)


GOOD = {
    "equal lengths": (START + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi", "keep", b"hi"),
    "eight interim": (
        b"HTTP/1.1 103 E\r\nLink: x\r\n\r\n" * 8 + START + b"Content-Length: 2\r\n\r\nhi",
        "keep",
        b"hi",
    ),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", "keep", b"hi"),
    "ended by FIN": (START + b"\r\nhi", "close", b"hi"),
    "a coding nobody knows": (START + b"Transfer-Encoding: binary\r\n\r\nhi", "close", b"hi"),
    "a coding that does nothing": (START + b"Transfer-Encoding: identity\r\n\r\nhi", "close", b"hi"),
    "1.0 ended by FIN": (b"HTTP/1.0 200 OK\r\n\r\nhi", "close", b"hi"),
    "chunk extensions": (CHUNKED + b"2;a=b\r\nhi\r\n0\r\n\r\n", "keep", b"hi"),
    "trailers": (CHUNKED + b"2\r\nhi\r\n0\r\nX: y\r\n\r\n", "keep", b"hi"),
}


@pytest.mark.parametrize("case", GOOD)
async def test_an_unusual_but_clear_response_is_read(
    client: CurlUpstream, origin: RawOrigin, case: str
) -> None:
    data, then, expected = GOOD[case]
    origin.says(data, then=then)
    response = await client.fetch(origin.request())
    assert b"".join([piece async for piece in response.chunks()]) == expected
    assert len(response.headers.all("content-length")) <= 1
    assert response.headers.get("transfer-encoding") in ("", "chunked")


BROKEN_BODIES = {
    "length cut by FIN": (START + b"Content-Length: 9\r\n\r\nhi", "close", {INCOMPLETE}),
    "length cut by RST": (START + b"Content-Length: 9\r\n\r\nhi", "reset", {TERMINATED, INCOMPLETE}),
    "no last chunk": (CHUNKED + b"2\r\nhi\r\n", "close", {INCOMPLETE}),
    "half a chunk": (CHUNKED + b"9\r\nhi", "close", {INCOMPLETE}),
    "chunks cut by RST": (CHUNKED + b"2\r\nhi\r\n", "reset", {TERMINATED, INCOMPLETE}),
    "unframed cut by RST": (START + b"\r\nhi", "reset", {TERMINATED}),
    "chunk size is junk": (CHUNKED + b"2\r\nhi\r\nzz\r\n", "keep", {CODING}),
    "endless trailers": (CHUNKED + b"2\r\nhi\r\n0\r\n" + b"X: y\r\n" * 20000, "keep", {CODING, TOO_LARGE}),
    "bare LF": (CHUNKED + b"2\r\nhi\r\n2\nhi\r\n0\r\n\r\n", "keep", {CODING}),
}


@pytest.mark.parametrize("case", BROKEN_BODIES)
async def test_content_without_a_proven_end_is_an_error_after_what_came(
    client: CurlUpstream, origin: RawOrigin, case: str
) -> None:
    data, then, expected = BROKEN_BODIES[case]
    origin.says(data, then=then)
    response = await client.fetch(origin.request())
    came = b""
    with pytest.raises(UpstreamError) as caught:  # noqa: PT012 - what came before counts too
        async for piece in response.chunks():
            came += piece
    assert caught.value.error in expected
    assert came == b"hi"
    assert client.running == 0


HALF_HEADS = {
    "half a head, then FIN": (START + b"Content-Le", "close", {INCOMPLETE, TERMINATED, PROTOCOL}),
    "half a head, then RST": (START + b"Content-Le", "reset", {TERMINATED}),
    "nothing, then RST": (b"", "reset", {TERMINATED}),
}


@pytest.mark.parametrize("case", HALF_HEADS)
async def test_half_a_head_is_an_error(client: CurlUpstream, origin: RawOrigin, case: str) -> None:
    data, then, expected = HALF_HEADS[case]
    origin.says(data, then=then)
    with pytest.raises(UpstreamError) as caught:
        await client.fetch(origin.request(retry=False))
    assert caught.value.error in expected


EXTRA = {
    "after a length": ("GET", START + b"Content-Length: 2\r\n\r\nhiEXTRA", b"hi"),
    "second answer": ("GET", (START + b"Content-Length: 2\r\n\r\nhi") * 2, b"hi"),
    "after the last chunk": ("GET", CHUNKED + b"2\r\nhi\r\n0\r\n\r\nEXTRA", b"hi"),
    "on 204": ("GET", b"HTTP/1.1 204 No\r\n\r\nbody", b""),
    "on 304": ("GET", b"HTTP/1.1 304 No\r\nContent-Length: 4\r\n\r\nbody", b""),
    "on HEAD": ("HEAD", START + b"Content-Length: 4\r\n\r\nbody", b""),
}


@pytest.mark.parametrize("case", EXTRA)
async def test_bytes_after_the_answer_are_dropped_with_their_connection(
    client: CurlUpstream, origin: RawOrigin, case: str
) -> None:
    method, data, expected = EXTRA[case]
    origin.says(data)
    response = await client.fetch(origin.request(method))
    assert b"".join([piece async for piece in response.chunks()]) == expected
    origin.says(START + b"Content-Length: 2\r\n\r\nok")
    response = await client.fetch(origin.request())
    assert [piece async for piece in response.chunks()] == [b"ok"]
    # What came in one read with the last chunk libcurl drops, keeping the connection.
    assert origin.connections == 2 or case == "after the last chunk"


async def test_bytes_on_an_idle_connection_end_it(client: CurlUpstream, origin: RawOrigin) -> None:
    late, there = asyncio.Event(), asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.send(START + b"Content-Length: 2\r\n\r\nhi")
        await late.wait()
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        await exchange.delivered()
        there.set()

    origin.script = script
    response = await client.fetch(origin.request())
    assert [piece async for piece in response.chunks()] == [b"hi"]
    late.set()
    await asyncio.wait_for(there.wait(), 30)
    response = await client.fetch(origin.request())
    assert [piece async for piece in response.chunks()] == [b"hi"]
    assert origin.connections == 2


async def test_an_origin_that_never_answers_times_out(client: CurlUpstream, origin: RawOrigin) -> None:
    origin.script = Exchange.until_gone
    with pytest.raises(UpstreamError) as caught:
        await client.fetch(origin.request(reach=replace(LOCAL, head_timeout=0.5)))
    assert (caught.value.error, caught.value.status) == (ProxyError.HTTP_RESPONSE_TIMEOUT, 504)
    assert len(origin.heads) == 1


async def test_an_endless_head_times_out_although_bytes_keep_coming(
    client: CurlUpstream, origin: RawOrigin
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(START)
        for number in range(100):
            await exchange.send(b"X%d: y\r\n" % number)
            await asyncio.sleep(0.02)

    origin.script = script
    with pytest.raises(UpstreamError) as caught:
        await client.fetch(origin.request(reach=replace(LOCAL, head_timeout=0.2)))
    assert caught.value.error is ProxyError.HTTP_RESPONSE_TIMEOUT


async def test_a_body_that_stalls_times_out_after_what_came(client: CurlUpstream, origin: RawOrigin) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(START + b"Content-Length: 9\r\n\r\nhi")
        await exchange.until_gone()

    origin.script = script
    response = await client.fetch(origin.request(reach=replace(LOCAL, progress_timeout=0.1)))
    chunks = response.chunks()
    assert await anext(chunks) == b"hi"
    with pytest.raises(UpstreamError) as caught:
        await anext(chunks)
    assert caught.value.error is ProxyError.CONNECTION_READ_TIMEOUT


async def test_a_slow_body_that_moves_is_healthy(client: CurlUpstream, origin: RawOrigin) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(START + b"Content-Length: 10\r\n\r\n")
        for _ in range(10):
            await asyncio.sleep(0.08)
            await exchange.send(b"x")

    origin.script = script
    response = await client.fetch(origin.request(reach=replace(LOCAL, progress_timeout=0.6)))
    assert b"".join([piece async for piece in response.chunks()]) == b"x" * 10


async def test_an_upstream_that_never_accepts_times_out_with_nothing_sent(client: CurlUpstream) -> None:
    # A server that accepts TCP and never answers the TLS handshake.
    server = await asyncio.start_server(lambda r, w: r.read(), "127.0.0.1", 0)
    raw = RawOrigin()
    raw.scheme, raw.port = "https", server.sockets[0].getsockname()[1]
    with pytest.raises(UpstreamError) as caught:
        await client.fetch(raw.request(reach=replace(LOCAL, connect_timeout=0.2)))
    assert (caught.value.error, caught.value.sent) == (ProxyError.CONNECTION_TIMEOUT, False)
    server.close()


async def test_little_is_read_until_the_first_bytes_have_been_taken_and_then_all_of_it(
    client: CurlUpstream, origin: RawOrigin
) -> None:
    size = 8 << 20
    body = bytes(range(256)) * (size // 256)
    origin.says(START + b"Content-Length: %d\r\n\r\n" % size + body)
    response = await client.fetch(origin.request())
    async with asyncio.timeout(20):
        while not response._paused:  # noqa: ASYNC110 - libcurl has no event for it
            await asyncio.sleep(0.001)
    assert response._unread <= transfer._UNREAD_FIRST + 16384
    chunks = response.chunks()
    first = await anext(chunks)
    assert 0 < len(first) <= transfer._UNREAD_FIRST + 16384
    rest = b"".join([chunk async for chunk in chunks])
    assert first + rest == body
