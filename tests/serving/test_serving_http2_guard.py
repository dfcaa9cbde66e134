from __future__ import annotations

import asyncio
import struct
from typing import Any

import pytest
from serving_stand import Parts, Serve, answering, echo, until
from stands.http2_client import (
    ACK,
    CALM,
    CONTINUATION,
    GOAWAY,
    HEADERS,
    PING,
    PRIORITY,
    PRIORITY_UPDATE,
    REFUSED,
    SETTINGS,
    asking,
    data,
    field_block,
    frame,
    headers,
    reset,
    settings,
    window,
)

from edgeproxy.config import Limits
from edgeproxy.message import BytesBody, Request, Response
from edgeproxy.serving.http2_guard import PERIOD_SECONDS, Budget


def test_a_budget_is_spent_and_fills_again_with_time() -> None:
    budget = Budget(10, 0.0)
    assert all(budget.spend(0.0) for _ in range(10))
    assert not budget.spend(0.0)
    assert budget.spend(PERIOD_SECONDS / 5)
    assert not budget.spend(PERIOD_SECONDS / 5)


def test_it_never_holds_more_than_its_most() -> None:
    budget = Budget(10, 0.0)
    budget.earn(1000)
    assert all(budget.spend(1000.0) for _ in range(10))
    assert not budget.spend(1000.0)


def test_work_that_was_done_allows_more() -> None:
    budget = Budget(10, 0.0)
    for _ in range(1000):
        budget.earn(2)
        assert budget.spend(0.0, 2)


GET = asking("/a")
POST = asking("/p", method="POST")
WAIT = asking("/wait")
BLOCK = field_block(GET)
NUMBER = struct.pack(">I", 1)


async def waiting(request: Request) -> Response:
    """Answers /wait never, anything else at once."""
    if request.target == "/wait":
        await asyncio.Event().wait()
    return await echo(request)


async def flood(
    serve: Serve, sent: bytes, *, handler: Any = waiting, **limits: Any
) -> tuple[Any, int | None]:
    served = await serve(handler, limits=Limits(drain_timeout=0.2, **limits))
    client = await served.http2()
    client.send(sent)
    code = await client.ended()
    await until(lambda: not served.tasks and not served.listeners.connections)
    assert served.metrics.value("http2_faults_total", "enhance_your_calm") == 1
    return served, code


FLOODS = {
    "PING": frame(PING, 0, 0, bytes(8)) * 3000,
    "SETTINGS": settings((4, 1)) * 3000,
    "SETTINGS of many": settings(*[(4, 1)] * 2000) * 10,
    "acknowledgements": frame(SETTINGS, ACK) * 3000,
    "PRIORITY": frame(PRIORITY, 0, 1, bytes(5)) * 3000,
    "PRIORITY_UPDATE": frame(PRIORITY_UPDATE, 0, 0, NUMBER) * 3000,
    "WINDOW_UPDATE": window(0, 1) * 3000,
    "WINDOW_UPDATE of a stream": headers(1, WAIT) + window(1, 1) * 3000,
    "empty DATA": headers(1, POST, ended=False) + data(1) * 3000,
    "unknown frames": frame(99) * 3000,
    "GOAWAY": frame(GOAWAY, 0, 0, bytes(8)) * 3000,
    "CONTINUATION": frame(HEADERS, 1, 1, BLOCK) + frame(CONTINUATION, 0, 1, b"") * 9,
    "large CONTINUATION": frame(HEADERS, 1, 1, BLOCK) + frame(CONTINUATION, 0, 1, bytes(16000)) * 5,
    "HPACK bomb": frame(HEADERS, 5, 1, b"\x40\x01a\x7f\xa1\x1e" + b"v" * 4000)
    + frame(HEADERS, 5, 3, b"\xbe" * 16000),
}


@pytest.mark.parametrize("name", FLOODS)
async def test_frames_that_ask_for_nothing_are_borne_for_a_while(serve: Serve, name: str) -> None:
    _, code = await flood(serve, FLOODS[name])
    assert code == CALM


async def test_ten_times_as_many_are_borne_where_they_go_with_work(serve: Serve) -> None:
    served = await serve(answering(BytesBody(b"x" * 20_000)))
    client = await served.http2()
    for stream in range(1, 1001, 2):  # five WINDOW_UPDATE and four PING with each answer
        client.send(frame(PING, 0, 0, bytes(8)) * 4, window(0, 1) * 5)
        assert len((await client.ask(stream, GET)).body) == 20_000
    assert client.goaways == []


@pytest.mark.parametrize("allowed", [100, 5])
async def test_rapid_resets_end_the_connection_and_all_their_work(serve: Serve, allowed: int) -> None:
    begun = 0

    async def handler(request: Request) -> Response:
        nonlocal begun
        begun += 1
        await asyncio.Event().wait()
        return Response(200)

    pieces = [headers(stream, GET) + reset(stream) for stream in range(1, 40_001, 2)]
    served, code = await flood(serve, b"".join(pieces), handler=handler, stream_resets=allowed)
    assert code == CALM
    assert begun <= allowed + 1
    assert served.metrics.value("http2_resets_total", "client") <= allowed + 5


@pytest.mark.parametrize(
    "wrong",
    [
        lambda stream: window(stream, 0),
        lambda stream: data(stream, b"x"),
        lambda stream: window(stream, 0x7FFFFFFF),
        lambda stream: headers(stream, GET),
    ],
    ids=["no increment", "DATA after the end", "window", "HEADERS after the end"],
)
async def test_making_us_reset_is_counted_like_resetting(serve: Serve, wrong: Any) -> None:
    pieces = [headers(stream, WAIT) + wrong(stream) for stream in range(1, 40_001, 2)]
    served, code = await flood(serve, b"".join(pieces))
    assert code == CALM
    assert served.metrics.value("http2_resets_total", "node") <= 105


async def test_work_that_goes_on_after_its_reset_counts_as_a_stream(serve: Serve) -> None:
    release = asyncio.Event()
    begun = 0

    async def stubborn(request: Request) -> Response:
        nonlocal begun
        begun += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await release.wait()
            raise
        return Response(200)

    served = await serve(stubborn, limits=Limits(streams=5, drain_timeout=0.2))
    client = await served.http2()
    for number in range(10):
        client.send(headers(2 * number + 1, GET))
        await until(lambda most=number: begun > most)
        client.send(reset(2 * number + 1))
    client.send(headers(21, GET))
    assert (await client.answer(21)).reset == REFUSED
    release.set()
    await until(lambda: not len(served.tasks))
    client.send(headers(23, GET))
    await until(lambda: begun == 11)


async def test_more_streams_than_allowed_are_refused_and_the_rest_goes_on(serve: Serve) -> None:
    served = await serve(waiting, limits=Limits(streams=3, drain_timeout=0.2))
    client = await served.http2()
    client.send(*(headers(stream, WAIT) for stream in (1, 3, 5, 7)))
    assert (await client.answer(7)).reset == REFUSED
    client.send(reset(1))
    assert (await client.ask(9, GET)).status == 200


async def test_a_client_that_does_not_read_cannot_pile_up_answers(serve: Serve) -> None:
    served = await serve(
        answering(Parts(b"x" * 1_000_000)), limits=Limits(idle_frames=1 << 30, drain_timeout=0.2)
    )
    client = await served.http2(generous=False, values=[(4, 1 << 30)])
    client.send(window(0, 1 << 30), *(headers(stream, GET) for stream in range(1, 101, 2)))
    await until(lambda: served.metrics.value("connections_total") == 1 and bool(served.listeners.connections))
    ping = frame(PING, 0, 0, bytes(8)) * 1000
    async with asyncio.timeout(20):
        while served.listeners.connections:
            client.send(ping)
            await asyncio.sleep(0.001)
    assert served.metrics.value("http2_faults_total", "enhance_your_calm") == 1


async def test_a_stalled_stream_is_reset_and_others_go_on(serve: Serve) -> None:
    served = await serve(
        answering(BytesBody(b"x" * 100_000)), limits=Limits(write_timeout=0.3, drain_timeout=0.2)
    )
    client = await served.http2(generous=False, values=[(4, 1000)])
    client.send(headers(1, GET))
    await client.until(lambda c: 1 in c.answers and len(c.answers[1].body) == 1000)
    for stream in range(3, 103, 2):
        client.send(headers(stream, GET), window(stream, 100_000), window(0, 100_000))
        assert (await client.answer(stream)).ended
    assert (await client.answer(1)).reset is not None
    assert client.goaways == []


async def test_a_stalled_connection_is_ended(serve: Serve) -> None:
    served = await serve(
        answering(BytesBody(b"x" * 200_000)), limits=Limits(write_timeout=0.2, drain_timeout=0.2)
    )
    client = await served.http2(generous=False, values=[(4, 1 << 20)])
    client.send(headers(1, GET))
    await client.ended()
    assert len(client.answers[1].body) == 65535
    assert not client.answers[1].ended
