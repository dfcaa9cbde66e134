from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from serving_stand import Parts, Serve, answering, echo, until

from edgeproxy.config import Limits
from edgeproxy.message import BytesBody, Part, Request, Response

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /z HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
CHUNKED = b"POST /p HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_pipelined_requests_are_answered_in_order_and_then_the_connection_ends(serve: Serve) -> None:
    served = await serve()
    answer = await served.say(GET * 3 + LAST)
    assert [part.split(b" ")[2] for part in answer.split(b"\r\n\r\n")[1:]] == [b"/a", b"/a", b"/a", b"/z"]
    assert answer.count(b"Date: ") == 4
    assert answer.count(b"Connection: close") == 1
    assert served.metrics.value("requests_total", "", "local", "200") == 4


@pytest.mark.parametrize("cut", [1, 7])
async def test_a_request_in_small_pieces_is_one_request(serve: Serve, cut: int) -> None:
    data = CHUNKED + b"3\r\nabc\r\n2;x\r\nde\r\n0\r\nT: u\r\n\r\n"
    served = await serve()
    reader, writer = await served.connect()
    for start in range(0, len(data), cut):
        writer.write(data[start : start + cut])
        await asyncio.sleep(0)
    assert (await reader.read()).endswith(b"POST x /p 127.0.0.1|abcde")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\n\n", b"400"),
        (b"GET /\r\n", b"400"),
        (b"GET / HTTP/3.0\r\n\r\n", b"505"),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", b"405"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n", b"417"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n", b"413"),
        (CHUNKED + b"5\nabcde\r\n0\r\n\r\n", b"400"),
        (CHUNKED + b"fff\r\n" + b"a" * 0xFFF, b"413"),
    ],
)
async def test_bad_requests_get_their_status_one_line_and_the_end(
    serve: Serve, data: bytes, status: bytes
) -> None:
    served = await serve(limits=Limits(body=4000 if b"70000" not in data else 1 << 20))
    answer = await served.say(data + GET)
    head, _, text = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 " + status)
    assert b"Connection: close" in head
    assert text.count(b"\n") == 1
    assert b"/a" not in text
    assert served.metrics.value("bad_requests_total", status.decode()) == 1


async def test_content_of_get_is_read_and_dropped_and_upgrade_is_ignored(serve: Serve) -> None:
    served = await serve()
    first = (
        b"GET /a HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 3\r\n\r\nabc"
    )
    answer = await served.say(first + LAST)
    assert answer.count(b"HTTP/1.1 200") == 2
    assert b"|abc" not in answer


async def test_http_1_0_is_kept_alive_only_when_asked(serve: Serve) -> None:
    served = await serve()
    assert (await served.say(b"GET / HTTP/1.0\r\n\r\n")).count(b"Connection: close") == 1
    kept = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    answer = await served.say(kept + LAST)
    assert b"Connection: keep-alive" in answer
    assert answer.count(b"HTTP/1.1 200") == 2


async def test_continue_is_sent_when_the_handler_first_reads(serve: Serve) -> None:
    served = await serve()
    reader, writer = await served.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"ok" + LAST)
    assert (await reader.read()).count(b"|ok") == 1


async def test_a_client_is_not_read_faster_than_the_handler_reads(serve: Serve) -> None:
    start, got = asyncio.Event(), 0

    async def handler(request: Request) -> Response:
        nonlocal got
        await start.wait()
        assert request.body is not None
        async for piece in request.body:
            got += len(piece)
        return Response(200, close=True)

    served = await serve(handler)
    reader, writer = await served.connect()
    size = 32 << 20
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
    writer.write(bytes(size))
    connection = await _only_connection(served)
    await until(lambda: not connection._reading)
    assert connection._body.queued < 1 << 20
    start.set()
    await reader.read()
    assert got == size


async def _only_connection(served: Any) -> Any:
    await until(lambda: served.listeners.connections == 1)
    return next(iter(served.listeners._door.connections))


async def test_a_client_that_leaves_ends_handler_and_body(serve: Serve) -> None:
    never, entered, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
    body = Parts(b"first", never)

    async def handler(request: Request) -> Response:
        if request.target == "/body":
            return Response(200, body=body)
        entered.set()
        try:
            await never.wait()
        finally:
            ended.set()
        return Response(200)

    served = await serve(handler)
    _, writer = await served.connect()
    writer.write(GET)
    await entered.wait()
    writer.transport.abort()
    await asyncio.wait_for(ended.wait(), 30)
    reader, writer = await served.connect()
    writer.write(GET.replace(b"/a", b"/body"))
    await reader.readuntil(b"first")
    writer.close()
    await until(lambda: body.closed == 1)
    await until(lambda: served.listeners.connections == 0)
    assert served.metrics.value("client_aborts_total") == 2
    await until(lambda: len(served.tasks) == 0)


async def test_a_client_that_ends_its_side_still_gets_its_answer(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        connection = await _only_connection(served)
        await until(lambda: connection._eof)
        return await echo(request)

    served = await serve(handler)
    reader, writer = await served.connect()
    writer.write(GET + GET)
    writer.write_eof()
    assert (await reader.read()).count(b"GET x /a") == 2


async def test_a_slow_reader_holds_no_more_than_the_write_buffer(serve: Serve) -> None:
    made = 0

    class Endless(Parts):
        async def parts(self) -> AsyncIterator[Part]:
            nonlocal made
            while True:
                made += 1
                yield bytes(256 << 10)

    body = Endless()
    served = await serve(answering(body), limits=Limits(write_timeout=0.3, drain_timeout=0.1))
    _, writer = await served.connect(limit=1024)
    writer.transport.pause_reading()
    writer.write(GET)
    connection = await _only_connection(served)
    await until(lambda: connection._writer.full)
    assert connection._transport.get_write_buffer_size() <= 256 << 10
    await until(lambda: body.closed == 1)
    assert served.metrics.value("timeouts_total", "write") == 1


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"GET / HT", b"HTTP/1.1 408"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc", b"HTTP/1.1 408"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc", b"HTTP/1.1 408"),
        (b"", b""),
        (GET, b"HTTP/1.1 200"),
    ],
)
async def test_each_wait_for_a_client_ends(serve: Serve, sent: bytes, answer: bytes) -> None:
    limits = Limits(head_timeout=0.1, body_timeout=0.1, idle_timeout=0.15)
    served = await serve(limits=limits)
    assert (await served.say(sent))[: len(answer) or None] == answer


async def test_requests_per_connection_are_counted_to_the_last(serve: Serve) -> None:
    served = await serve(limits=Limits(requests_per_connection=2))
    answer = await served.say(GET * 3)
    assert answer.count(b"HTTP/1.1 200") == 2
    assert answer.count(b"Connection: close") == 1


async def test_pipelined_bytes_beyond_the_bound_stay_unread(serve: Serve) -> None:
    release = asyncio.Event()

    async def handler(request: Request) -> Response:
        await release.wait()
        return Response(200, body=BytesBody(b"ok"))

    served = await serve(handler, limits=Limits(pipelined=4096))
    reader, writer = await served.connect()
    count = 40_000
    writer.write(GET * count + LAST)
    connection = await _only_connection(served)
    await until(lambda: not connection._reading)
    assert len(connection._reader) <= 4096 + (256 << 10)
    release.set()
    assert (await reader.read()).count(b"HTTP/1.1 200") == count + 1


async def test_an_idle_connection_costs_little_memory(serve: Serve) -> None:
    import tracemalloc

    served = await serve()
    await served.say(LAST)  # what is made once is made
    await until(lambda: served.listeners.connections == 0)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        sockets = [
            socket.create_connection(("127.0.0.1", int(served.bound[0].split(":")[1]))) for _ in range(100)
        ]
        await until(lambda: served.listeners.connections == 100)
        cost = (tracemalloc.get_traced_memory()[0] - before) / 100
    finally:
        tracemalloc.stop()
    for connected in sockets:
        connected.close()
    assert cost < 10 << 10
