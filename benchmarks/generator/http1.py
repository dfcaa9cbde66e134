"""One connection of HTTP/1.1: a request, its answer, the next request.

Lean on purpose: one buffer for all connections, nothing parsed twice (heads that came before are known by
their bytes), every byte of a body compared where it was received."""

from __future__ import annotations

import asyncio
import functools
from time import monotonic
from typing import NamedTuple, cast
from urllib.parse import urlsplit

from benchmarks import bodies, records
from benchmarks.generator.exchange import Exchange, Owner, Wanted
from edgeproxy.chunks import BadChunks, ChunkDecoder

BUFFER_BYTES = 512 << 10  # less than bodies.PERIOD, so that one read is one comparison
_HEAD_MAX = 64 << 10
_BODY_MAX = 1 << 40


class AnswerHead(NamedTuple):
    """`length` is None where the body ends with its last chunk, or else with the connection."""

    status: int
    length: int | None
    is_chunked: bool
    keeps: bool


@functools.lru_cache(maxsize=2048)
def parse_head(head: bytes) -> AnswerHead:
    """The head of an answer to GET, without its empty line. Raises ValueError for what is none."""
    line, _, rest = head.partition(b"\r\n")
    if not line.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")) or not line[9:12].isdigit():
        raise ValueError("no status line")
    status = int(line[9:12])
    fields: dict[bytes, bytes] = {}
    for text in rest.split(b"\r\n") if rest else ():
        name, colon, value = text.partition(b":")
        if not colon or not name or name != name.strip():
            raise ValueError("a malformed field")
        fields[name.lower()] = value.strip()
    connection = fields.get(b"connection", b"").lower()
    keeps = b"close" not in connection if line[7:8] == b"1" else b"keep-alive" in connection
    is_chunked = fields.get(b"transfer-encoding", b"").lower() == b"chunked"
    told = fields.get(b"content-length")
    if status < 200 or status in (204, 304):
        return AnswerHead(status, 0, False, keeps)
    if is_chunked:
        return AnswerHead(status, None, True, keeps)
    if told is None:
        return AnswerHead(status, None, False, False)
    if not told.isdigit():
        raise ValueError("a malformed Content-Length")
    return AnswerHead(status, int(told), False, keeps)


def wanted(url: str, target: str, fields: tuple[tuple[str, str], ...]) -> Wanted:
    """The request for a target, and the bytes of its answer if bodies.py knows them."""
    lines = [f"GET {target} HTTP/1.1"]
    if not any(name.lower() == "host" for name, _ in fields):
        lines.append(f"Host: {urlsplit(url).netloc}")
    lines += [f"{name}: {value}" for name, value in fields]
    return expecting(target, ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))


def expecting(target: str, head: bytes, content: bytes = b"") -> Wanted:
    """`head` asks for `target`; what bodies.py or records.py knows of its answer."""
    path = bodies.within(target)
    size = bodies.size_of(path)
    if size is not None:
        return Wanted(target, head, content, bodies.TWICE, bodies.place(path), bodies.PERIOD, size)
    if (record := records.within(target)) is not None:
        block = records.as_json(record)
        return Wanted(target, head, content, block, 0, len(block) + 1, len(block))
    return Wanted(target, head, content)


class Http1Connection(asyncio.BufferedProtocol):
    """Open from when the owner is told so until it is told that it is lost."""

    def __init__(self, owner: Owner, buffer: bytearray, status: int) -> None:
        self._owner, self._status = owner, status
        self._buffer, self._view = buffer, memoryview(buffer)
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self.is_open = False
        self._head = b""  # the beginning of a head whose end has not come
        self._answer: AnswerHead | None = None
        self._decoder: ChunkDecoder | None = None
        self._position = 0
        self._left: int | None = 0
        self._trouble = ""

    # -- for the owner ------------------------------------------------------------------------------

    def ask(self, exchange: Exchange) -> None:
        self._exchange, exchange.connection = exchange, self
        self._answer, self._trouble, self._position = None, "", 0
        assert self._transport is not None
        self._transport.write(exchange.wanted.head)

    def give_up(self, exchange: Exchange) -> None:
        self._exchange = None
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        self.is_open = False
        if self._transport is not None:
            self._transport.close()

    # -- asyncio.BufferedProtocol -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.is_open = True
        self._owner.opened(self, 1)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view

    def buffer_updated(self, count: int) -> None:
        now = monotonic()
        exchange = self._exchange
        if exchange is None:
            self.close()  # bytes that nobody asked for
            return
        if not exchange.first_byte:
            exchange.first_byte = now
        if self._answer is not None:
            self._take(exchange, self._view[:count], now)
            return
        begin = 0
        while self._answer is None:
            end = self._buffer.find(b"\r\n\r\n", begin, count) if not self._head else -1
            if end >= 0:
                head, begin = bytes(self._view[begin:end]), end + 4
            else:
                whole = self._head + self._view[begin:count]
                end = whole.find(b"\r\n\r\n")
                if end < 0:
                    self._head = whole
                    if len(whole) > _HEAD_MAX:
                        self._break(exchange, "malformed answer")
                    return
                head, begin = whole[:end], count - (len(whole) - end - 4)
                self._head = b""
            try:
                answer = parse_head(head)
            except ValueError:
                self._break(exchange, "malformed answer")
                return
            if answer.status >= 200:
                self._begin(exchange, answer)
        self._take(exchange, self._view[begin:count], now)

    def eof_received(self) -> None:
        if self._exchange is not None and self._answer is not None and self._is_until_end:
            exchange, self._exchange, self.is_open = self._exchange, None, False
            self._tell(exchange, monotonic())

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        if (exchange := self._exchange) is not None:
            self._exchange = None
            where = "within an answer" if exchange.first_byte else "before an answer"
            self._owner.failed(exchange, f"{'reset' if error else 'closed'} {where}")
        self._owner.lost(self)

    # -- answers ------------------------------------------------------------------------------------

    @property
    def _is_until_end(self) -> bool:
        return self._left is None and self._decoder is None

    def _begin(self, exchange: Exchange, answer: AnswerHead) -> None:
        self._answer, self._left, self._decoder = answer, answer.length, None
        if answer.is_chunked:
            self._decoder = ChunkDecoder(_BODY_MAX, _HEAD_MAX << 10, is_request=False)
        wanted = exchange.wanted
        if answer.status != self._status:
            self._trouble = f"status {answer.status}"
        elif wanted.block is not None and answer.length not in (None, wanted.size):
            self._trouble = "wrong bytes"

    def _take(self, exchange: Exchange, data: memoryview, now: float) -> None:
        if self._decoder is not None:
            self._take_chunks(exchange, self._decoder, bytes(data), now)
            return
        left = self._left
        if left is None or len(data) < left:
            if len(data):
                self._count(exchange, data)
            if left is not None:
                self._left = left - len(data)
            return
        if left:
            self._count(exchange, data[:left] if len(data) > left else data)
        self._end(exchange, len(data) - left, now)

    def _take_chunks(self, exchange: Exchange, decoder: ChunkDecoder, data: bytes, now: float) -> None:
        pieces: list[bytes] = []
        try:
            beyond = decoder.feed(data, pieces)
        except BadChunks:
            self._break(exchange, "malformed answer")
            return
        for piece in pieces:
            self._count(exchange, piece)
        if decoder.done:
            self._end(exchange, len(beyond), now)

    def _count(self, exchange: Exchange, data: memoryview | bytes) -> None:
        self._owner.received += len(data)
        if not self._trouble and not exchange.wanted.is_right(self._position, data):
            self._trouble = "wrong bytes"
        self._position += len(data)

    def _end(self, exchange: Exchange, beyond: int, now: float) -> None:
        assert self._answer is not None
        keeps, self._exchange = self._answer.keeps, None
        if beyond:
            self._trouble = self._trouble or "wrong bytes"
        self._tell(exchange, now)
        if keeps and not beyond and self.is_open:
            self._owner.freed(self)
        else:
            self.close()

    def _tell(self, exchange: Exchange, now: float) -> None:
        wanted = exchange.wanted
        if not self._trouble and wanted.block is not None and self._position != wanted.size:
            self._trouble = "wrong bytes"
        if self._trouble:
            self._owner.failed(exchange, self._trouble)
        else:
            self._owner.answered(exchange, now)

    def _break(self, exchange: Exchange, kind: str) -> None:
        self._exchange = None
        self._owner.failed(exchange, kind)
        self.close()
