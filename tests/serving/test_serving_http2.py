"""HTTP/2 as a client sees it: rules of RFC 9113 by section, timeouts, drain."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import pytest
from serving_stand import Serve, answering, echo, service_of, until
from stands.http2_client import (
    ACK,
    CALM,
    CLOSED,
    COMPRESSION,
    CONTINUATION,
    DATA,
    END_HEADERS,
    FLOW_CONTROL,
    FRAME_SIZE,
    GOAWAY,
    HEADERS,
    NO_ERROR,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PRIORITY_UPDATE,
    PROTOCOL,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    WITH_PRIORITY,
    Http2Client,
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
from edgeproxy.serving import http2

QUICK = Limits(drain_timeout=0.2)
GET = asking("/a")
POST = asking("/p", method="POST")
WAIT = asking("/wait")
BLOCK = field_block(GET)
NUMBER = struct.pack(">I", 1)

# What is sent after the preface; what must come of it.
CONNECTION_ENDS: dict[str, tuple[bytes, set[int]]] = {
    "3.4 first frame is not SETTINGS": (b"", {PROTOCOL}),  # see the test
    "4.1 frame too large": (frame(DATA, 0, 1, bytes(16385)), {FRAME_SIZE}),
    "4.2 HEADERS too large": (frame(HEADERS, END_HEADERS, 1, bytes(16385)), {FRAME_SIZE}),
    "4.2 SETTINGS too large": (frame(SETTINGS, 0, 0, bytes(16386)), {FRAME_SIZE}),
    "4.3 block that is not HPACK": (frame(HEADERS, 5, 1, b"\xff\xff\xff\xff\xff\xff"), {COMPRESSION}),
    "4.3 frame within a block": (frame(HEADERS, 1, 1, BLOCK) + frame(PING, 0, 0, bytes(8)), {PROTOCOL}),
    "4.3 other stream within a block": (frame(HEADERS, 1, 1, BLOCK) + headers(3, GET), {PROTOCOL}),
    "4.3 unknown frame within a block": (frame(HEADERS, 1, 1, BLOCK) + frame(99), {PROTOCOL}),
    "5.1 DATA on idle": (data(1, b"x"), {PROTOCOL}),
    "5.1 RST_STREAM on idle": (reset(1), {PROTOCOL}),
    "5.1 WINDOW_UPDATE on idle": (window(1, 1), {PROTOCOL}),
    "5.1 CONTINUATION on idle": (frame(CONTINUATION, 4, 1, BLOCK), {PROTOCOL}),
    "5.1 DATA after RST_STREAM": (headers(1, POST, ended=False) + reset(1) + data(1, b"x"), {CLOSED}),
    "5.1 HEADERS after RST_STREAM": (headers(1, POST, ended=False) + reset(1) + headers(1, GET), {CLOSED}),
    "5.1.1 even stream": (headers(2, GET), {PROTOCOL}),
    "5.1.1 stream 0": (headers(0, GET), {PROTOCOL}),
    "5.1.1 lower stream than before": (headers(5, GET) + headers(3, GET), {PROTOCOL}),
    "5.3.1 PRIORITY of idle on itself": (frame(PRIORITY, 0, 1, NUMBER + b"\0"), {PROTOCOL}),
    "6.1 DATA without stream": (data(0, b"x"), {PROTOCOL}),
    "6.1 padding longer than DATA": (
        headers(1, POST, ended=False) + frame(DATA, PADDED, 1, b"\x09abc"),
        {PROTOCOL},
    ),
    "6.2 padding longer than HEADERS": (frame(HEADERS, 5 | PADDED, 1, b"\xff" + BLOCK), {PROTOCOL}),
    "6.2 HEADERS shorter than its priority": (frame(HEADERS, 5 | WITH_PRIORITY, 1, b"\0\0"), {FRAME_SIZE}),
    "6.3 PRIORITY without stream": (frame(PRIORITY, 0, 0, bytes(5)), {PROTOCOL}),
    "6.3 PRIORITY of a wrong length": (frame(PRIORITY, 0, 1, bytes(4)), {FRAME_SIZE}),
    "6.4 RST_STREAM without stream": (reset(0), {PROTOCOL}),
    "6.4 RST_STREAM of a wrong length": (
        headers(1, POST, ended=False) + frame(RST_STREAM, 0, 1, b"\0\0\0"),
        {FRAME_SIZE},
    ),
    "6.5 SETTINGS on a stream": (frame(SETTINGS, 0, 1), {PROTOCOL}),
    "6.5 SETTINGS of a wrong length": (frame(SETTINGS, 0, 0, bytes(5)), {FRAME_SIZE}),
    "6.5 SETTINGS acknowledged with content": (frame(SETTINGS, ACK, 0, bytes(6)), {FRAME_SIZE}),
    "6.5.2 ENABLE_PUSH": (settings((2, 2)), {PROTOCOL}),
    "6.5.2 INITIAL_WINDOW_SIZE": (settings((4, 1 << 31)), {FLOW_CONTROL}),
    "6.5.2 MAX_FRAME_SIZE": (settings((5, 16383)), {PROTOCOL}),
    "6.6 PUSH_PROMISE": (frame(PUSH_PROMISE, 4, 1, NUMBER + BLOCK), {PROTOCOL}),
    "6.7 PING on a stream": (frame(PING, 0, 1, bytes(8)), {PROTOCOL}),
    "6.7 PING of a wrong length": (frame(PING, 0, 0, bytes(7)), {FRAME_SIZE}),
    "6.8 GOAWAY on a stream": (frame(GOAWAY, 0, 1, bytes(8)), {PROTOCOL}),
    "6.9 WINDOW_UPDATE of nothing": (window(0, 0), {PROTOCOL}),
    "6.9 WINDOW_UPDATE of a wrong length": (frame(WINDOW_UPDATE, 0, 0, b"\0\0\1"), {FRAME_SIZE}),
    "6.9.1 connection window too large": (window(0, 0x7FFFFFFF), {FLOW_CONTROL}),
    "6.9.2 stream window too large by settings": (
        settings((4, 0)) + headers(1, POST, ended=False) + window(1, 0x7FFFFFFF) + settings((4, 100)),
        {FLOW_CONTROL},
    ),
    "6.10 CONTINUATION of nothing": (headers(1, POST, ended=False) + frame(CONTINUATION, 4, 1), {PROTOCOL}),
    "RFC 7541 4.2 table too large": (frame(HEADERS, 5, 1, b"\x3f\xe2\x1f" + BLOCK), {COMPRESSION}),
    "RFC 9218 PRIORITY_UPDATE on a stream": (frame(PRIORITY_UPDATE, 0, 1, NUMBER + b"u=1"), {PROTOCOL}),
    "RFC 9218 PRIORITY_UPDATE too short": (frame(PRIORITY_UPDATE, 0, 0, b"\0\0"), {FRAME_SIZE}),
    "RFC 9218 PRIORITY_UPDATE of stream 0": (frame(PRIORITY_UPDATE, 0, 0, bytes(4)), {PROTOCOL}),
}


@pytest.mark.parametrize("name", CONNECTION_ENDS)
async def test_what_breaks_the_connection_ends_it_and_says_why(serve: Serve, name: str) -> None:
    sent, codes = CONNECTION_ENDS[name]
    served = await serve()
    if not sent:
        client = Http2Client(*await served.connect())
        client.send(PREFACE + frame(PING, 0, 0, bytes(8)))
    else:
        client = await served.http2()
        client.send(sent)
    assert await client.ended() in codes
    assert client.frames[0].kind == SETTINGS
    await until(lambda: not served.listeners.connections)


STREAM_ENDS: dict[str, tuple[bytes, int]] = {
    "5.1 DATA after END_STREAM": (headers(1, WAIT) + data(1, b"x"), CLOSED),
    "5.1 HEADERS after END_STREAM": (headers(1, WAIT) + headers(1, GET), CLOSED),
    "5.3.1 HEADERS depends on itself": (
        frame(HEADERS, 5 | WITH_PRIORITY, 1, NUMBER + b"\0" + BLOCK),
        PROTOCOL,
    ),
    "5.3.1 PRIORITY on itself": (
        headers(1, WAIT) + frame(PRIORITY, 0, 1, NUMBER + b"\0"),
        PROTOCOL,
    ),
    "6.9 WINDOW_UPDATE of nothing": (headers(1, WAIT) + window(1, 0), PROTOCOL),
    "6.9.1 window too large": (headers(1, WAIT) + window(1, 0x7FFFFFFF), FLOW_CONTROL),
    "8.1 second HEADERS without END_STREAM": (
        headers(1, POST, ended=False) + headers(1, [("x", "y")], ended=False),
        PROTOCOL,
    ),
    "8.1 pseudo-field in trailers": (headers(1, POST, ended=False) + headers(1, [(":path", "/")]), PROTOCOL),
    "8.1.1 content longer than its length": (
        headers(1, [*POST, ("content-length", "1")], ended=False) + data(1, b"test", ended=True),
        PROTOCOL,
    ),
    "8.1.1 content shorter than its length": (
        headers(1, [*POST, ("content-length", "9")], ended=False) + data(1, b"test", ended=True),
        PROTOCOL,
    ),
    "8.1.1 content of GET of another length": (
        headers(1, [*GET, ("content-length", "9")], ended=False) + data(1, b"test", ended=True),
        PROTOCOL,
    ),
    "8.1.1 content shorter, then trailers": (
        headers(1, [*POST, ("content-length", "9")], ended=False) + data(1, b"x") + headers(1, [("x", "y")]),
        PROTOCOL,
    ),
    "8.2.1 upper case": (headers(1, [*GET, ("X", "y")]), PROTOCOL),
    "8.2.1 line break in a value": (headers(1, [*GET, ("x", "y\r\nz: a")]), PROTOCOL),
    "8.2.2 connection": (headers(1, [*GET, ("connection", "close")]), PROTOCOL),
    "8.2.2 te": (headers(1, [*GET, ("te", "gzip")]), PROTOCOL),
    "8.3 order of pseudo-fields": (headers(1, [("x", "y"), *GET]), PROTOCOL),
    "8.3.1 no path": (headers(1, GET[:3]), PROTOCOL),
    "8.3.1 path with a line break": (headers(1, asking("/ HTTP/1.1\r\nHost: b")), PROTOCOL),
}


async def waiting(request: Request) -> Response:
    """Answers /wait never, anything else at once."""
    if request.target == "/wait":
        await asyncio.Event().wait()
    return await echo(request)


@pytest.mark.parametrize("name", STREAM_ENDS)
async def test_what_breaks_a_stream_ends_that_stream_alone(serve: Serve, name: str) -> None:
    sent, code = STREAM_ENDS[name]
    served = await serve(waiting)
    client = await served.http2()
    client.send(sent)
    assert (await client.answer(1)).reset == code
    assert (await client.ask(3, asking("/next"))).status == 200
    assert client.goaways == []


BORNE: dict[str, bytes] = {
    "4.1 unknown frame": frame(99, 0xFF, 0, b"x"),
    "4.1 undefined flags": frame(PING, 0xFE, 0, bytes(8)),
    "4.1 reserved bit": frame(PING, 0, 0x80000000, bytes(8)),
    "5.1 PRIORITY on idle": frame(PRIORITY, 0, 9, bytes(5)),
    "5.1 late frames": headers(1, GET) + window(1, 1) + frame(PRIORITY, 0, 1, bytes(5)),
    "5.1.1 streams left out": headers(13, GET),
    "6.1 padded DATA": headers(1, POST, ended=False) + frame(DATA, PADDED | 1, 1, b"\x03abc\0\0\0"),
    "6.1 DATA of padding alone": headers(1, POST, ended=False)
    + frame(DATA, PADDED, 1, b"\x03\0\0\0")
    + data(1, ended=True),
    "6.2 padded HEADERS": frame(HEADERS, 5 | PADDED, 1, b"\x02" + BLOCK + b"\0\0"),
    "6.2 HEADERS with priority": frame(HEADERS, 5 | WITH_PRIORITY, 1, bytes(5) + BLOCK),
    "6.5 unknown setting": settings((0xFFFF, 1)),
    "6.5 acknowledgement unasked": frame(SETTINGS, ACK),
    "6.7 acknowledgement unasked": frame(PING, ACK, 0, bytes(8)),
    "6.8 GOAWAY with an unknown code": frame(GOAWAY, 0, 0, bytes(4) + b"\xff" * 4),
    "6.10 CONTINUATION": frame(HEADERS, 1, 1, BLOCK[:5])
    + frame(CONTINUATION, 0, 1, BLOCK[5:9])
    + frame(CONTINUATION, 4, 1, BLOCK[9:]),
    "8.1 trailers": headers(1, POST, ended=False) + data(1, b"x") + headers(1, [("x", "y")]),
    "8.2.3 cookies": headers(1, [*GET, ("cookie", "a=b"), ("cookie", "c=d")]),
    "RFC 7541 4.2 table updates": frame(HEADERS, 5, 1, b"\x20\x3f\xe1\x1f" + BLOCK),
    "RFC 9218 PRIORITY_UPDATE": frame(PRIORITY_UPDATE, 0, 0, NUMBER + b"u=1, i") + headers(1, GET),
}


@pytest.mark.parametrize("name", BORNE)
@pytest.mark.parametrize("cut", [0, 1, 11])
async def test_what_is_allowed_is_borne_however_it_is_cut(serve: Serve, name: str, cut: int) -> None:
    served = await serve(waiting)
    client = await served.http2()
    sent = BORNE[name] + headers(21, asking("/last"))
    if not cut:
        client.send(sent)
    for start in range(0, len(sent), cut) if cut else ():
        client.send(sent[start : start + cut])
        await asyncio.sleep(0)
    assert (await client.answer(21)).status == 200
    assert client.goaways == []
    assert [answer.reset for answer in client.answers.values() if answer.reset] == []
    for stream in (1, 13):
        if stream in client.answers and b"\0\0\0" + bytes((stream,)) in BORNE[name]:
            assert (await client.answer(stream)).status == 200


async def test_the_node_tells_its_limits(serve: Serve) -> None:
    served = await serve(limits=Limits(streams=7, head=5000, drain_timeout=0.2))
    client = await served.http2()
    await client.ponged()
    assert client.settings == {3: 7, 4: 256 << 10, 6: 5000, 9: 1}
    assert client.windows[0] == (1 << 20) - 65535


@pytest.mark.parametrize(
    "first",
    [
        b"PROXY TCP4 192.0.2.9 127.0.0.1 1 2\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\x09\x7f\0\0\1\0\1\0\2",
    ],
)
async def test_a_proxy_header_may_come_first(serve: Serve, first: bytes) -> None:
    served = await serve(proxy_protocol=["127.0.0.1"])
    client = await served.http2(first=first)
    assert (await client.ask(1, GET)).body == b"GET x /a 192.0.2.9|"


async def test_the_preface_is_seen_in_any_pieces_and_another_beginning_is_http_1(serve: Serve) -> None:
    served = await serve()
    client = Http2Client(*await served.connect())
    for byte in PREFACE + settings() + headers(1, GET):
        client.send(bytes((byte,)))
        await asyncio.sleep(0)
    assert (await client.answer(1)).status == 200
    assert (await served.say(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")).startswith(b"HTTP/1.1 505")
    assert (await served.say(b"PRINT / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).startswith(
        b"HTTP/1.1 200"
    )
    later = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + PREFACE
    assert b"HTTP/1.1 505" in await served.say(later)


async def test_a_connection_may_be_of_http_2_from_its_beginning(serve: Serve) -> None:
    """As it is where TLS has agreed on it."""
    service, _ = service_of()
    made = lambda: http2.Connection(service, "192.0.2.1", False)  # noqa: E731
    server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0)
    client = await Http2Client.connect(server.sockets[0].getsockname())
    assert (await client.ask(1, GET)).body == b"GET x /a 192.0.2.1|"
    await client.gone()
    other = Http2Client(*await asyncio.open_connection(*server.sockets[0].getsockname()))
    other.send(b"GET / HTTP/1.1\r\n\r\n")
    assert await other.ended() == PROTOCOL
    server.close()


@pytest.mark.parametrize("options", [{"trusted_clients": ["127.0.0.1"]}, {"proxy_protocol": ["127.0.0.1"]}])
async def test_who_stands_for_others_may_tell_their_scheme(serve: Serve, options: dict[str, Any]) -> None:
    fields = [(name, "https" if name == ":scheme" else value) for name, value in GET]
    served = await serve(**options)
    client = await served.http2(first=b"PROXY UNKNOWN\r\n" if "proxy_protocol" in options else b"")
    assert (await client.ask(1, fields)).status == 200
    client = await (await serve()).http2()
    assert (await client.ask(1, fields)).status == 421


async def test_what_is_no_http_at_all_gets_400_and_a_reset(serve: Serve) -> None:
    served = await serve()
    reader, writer = await served.connect()
    writer.write(b"INVALID CONNECTION PREFACE\r\n\r\n")
    assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 400")
    with pytest.raises(ConnectionResetError):
        await reader.read()


# -- life ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "limits", "code"),
    [
        (b"", {"idle_timeout": 0.1}, NO_ERROR),
        (headers(1, GET), {"idle_timeout": 0.1}, NO_ERROR),
        (headers(1, GET)[:12], {"head_timeout": 0.1}, CALM),
        (frame(HEADERS, 1, 1, BLOCK), {"head_timeout": 0.1}, CALM),
        (headers(1, POST, ended=False) + data(1, b"x" * 100)[:50], {"body_timeout": 0.1}, CALM),
    ],
    ids=["silent", "idle", "head", "block", "frame"],
)
async def test_a_client_that_lets_us_wait_is_left(
    serve: Serve, sent: bytes, limits: dict[str, float], code: int
) -> None:
    served = await serve(limits=Limits(drain_timeout=0.2, **limits))
    client = await served.http2()
    await client.ponged()
    client.send(sent)
    assert await client.ended() == code


async def test_a_preface_that_never_ends_is_left(serve: Serve) -> None:
    served = await serve(limits=Limits(drain_timeout=0.2, head_timeout=0.1))
    assert (await served.say(PREFACE[:10])).startswith(b"HTTP/1.1 408")


async def test_draining_warns_first_and_answers_what_was_asked_until_then(serve: Serve) -> None:
    served = await serve(waiting, limits=Limits(drain_timeout=5))
    client = await served.http2()
    client.send(headers(1, POST, ended=False))
    await client.ponged()
    draining = asyncio.get_running_loop().create_task(served.listeners.drain())
    await client.until(lambda c: c.goaways)
    assert client.goaways == [(0x7FFFFFFF, NO_ERROR)]
    client.send(headers(3, GET))  # on its way when the warning came
    warning = next(f for f in client.frames if f.kind == PING and not f.flags)
    client.send(frame(PING, ACK, 0, warning.payload))
    await client.until(lambda c: len(c.goaways) == 2)
    assert client.goaways[1] == (3, NO_ERROR)
    assert (await client.answer(3)).status == 200
    client.send(headers(5, GET))  # too late
    client.send(data(1, b"end", ended=True))
    assert (await client.answer(1)).body.endswith(b"|end")
    assert await client.ended() == NO_ERROR
    assert 5 not in client.answers
    await draining


async def test_a_client_that_ignores_the_warning_is_not_waited_for(serve: Serve) -> None:
    served = await serve(limits=Limits(drain_timeout=60))
    client = await served.http2()
    await client.ponged()
    draining = asyncio.get_running_loop().create_task(served.listeners.drain())
    assert await client.ended(30) == NO_ERROR
    await asyncio.wait_for(draining, 30)


async def test_the_last_request_allowed_is_answered_then_the_connection_ends(serve: Serve) -> None:
    served = await serve(limits=Limits(requests_per_connection=2, drain_timeout=0.2))
    client = await served.http2()
    assert (await client.ask(1, GET)).status == 200
    assert (await client.ask(3, GET)).status == 200
    assert await client.ended() == NO_ERROR


async def test_a_client_that_leaves_ends_what_it_asked_for(serve: Serve) -> None:
    ended = asyncio.Event()

    async def handler(request: Request) -> Response:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return Response(200)

    served = await serve(handler)
    client = await served.http2()
    client.send(headers(1, GET))
    await until(lambda: len(served.tasks) == 1)
    client.close()
    await asyncio.wait_for(ended.wait(), 30)
    await until(lambda: not served.listeners.connections)
    assert served.metrics.value("client_aborts_total") == 1
    assert served.reports == []


async def test_a_client_that_only_ended_its_side_gets_its_answers(serve: Serve) -> None:
    served = await serve(answering(BytesBody(b"x" * 300_000)))
    client = await served.http2(values=[(4, 1 << 20)])
    client.send(window(0, 1 << 20), headers(1, GET))
    client.shut()
    assert len((await client.answer(1)).body) == 300_000
    await client.ended()
