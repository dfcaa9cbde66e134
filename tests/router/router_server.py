"""A server on loopback that answers as it is told, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Stub:
    """`answer` is what it sends; None says nothing and keeps the connection."""

    answer: bytes | None = OK
    asked: list[bytes] = field(default_factory=list)
    url: str = ""
    _server: asyncio.Server | None = None
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def start(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=tls)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = 0
            for line in head.split(b"\r\n"):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            self.asked.append(head + await reader.readexactly(length))
            if self.answer is not None:
                writer.write(self.answer)
                await writer.drain()
                writer.close()

    def stop(self) -> None:
        """From now on nobody answers there."""
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()


@contextlib.asynccontextmanager
async def stub(answer: bytes | None = OK, tls: ssl.SSLContext | None = None) -> AsyncIterator[Stub]:
    found = Stub(answer)
    await found.start(tls=tls)
    try:
        yield found
    finally:
        found.stop()


async def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for what others bring about."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the condition belongs to others
            await asyncio.sleep(0.005)
