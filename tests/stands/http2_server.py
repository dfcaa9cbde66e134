"""A server of HTTP/2 by prior knowledge in raw frames, which sends no byte that a window does not allow.

async def answer(asked: Asked) -> None:
    await asked.head(200, ("cache-control", "no-store"))
    async for piece in asked.content(): await asked.send(piece)
    await asked.end(("grpc-status", "0"))

server = Http2Server(answer); await server.start(); server.url; await server.stop()"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

from jh2.hpack import Decoder

from stands.http2_client import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    data,
    field_block,
    frame,
    settings,
    window,
)

PIECE_BYTES = 16_000
_INITIAL_WINDOW = 4


class Gone(Exception):
    """The other side has left the stream or the connection."""


class Asked:
    """One request, and the means to answer it. `sent` counts the bytes of content that have left."""

    def __init__(self, connection: _Connection, number: int, fields: list[tuple[str, str]]) -> None:
        self._connection = connection
        self._number = number
        self.fields = fields
        self.window = connection.initial
        self.sent = 0
        self.is_gone = False
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue()

    def get(self, name: str) -> str:
        return next((value for key, value in self.fields if key == name), "")

    def take(self, piece: bytes | None) -> None:
        self._pieces.put_nowait(piece)

    async def content(self) -> AsyncIterator[bytes]:
        """The content of the request as it comes; each piece opens the windows for as much again."""
        while (piece := await self._pieces.get()) is not None:
            if piece:
                self._connection.write(window(0, len(piece)), window(self._number, len(piece)))
                yield piece

    async def head(self, status: int, *fields: tuple[str, str], ended: bool = False) -> None:
        block = field_block([(":status", str(status)), *fields])
        flags = END_HEADERS | (END_STREAM if ended else 0)
        self._connection.write(frame(HEADERS, flags, self._number, block))

    async def send(self, content: bytes) -> None:
        """Raises Gone."""
        while content:
            size = min(len(content), PIECE_BYTES, self.window, self._connection.window)
            if self.is_gone or self._connection.is_gone:
                raise Gone
            if size <= 0:
                await self._connection.wait()
                continue
            self._connection.write(data(self._number, content[:size]))
            self.window -= size
            self._connection.window -= size
            self.sent += size
            content = content[size:]
            await self._connection.drain()

    async def end(self, *trailers: tuple[str, str]) -> None:
        if trailers:
            ending = frame(HEADERS, END_HEADERS | END_STREAM, self._number, field_block(trailers))
        else:
            ending = data(self._number, ended=True)
        self._connection.write(ending)


Answer = Callable[[Asked], Awaitable[None]]


class _Connection:
    def __init__(self, server: Http2Server, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self._writer = writer
        self._decoder = Decoder()
        self._changed = asyncio.Event()
        self._asked: dict[int, Asked] = {}
        self.initial = self.window = 65_535
        self.is_gone = False

    def write(self, *pieces: bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(b"".join(pieces))

    async def drain(self) -> None:
        try:
            await self._writer.drain()
        except OSError:
            raise Gone from None

    async def wait(self) -> None:
        """Until a window has grown or somebody has gone."""
        self._changed.clear()
        await self._changed.wait()

    async def serve(self, reader: asyncio.StreamReader) -> None:
        assert await reader.readexactly(len(PREFACE)) == PREFACE
        self.write(settings())
        try:
            while True:
                start = await reader.readexactly(9)
                payload = await reader.readexactly(int.from_bytes(start[:3], "big"))
                self._take(start[3], start[4], int.from_bytes(start[5:], "big"), payload)
                self._changed.set()
        finally:
            self.is_gone = True
            self._changed.set()
            for asked in self._asked.values():
                asked.take(None)

    def _take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        asked = self._asked.get(number)
        if kind == SETTINGS and not flags & ACK:
            values = dict(struct.iter_unpack(">HI", payload))
            initial = values.get(_INITIAL_WINDOW, self.initial)
            for other in self._asked.values():
                other.window += initial - self.initial
            self.initial = initial
            self.write(frame(SETTINGS, ACK))
        elif kind == PING and not flags & ACK:
            self.write(frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE and number == 0:
            self.window += int.from_bytes(payload, "big")
        elif kind == WINDOW_UPDATE and asked is not None:
            asked.window += int.from_bytes(payload, "big")
        elif kind == RST_STREAM and asked is not None:
            asked.is_gone = True
            asked.take(None)
        elif kind == HEADERS and asked is None:
            pairs = [(bytes(n).decode(), bytes(v).decode()) for n, v in self._decoder.decode(payload, True)]
            asked = self._asked[number] = Asked(self, number, pairs)
            self._server.begin(asked)
        elif kind == DATA and asked is not None:
            asked.take(payload)
        if kind in (HEADERS, DATA) and flags & END_STREAM and asked is not None:
            asked.take(None)


class Http2Server:
    """`asked` holds every request so far but those by which a node looks after its parent: probes of the
    root, and for the log of its purges, which it does not have. With a `context` it speaks TLS."""

    def __init__(self, answer: Answer, context: ssl.SSLContext | None = None) -> None:
        self._answer = answer
        self._context = context
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.asked: list[Asked] = []

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0, ssl=self._context)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await _Connection(self, writer).serve(reader)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    def begin(self, asked: Asked) -> None:
        if not _is_aside(asked):
            self.asked.append(asked)
        task = asyncio.get_running_loop().create_task(self._answered(asked))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answered(self, asked: Asked) -> None:
        if _is_aside(asked):
            await asked.head(404)
            await asked.end()
            return
        with contextlib.suppress(Gone):
            await self._answer(asked)


def _is_aside(asked: Asked) -> bool:
    return asked.get(":path") == "/" or asked.get(":path").startswith("/.well-known/")
