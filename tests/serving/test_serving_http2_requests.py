"""Requests and their content over HTTP/2, on real sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from serving_stand import Serve, answering, until
from stands.http2_client import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL,
    HEADERS,
    NO_ERROR,
    PADDED,
    PROTOCOL,
    REFUSED,
    Http2Client,
    asking,
    data,
    field_block,
    frame,
    headers,
    reset,
)

from edgeproxy.config import Limits
from edgeproxy.errors import BodyAborted, RequestError
from edgeproxy.message import BytesBody, Request, Response

POST = asking("/p", method="POST")


async def test_content_reaches_the_handler_and_the_answer_may_come_before_its_end(serve: Serve) -> None:
    served = await serve()
    client = await served.http2()
    assert (await client.ask(1, POST, b"abc")).body == b"POST x /p 127.0.0.1|abc"
    client.send(headers(3, [*POST, ("content-length", "6")], ended=False))
    client.send(data(3, b"ab"), frame(DATA, PADDED, 3, b"\x02cd\0\0"), data(3, b"ef"), data(3, ended=True))
    assert (await client.answer(3)).body.endswith(b"|abcdef")
    assert (await client.ask(5, [*POST, ("content-length", "0")])).body.endswith(b"|")


async def test_trailers_are_there_once_the_content_has_been_read(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        body: Any = request.body
        content = b"".join([piece async for piece in body])
        return Response(200, body=BytesBody(content + body.trailers.get("x-sum").encode()))

    served = await serve(handler)
    client = await served.http2()
    client.send(headers(1, POST, ended=False), data(1, b"abc"), headers(1, [("x-sum", "7")]))
    assert (await client.answer(1)).body == b"abc7"


async def test_content_of_get_is_read_and_dropped_before_the_answer(serve: Serve) -> None:
    served = await serve()
    client = await served.http2()
    client.send(headers(1, asking("/a"), ended=False), data(1, b"x" * 1000))
    await client.ponged()
    assert 1 not in client.answers
    client.send(data(1, b"x", ended=True))
    assert (await client.answer(1)).body == b"GET x /a 127.0.0.1|"
    client.send(headers(3, asking("/a"), ended=False), *(data(3, b"x" * 10_000) for _ in range(7)))
    answer = await client.answer(3)
    assert (answer.status, answer.ended) == (413, True)
    await client.until(lambda c: c.answers[3].reset == NO_ERROR)
    assert (await client.ask(5, asking("/b"))).status == 200


@pytest.mark.parametrize("announced", [True, False])
async def test_too_much_content_is_413_and_only_that_stream_ends(serve: Serve, announced: bool) -> None:
    served = await serve(limits=Limits(body=1000, drain_timeout=0.2))
    client = await served.http2()
    fields = [*POST, ("content-length", "1001")] if announced else POST
    client.send(headers(1, fields, ended=False), data(1, b"x" * 1001))
    assert (await client.answer(1)).status == 413
    assert (await client.ask(3, POST, b"x" * 1000)).status == 200


async def test_continue_is_sent_when_the_handler_first_reads(serve: Serve) -> None:
    served = await serve()
    client = await served.http2()
    fields = [*POST, ("expect", "100-continue")]
    client.send(headers(1, fields, ended=False))
    await client.until(lambda c: 1 in c.answers and c.answers[1].interim == [100])
    client.send(data(1, b"ok", ended=True))
    assert (await client.answer(1)).body.endswith(b"|ok")
    assert (await client.ask(3, fields, b"at once")).interim == []
    unread = await serve(answering(BytesBody(b"no")))
    client = await unread.http2()
    client.send(headers(1, fields, ended=False))
    answer = await client.answer(1)
    assert (answer.interim, answer.body) == ([], b"no")


async def test_a_client_is_given_credit_only_as_the_handler_reads(serve: Serve) -> None:
    start, got = asyncio.Event(), 0

    async def handler(request: Request) -> Response:
        nonlocal got
        await start.wait()
        assert request.body is not None
        async for piece in request.body:
            got += len(piece)
        return Response(200)

    served = await serve(handler)
    client = await served.http2()
    client.send(headers(1, POST, ended=False))
    await client.ponged()
    client.send(*(data(1, bytes(16384)) for _ in range(16)))  # the window of the stream
    await client.ponged()
    assert client.windows.get(1, 0) == 0
    start.set()
    sent = 16 * 16384
    while sent < 20 << 20:
        await client.until(lambda c, so_far=sent: c.windows.get(1, 0) + (256 << 10) - so_far >= 16384)
        client.send(data(1, bytes(16384)))
        sent += 16384
    assert client.windows[1] - (sent - (256 << 10)) <= 4 << 20
    client.send(data(1, ended=True))
    assert (await client.answer(1)).status == 200
    assert got == sent


@pytest.mark.parametrize("whose", ["stream", "connection"])
async def test_more_content_than_the_window_is_an_error(serve: Serve, whose: str) -> None:
    async def handler(request: Request) -> Response:
        await asyncio.Event().wait()
        return Response(200)

    served = await serve(handler)
    client = await served.http2()
    streams = [1] if whose == "stream" else [1, 3, 5, 7, 9]
    for stream in streams:
        client.send(headers(stream, POST, ended=False))
        client.send(*(data(stream, bytes(16384)) for _ in range(16 if whose == "connection" else 17)))
    if whose == "stream":
        assert (await client.answer(1)).reset == FLOW_CONTROL
        assert client.goaways == []
    else:
        assert await client.ended() == FLOW_CONTROL


async def test_content_nobody_reads_gives_its_window_back(serve: Serve) -> None:
    served = await serve(answering(BytesBody(b"no")), limits=Limits(stream_resets=1 << 20, drain_timeout=0.2))
    client = await served.http2()
    for stream in range(1, 101, 2):
        client.send(headers(stream, POST, ended=False), *(data(stream, bytes(16000)) for _ in range(10)))
        await client.until(lambda c, s=stream: s in c.answers and c.answers[s].reset is not None)
    assert (await client.ask(101, asking("/a"))).status == 200


@pytest.mark.parametrize("how", ["reset", "close", "mismatch"])
async def test_content_that_breaks_off_never_looks_whole(serve: Serve, how: str) -> None:
    seen: list[BaseException | None] = []

    async def handler(request: Request) -> Response:
        assert request.body is not None
        try:
            async for _ in request.body:
                pass
            seen.append(None)
        except BaseException as error:
            seen.append(error)
            raise
        return Response(200)

    served = await serve(handler)
    client = await served.http2()
    client.send(headers(1, [*POST, ("content-length", "9")], ended=False), data(1, b"some"))
    await until(lambda: len(served.tasks) == 1)
    await client.ponged()
    if how == "reset":
        client.send(reset(1))
    elif how == "close":
        client.close()
    else:
        client.send(data(1, b"x", ended=True))
        assert (await client.answer(1)).reset == PROTOCOL
    await until(lambda: bool(seen))
    assert isinstance(seen[0], BodyAborted | asyncio.CancelledError)


async def test_a_client_that_stops_sending_content_gets_408(serve: Serve) -> None:
    served = await serve(limits=Limits(body_timeout=0.2, drain_timeout=0.2))
    client = await served.http2()
    client.send(headers(1, POST, ended=False), data(1, b"x"), headers(3, asking("/a"), ended=False))
    for stream in (1, 3):
        answer = await client.answer(stream)
        assert (answer.status, answer.ended) == (408, True)
    assert client.goaways == []


async def test_a_handler_may_refuse_content(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        raise RequestError(403, "no")

    served = await serve(handler)
    client = await served.http2()
    client.send(headers(1, POST, ended=False))
    assert (await client.answer(1)).status == 403


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (asking("/a", authority="a b"), 400),
        (asking("/a", ("expect", "x")), 417),
        (asking("/" + "a" * 17_000), 414),
        ([(":method", "CONNECT"), (":authority", "a:1")], 405),
    ],
)
async def test_what_is_not_acceptable_gets_its_status_and_the_connection_goes_on(
    serve: Serve, fields: Any, status: int
) -> None:
    served = await serve()
    client = await served.http2()
    client.send(_blocks(1, fields))
    answer = await client.answer(1)
    assert (answer.status, answer.body.count(b"\n")) == (status, 1)
    assert served.metrics.value("bad_requests_total", str(status)) == 1
    assert (await client.ask(3, asking("/a"))).status == 200


def _blocks(stream: int, fields: Any) -> bytes:
    block = field_block(fields)
    if len(block) <= 16384:
        return frame(HEADERS, END_STREAM | END_HEADERS, stream, block)
    return frame(HEADERS, END_STREAM, stream, block[:16384]) + frame(
        CONTINUATION, END_HEADERS, stream, block[16384:]
    )


async def test_a_full_house_refuses_and_credit_goes_on(serve: Serve) -> None:
    served = await serve(limits=Limits(streams=1, drain_timeout=0.2))
    client: Http2Client = await served.http2()
    client.send(headers(1, POST, ended=False), headers(3, POST, ended=False), data(3, b"x" * 10))
    assert (await client.answer(3)).reset == REFUSED
    client.send(data(1, b"y", ended=True))
    assert (await client.answer(1)).body.endswith(b"|y")
