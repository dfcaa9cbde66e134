"""Parents that misbehave over HTTP/2: what fails is one exchange, which the next candidate answers; no body
is taken for whole that was not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import pytest

from edgeproxy.config import Config, Parent, UpstreamSection
from edgeproxy.errors import UpstreamError
from edgeproxy.metrics import Metrics
from edgeproxy.tasks import Tasks
from edgeproxy.upstream.assembly import build_chain
from edgeproxy.upstream.chain import Chain
from edgeproxy.upstream.upstream import Origin, Reach, UpstreamRequest, UpstreamResponse

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 5, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
BODY = b"0123456789"


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def block(*fields: tuple[bytes, bytes]) -> bytes:
    """A field block of literals that are not indexed (RFC 7541 section 6.2.2)."""
    return b"".join(b"\x00" + _string(name) + _string(value) for name, value in fields)


def _string(text: bytes) -> bytes:
    if len(text) < 127:
        return bytes((len(text),)) + text
    left, size = len(text) - 127, [127]
    while left >= 128:
        size.append(left % 128 + 128)
        left //= 128
    return bytes((*size, left)) + text


OK = ((b":status", b"200"), (b"etag", b'"v1"'), (b"content-length", b"10"))


def head(stream: int, *fields: tuple[bytes, bytes], end: bool = False) -> bytes:
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block(*(fields or OK)))


def data(stream: int, content: bytes = BODY, *, end: bool = True) -> bytes:
    return frame(DATA, END_STREAM if end else 0, stream, content)


Say = Callable[[int], bytes]


@dataclass
class Parent2:
    """Speaks raw frames: `greeting` at once, and `say(stream)` for each request; then silence, or the end of
    the connection if it `hangs_up`."""

    say: Say
    greeting: bytes = frame(SETTINGS)
    hangs_up: bool = False
    requests: int = 0
    port: int = 0
    _server: asyncio.Server | None = None
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            assert await reader.readexactly(len(PREFACE)) == PREFACE
            writer.write(self.greeting)
            while True:
                start = await reader.readexactly(9)
                kind, flags, stream = start[3], start[4], int.from_bytes(start[5:], "big")
                payload = await reader.readexactly(int.from_bytes(start[:3], "big"))
                if kind == SETTINGS and not flags & ACK:
                    writer.write(frame(SETTINGS, ACK))
                elif kind == PING and not flags & ACK:
                    writer.write(frame(PING, ACK, 0, payload))
                elif kind == HEADERS:
                    self.requests += 1
                    writer.write(self.say(stream))
                    await writer.drain()
                    if self.hangs_up:
                        writer.close()


async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An origin that has the body."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b'HTTP/1.1 200 OK\r\nETag: "v1"\r\nContent-Length: 10\r\n\r\n' + BODY)


class Here:
    async def resolve(self, _: str) -> Any:
        return (ip_address("127.0.0.1"),)


Start = Callable[..., Awaitable[tuple[Chain, UpstreamRequest]]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """A chain with a hostile parent and a good origin, and a request for it; options are the parent's."""
    async with contextlib.AsyncExitStack() as stack:

        async def begin(parent: Parent2, **options: float) -> tuple[Chain, UpstreamRequest]:
            await parent.start()
            stack.push_async_callback(parent.stop)
            origin = await asyncio.start_server(plain, "127.0.0.1", 0)
            stack.callback(origin.close)
            url = f"http://127.0.0.1:{parent.port}"
            short = {"connect_timeout": 1.0, "head_timeout": 0.5, "progress_timeout": 0.5, **options}
            up = Parent(name="up", url=url, http2="prior-knowledge", **short)  # type: ignore[arg-type]
            tasks = Tasks(lambda _, error: pytest.fail(repr(error)))
            chain = build_chain(
                Config(parent=[up], upstream=UpstreamSection(head_timeout=5.0)),
                Here(),
                metrics=Metrics(),
                tasks=tasks,
                report=lambda _: None,
            )
            stack.push_async_callback(chain.aclose)
            place = Origin("http", "127.0.0.1", origin.sockets[0].getsockname()[1])

            return chain, UpstreamRequest("GET", place, "/a", site="all", reach=Reach(private_addresses=True))

        yield begin


NO_HEAD: dict[str, Parent2] = {
    "GOAWAY for a request that was not processed": Parent2(
        lambda _: frame(GOAWAY, 0, 0, bytes(8)), hangs_up=True
    ),
    "RST_STREAM REFUSED": Parent2(lambda s: frame(RST, 0, s, (7).to_bytes(4, "big"))),
    "RST_STREAM PROTOCOL_ERROR": Parent2(lambda s: frame(RST, 0, s, (1).to_bytes(4, "big"))),
    "connection closed": Parent2(lambda _: b"", hangs_up=True),
    "silence": Parent2(lambda _: b""),
    "no streams allowed": Parent2(lambda _: b"", frame(SETTINGS, 0, 0, b"\x00\x03\x00\x00\x00\x00")),
    "status of letters": Parent2(lambda s: head(s, (b":status", b"abc"), end=True)),
    "status of four digits": Parent2(lambda s: head(s, (b":status", b"2000"), end=True)),
    "no status": Parent2(lambda s: head(s, (b"etag", b"x"), end=True)),
    "status twice": Parent2(lambda s: head(s, (b":status", b"200"), (b":status", b"404"), end=True)),
    "upper case name": Parent2(lambda s: head(s, (b":status", b"200"), (b"ETag", b"x"), end=True)),
    "connection field": Parent2(lambda s: head(s, (b":status", b"200"), (b"connection", b"close"), end=True)),
    "transfer-encoding": Parent2(
        lambda s: head(s, (b":status", b"200"), (b"transfer-encoding", b"chunked"), end=True)
    ),
    "two lengths": Parent2(
        lambda s: (
            head(s, (b":status", b"200"), (b"content-length", b"10"), (b"content-length", b"5")) + data(s)
        )
    ),
    "data before a head": Parent2(data),
    "a head of megabytes": Parent2(
        lambda s: (
            frame(HEADERS, 0, s, block((b":status", b"200")))
            + frame(CONTINUATION, 0, s, block((b"x", b"a" * 16000))) * 40
            + frame(CONTINUATION, END_HEADERS | END_STREAM, s)
        )
    ),
    "five thousand fields": Parent2(
        lambda s: (
            frame(HEADERS, 0, s, block((b":status", b"200")))
            + b"".join(frame(CONTINUATION, 0, s, block((b"x", b"")) * 500) for _ in range(10))
            + frame(CONTINUATION, END_HEADERS | END_STREAM, s)
        )
    ),
    "a frame between HEADERS and CONTINUATION": Parent2(
        lambda s: frame(HEADERS, 0, s, block(*OK)) + data(s) + frame(CONTINUATION, END_HEADERS, s)
    ),
    "a frame longer than allowed": Parent2(lambda s: frame(HEADERS, END_HEADERS, s, bytes(1 << 20))),
    "broken compression": Parent2(lambda s: frame(HEADERS, END_HEADERS, s, b"\xff\xff\xff\xff\xff\xff\xff")),
    "a push nobody wants": Parent2(
        lambda s: frame(PUSH, END_HEADERS, s, (2).to_bytes(4, "big") + block((b":method", b"GET")))
    ),
    "answer on a stream nobody opened": Parent2(lambda s: head(s + 2) + data(s + 2)),
    "window of nothing": Parent2(lambda s: frame(WINDOW, 0, s, bytes(4))),
    "text": Parent2(lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + BODY),
}


@pytest.mark.parametrize("name", NO_HEAD)
async def test_where_no_head_comes_that_makes_sense_the_next_candidate_answers(
    start: Start, name: str
) -> None:
    chain, request = await start(NO_HEAD[name])
    async with asyncio.timeout(20):
        response = await chain.fetch(request)
        content = b"".join([chunk async for chunk in response.chunks()])
    await response.aclose()
    assert (response.source, response.status, content) == ("origin", 200, BODY)


async def test_a_field_with_a_line_break_in_its_value_is_not_passed_on(start: Start) -> None:
    chain, request = await start(Parent2(lambda s: head(s, *OK, (b"x", b"a\r\nb: c")) + data(s)))
    async with asyncio.timeout(20):
        response = await chain.fetch(request)
    assert ("x" in response.headers, "b" in response.headers) == (False, False)
    await response.aclose()


BROKEN_BODY: dict[str, Say] = {
    "RST_STREAM": lambda s: head(s) + data(s, BODY[:5], end=False) + frame(RST, 0, s, (2).to_bytes(4, "big")),
    "GOAWAY and the end": lambda s: (
        head(s) + data(s, BODY[:5], end=False) + frame(GOAWAY, 0, 0, s.to_bytes(4, "big") + bytes(4))
    ),
    "the end without a word": lambda s: head(s) + data(s, BODY[:5], end=False),
    "less than announced": lambda s: head(s) + data(s, BODY[:5]),
    "more than announced": lambda s: head(s) + data(s, BODY + b"x"),
    "nothing of what was announced": lambda s: head(s, *OK, end=True),
    "garbage": lambda s: head(s) + data(s, BODY[:5], end=False) + b"\xff" * 64,
}


@pytest.mark.parametrize("name", BROKEN_BODY)
async def test_a_body_that_is_not_whole_is_never_taken_for_whole(start: Start, name: str) -> None:
    parent = Parent2(BROKEN_BODY[name], hangs_up=True)
    chain, request = await start(parent)
    async with asyncio.timeout(20):
        try:
            response = await chain.fetch(request)
        except UpstreamError:
            return
        if response.source == "origin":  # the head was refused already
            await response.aclose()
            return
        content = bytearray()
        with pytest.raises(UpstreamError):
            await _read(response, content)
    await response.aclose()
    assert BODY.startswith(content)
    assert chain.states()[0].why


async def _read(response: UpstreamResponse, content: bytearray) -> None:
    async for chunk in response.chunks():
        content += chunk


async def test_a_stream_that_stalls_holds_up_no_other(start: Start) -> None:
    """Fifty requests on one connection, one of which never gets its second half."""

    def say(stream: int) -> bytes:
        return head(stream) + (data(stream, BODY[:5], end=False) if stream == 1 else data(stream))

    parent = Parent2(say)
    chain, request = await start(parent, head_timeout=10.0, progress_timeout=1.0)
    async with asyncio.timeout(20):
        stalled = await chain.fetch(request)
        chunks = stalled.chunks()
        assert await anext(chunks) == BODY[:5]
        end = asyncio.ensure_future(anext(chunks))
        await asyncio.sleep(0)
        others = await asyncio.gather(*(chain.fetch(request) for _ in range(50)))
        for response in others:
            assert b"".join([chunk async for chunk in response.chunks()]) == BODY
            await response.aclose()
        with pytest.raises(UpstreamError):
            await end
        await stalled.aclose()
    assert {response.source for response in others} == {"up"}
    assert len(parent._writers) == 1
    assert chain.states()[0].state == "healthy", "one stalled stream speaks against the connection"


async def test_a_flood_of_control_frames_before_an_answer_ends_in_patience(start: Start) -> None:
    flood = frame(PING, 0, 0, bytes(8)) * 20_000 + frame(SETTINGS) * 2_000
    chain, request = await start(Parent2(lambda s: flood))
    async with asyncio.timeout(20):
        response = await chain.fetch(request)
    assert response.source == "origin"
    await response.aclose()
