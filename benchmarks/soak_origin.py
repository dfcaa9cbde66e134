"""An origin that misbehaves in every way, for the soak: what a path says is what it does.

    /SIZE/FAULT/NAME     SIZE bytes that NAME determines; FAULT is "none" or one of FAULTS

A fault strikes every second request for a path, so that what failed can be had afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
from collections import Counter

FAULTS = (
    "reset",  # before a head
    "half-head",
    "garbage",
    "cut",  # in the middle of the body
    "stall",  # likewise, in silence
    "open-end",  # chunked, without its last chunk
    "short-chunk",
    "late",  # the head after half a second
    "503",
    "two-lengths",
    "early-hints",
)
MAX_AGE_SECONDS = 5
PIECE = 64 << 10
SILENCE_SECONDS = 20.0
_TARGET = re.compile(rb"(GET|HEAD|POST) (/([0-9]+)/([a-z0-9-]+)/[^ ?]*)[^ ]* HTTP/1\.1\r\n")
_RANGE = re.compile(rb"\r\nrange: bytes=([0-9]+)-([0-9]*)\r\n", re.IGNORECASE)


def content(path: str, size: int) -> bytes:
    """The bytes of a path, the same in every process."""
    block = hashlib.sha256(path.encode()).digest()
    return (block * (size // len(block) + 1))[:size]


class SoakOrigin:
    """Listens on a port of its own from `start` on."""

    def __init__(self) -> None:
        self.requests = 0
        self.port = 0
        self._asked: Counter[bytes] = Counter()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError)
        with contextlib.suppress(*ends):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"\r\ncontent-length: ([0-9]+)\r\n", head, re.IGNORECASE)
                if length:
                    await reader.readexactly(int(length[1]))
                if not await self._answer(head, writer):
                    break
        writer.close()

    async def _answer(self, head: bytes, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection can be used again."""
        self.requests += 1
        found = _TARGET.match(head)
        if found is None:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return True
        method, path, size, fault = found[1], found[2], int(found[3]), found[4].decode()
        if len(self._asked) > 200_000:
            self._asked.clear()
        self._asked[path] += 1
        if self._asked[path] % 2 == 0:
            fault = "none"
        tag = f'"{hashlib.md5(path).hexdigest()}"'
        if tag.encode() in head and b"none-match" in head.lower() and fault == "none":
            fields = f"ETag: {tag}\r\nCache-Control: max-age={MAX_AGE_SECONDS}\r\n"
            writer.write(f"HTTP/1.1 304 Not Modified\r\n{fields}\r\n".encode())
            return True
        return await self._send(method, path.decode(), size, fault, tag, head, writer)

    async def _send(
        self,
        method: bytes,
        path: str,
        size: int,
        fault: str,
        tag: str,
        head: bytes,
        writer: asyncio.StreamWriter,
    ) -> bool:
        if fault == "reset":
            writer.transport.abort()
            return False
        if fault in ("half-head", "garbage", "503", "two-lengths"):
            writer.write(_WHOLE[fault])
            await writer.drain()
            return fault == "503"
        if fault == "late":
            await asyncio.sleep(0.5)
        if fault == "early-hints":
            writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </style>\r\n\r\n")
        whole = content(path, size)
        status, data, more = "200 OK", whole, ""
        if found := _RANGE.search(head):
            start, last = int(found[1]), int(found[2] or size - 1)
            if start < size:
                data = whole[start : last + 1]
                status = "206 Partial Content"
                more = f"Content-Range: bytes {start}-{start + len(data) - 1}/{size}\r\n"
        is_chunked = fault in ("open-end", "short-chunk")
        framing = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {len(data)}"
        writer.write(
            f"HTTP/1.1 {status}\r\nETag: {tag}\r\nCache-Control: max-age={MAX_AGE_SECONDS}\r\n"
            f"Accept-Ranges: bytes\r\n{more}{framing}\r\n\r\n".encode()
        )
        if method == b"HEAD":
            return True
        return await _send_body(data, fault, writer)


_WHOLE = {
    "half-head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "garbage": b"\x00\x01\x02 nothing like HTTP\r\n\r\n",
    "503": b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
    "two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
}


async def _send_body(data: bytes, fault: str, writer: asyncio.StreamWriter) -> bool:
    if fault == "short-chunk":
        writer.write(b"ffff\r\n" + data[:5])
        return False
    if fault == "open-end":
        writer.write(b"%x\r\n%s\r\n" % (len(data), data))
        return False
    end = len(data) // 2 if fault in ("cut", "stall") else len(data)
    for start in range(0, end, PIECE):
        writer.write(data[start : min(end, start + PIECE)])
        await writer.drain()
    if fault == "stall":
        await asyncio.sleep(SILENCE_SECONDS)
    return fault not in ("cut", "stall")
