"""A client of HTTP/2 in raw frames: sends what no library would, and keeps all that comes."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from jh2.hpack import Decoder

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY = range(8)
WINDOW_UPDATE, CONTINUATION, PRIORITY_UPDATE = 8, 9, 16
END_STREAM = ACK = 1
END_HEADERS, PADDED, WITH_PRIORITY = 4, 8, 32
NO_ERROR, PROTOCOL, INTERNAL, FLOW_CONTROL, SETTINGS_TIMEOUT, CLOSED, FRAME_SIZE, REFUSED, CANCEL = range(9)
COMPRESSION, CALM = 9, 11

Pairs = Sequence[tuple[str, str]]


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def field_block(pairs: Pairs) -> bytes:
    """Literals without indexing and without Huffman code: the plainest block there is."""
    out = b""
    for name, value in pairs:
        out += b"\0"
        for text in (name.encode("latin-1"), value.encode("latin-1")):
            if len(text) < 127:
                out += bytes((len(text),))
            else:
                rest = len(text) - 127
                out += b"\x7f"
                while rest >= 128:
                    out += bytes((rest & 127 | 128,))
                    rest >>= 7
                out += bytes((rest,))
            out += text
    return out


def asking(
    path: str = "/", *more: tuple[str, str], method: str = "GET", authority: str = "x", scheme: str = "http"
) -> list[tuple[str, str]]:
    """The fields of a request."""
    first = [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path)]
    return [*first, *more]


def headers(stream: int, pairs: Pairs, *, ended: bool = True, extra: int = 0) -> bytes:
    """One HEADERS frame."""
    flags = END_HEADERS | (END_STREAM if ended else 0) | extra
    return frame(HEADERS, flags, stream, field_block(pairs))


def data(stream: int, content: bytes = b"", *, ended: bool = False) -> bytes:
    return frame(DATA, END_STREAM if ended else 0, stream, content)


def reset(stream: int, code: int = CANCEL) -> bytes:
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def window(stream: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def settings(*values: tuple[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *value) for value in values))


@dataclass(slots=True)
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes


@dataclass(slots=True)
class Http2Answer:
    """What came on one stream. `reset` is the code of RST_STREAM."""

    status: int = 0
    fields: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    ended: bool = False
    reset: int | None = None
    interim: list[int] = field(default_factory=list)
    trailers: list[tuple[str, str]] = field(default_factory=list)
    order: list[int] = field(default_factory=list)  # lengths of its DATA frames

    def get(self, name: str) -> str:
        return next((value for key, value in self.fields if key == name), "")

    @property
    def is_over(self) -> bool:
        return self.ended or self.reset is not None


class Http2Client:
    """One connection. With `generous`, windows are widened as content comes; without, never."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, generous: bool = True
    ) -> None:
        self._reader, self.writer = reader, writer
        self._generous = generous
        self._decoder = Decoder()
        self._rest = b""
        self._shut = False
        self._heads: dict[int, bytes] = {}
        self.frames: list[Frame] = []
        self.answers: dict[int, Http2Answer] = {}
        self.settings: dict[int, int] = {}
        self.windows: dict[int, int] = {}  # credit the server gave
        self.goaways: list[tuple[int, int]] = []  # last stream, code
        self.closed = ""

    @classmethod
    async def connect(
        cls,
        address: tuple[str, int],
        *,
        generous: bool = True,
        first: bytes = b"",
        values: Sequence[tuple[int, int]] = (),
        limit: int = 1 << 20,
        context: ssl.SSLContext | None = None,
    ) -> Http2Client:
        """Connect, over TLS if there is a `context`, and send the preface with settings of these values,
        after `first`."""
        name = None if context is None else "localhost"
        reader, writer = await asyncio.open_connection(
            *address, limit=limit, ssl=context, server_hostname=name
        )
        client = cls(reader, writer, generous=generous)
        client.send(first + PREFACE + settings(*values))
        return client

    def send(self, *pieces: bytes) -> None:
        if not self._shut and not self.writer.is_closing():
            self.writer.write(b"".join(pieces))

    async def drain(self) -> None:
        await self.writer.drain()

    def shut(self) -> None:
        self._shut = True
        self.writer.write_eof()

    def close(self) -> None:
        self.writer.close()

    async def gone(self) -> None:
        """Close, and wait until that is done."""
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    async def until(self, condition: Callable[[Http2Client], object], seconds: float = 30.0) -> None:
        """Read until `condition` holds. Raises TimeoutError, or ConnectionError if it can no longer hold."""
        async with asyncio.timeout(seconds):
            while not condition(self):
                if self.closed:
                    raise ConnectionError(f"{self.closed}: {self.goaways}")
                await self._read()

    async def answer(self, stream: int, seconds: float = 30.0) -> Http2Answer:
        await self.until(lambda _: stream in self.answers and self.answers[stream].is_over, seconds)
        return self.answers[stream]

    async def ask(self, stream: int, pairs: Pairs, content: bytes | None = None) -> Http2Answer:
        self.send(headers(stream, pairs, ended=content is None))
        if content is not None:
            self.send(data(stream, content, ended=True))
        return await self.answer(stream)

    async def ended(self, seconds: float = 30.0) -> int | None:
        """Read until the connection ends; the code of the last GOAWAY."""
        async with asyncio.timeout(seconds):
            while not self.closed:
                await self._read()
        self.writer.close()
        return self.goaways[-1][1] if self.goaways else None

    async def ponged(self, mark: bytes = b"ping-pon") -> None:
        """Wait until all that was sent has been taken."""
        self.send(frame(PING, 0, 0, mark))
        await self.until(
            lambda _: any(f.kind == PING and f.flags & ACK and f.payload == mark for f in self.frames)
        )

    async def _read(self) -> None:
        try:
            piece = await self._reader.read(1 << 18)
        except OSError:
            self.closed = "reset"
            return
        if not piece:
            self.closed = "eof"
            return
        self._rest += piece
        at = 0
        while len(self._rest) - at >= 9:
            size = int.from_bytes(self._rest[at : at + 3], "big")
            if len(self._rest) - at < 9 + size:
                break
            kind, flags, stream = struct.unpack_from(">BBI", self._rest, at + 3)
            self._take(Frame(kind, flags, stream, self._rest[at + 9 : at + 9 + size]))
            at += 9 + size
        self._rest = self._rest[at:]

    def _take(self, came: Frame) -> None:
        self.frames.append(came)
        answer = self.answers.setdefault(came.stream, Http2Answer()) if came.stream else Http2Answer()
        if came.kind == SETTINGS and not came.flags & ACK:
            self.settings.update(struct.iter_unpack(">HI", came.payload))
            self.send(frame(SETTINGS, ACK))
        elif came.kind in (HEADERS, CONTINUATION):
            self._take_head(came, answer)
        elif came.kind == DATA:
            answer.body += came.payload
            answer.order.append(len(came.payload))
            answer.ended = bool(came.flags & END_STREAM)
            if self._generous and came.payload:
                self.send(window(0, len(came.payload)), window(came.stream, len(came.payload)))
        elif came.kind == RST_STREAM:
            answer.reset = int.from_bytes(came.payload, "big")
        elif came.kind == GOAWAY:
            self.goaways.append(struct.unpack_from(">II", came.payload))
        elif came.kind == WINDOW_UPDATE:
            self.windows[came.stream] = self.windows.get(came.stream, 0) + int.from_bytes(came.payload, "big")

    def _take_head(self, came: Frame, answer: Http2Answer) -> None:
        if came.kind == HEADERS and came.flags & END_STREAM:
            answer.ended = True
        block = self._heads.pop(came.stream, b"") + came.payload
        if not came.flags & END_HEADERS:
            self._heads[came.stream] = block
            return
        fields = [
            (bytes(n).decode("latin-1"), bytes(v).decode("latin-1"))
            for n, v in self._decoder.decode(block, True)
        ]
        status = int(dict(fields).get(":status", 0))
        plain = [pair for pair in fields if pair[0] != ":status"]
        if not status:
            answer.trailers = plain
        elif status < 200:
            answer.interim.append(status)
        else:
            answer.status, answer.fields = status, plain
