"""A body's parts to a transport, never faster than the client takes them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import aiofastnet

from edgeproxy.errors import BodyAborted
from edgeproxy.message import Body, FileSlice, KeptFile, Part
from edgeproxy.serving import page_cache
from edgeproxy.serving.response_head import Framing

# One sendfile call may run until the socket is full: in pieces of this size a fast reader cannot
# hold the loop for longer than a millisecond or two. Many readers share what one turn of the loop may
# send, so that a newcomer among two hundred still gets its first byte within milliseconds.
SENDFILE_BYTES = 8 << 20
SENDFILE_TURN_BYTES = 16 << 20
SENDFILE_BYTES_MIN = 128 << 10
_COPY_BYTES = 128 << 10
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_END_ON_CLOSE = struct.pack("ii", 0, 0)


class BodyWriter:
    """Writes to one transport, at most `piece` bytes at a time, and waits while it is full. `sent`
    counts content bytes handed over; `sending` holds the writers that send files now."""

    __slots__ = ("_head", "_loop", "_piece", "_sending", "_transport", "_waiter", "full", "sent")

    def __init__(
        self, transport: Any, loop: asyncio.AbstractEventLoop, piece: int, sending: set[BodyWriter]
    ) -> None:
        self._piece = piece
        self._sending = sending
        self._transport = transport
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None
        self._head = b""
        self.full = False
        self.sent = 0

    def pause(self) -> None:
        self.full = True

    def resume(self) -> None:
        self.full = False
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def _ready(self) -> None:
        while self.full:
            self._waiter = self._loop.create_future()
            await self._waiter

    def reset_on_close(self, wanted: bool) -> None:
        """Make any close of the connection a reset: the one way to tell the reader of a
        close-delimited body that it is not whole."""
        connection = self._transport.get_extra_info("socket")
        if connection is not None and connection.family != socket.AF_UNIX:
            option = _RESET_ON_CLOSE if wanted else _END_ON_CLOSE
            with contextlib.suppress(OSError):  # it is closed already
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)

    async def send(self, head: bytes, body: Body, framing: Framing) -> None:
        """Send `head` and all parts of `body`. The head leaves with the first of them if that is there
        already, else at once. Raises BodyAborted when parts end early or are too many; the caller must then
        break the connection."""
        left = body.length
        self._head = head
        waiting = self._loop.call_soon(self._flush)
        parts = body.parts()
        try:
            async for part in parts:
                size = part.length if isinstance(part, FileSlice) else len(part)
                if not size:
                    continue
                if left is not None:
                    left -= size
                    if left < 0:
                        raise BodyAborted("a body was longer than announced")
                await self._send_part(part, size, framing)
                self.sent += size
        finally:
            waiting.cancel()
            self._flush()
            await close_parts(parts)
        if left:
            raise BodyAborted("a body was shorter than announced")
        if framing is Framing.CHUNKED:
            self._transport.write(b"0\r\n\r\n")

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head:
            self._transport.write(head)

    async def _send_part(self, part: Part, size: int, framing: Framing) -> None:
        await self._ready()
        chunked = framing is Framing.CHUNKED
        if not isinstance(part, FileSlice):
            if size > self._piece:
                self._flush()
                await self._send_pieces(part, size, chunked)
                return
            head, self._head = self._head, b""
            if chunked:
                self._transport.writelines((head, b"%x\r\n" % size, part, b"\r\n"))
            elif head:
                self._transport.writelines((head, part))
            else:
                self._transport.write(part)
            return
        self._flush()
        if chunked:
            self._transport.write(b"%x\r\n" % size)
        await self._send_file(part)
        if chunked:
            self._transport.write(b"\r\n")

    async def _send_pieces(self, part: bytes | memoryview, size: int, chunked: bool) -> None:
        view = memoryview(part)
        if chunked:
            self._transport.write(b"%x\r\n" % size)
        for start in range(0, size, self._piece):
            await self._ready()
            self._transport.write(view[start : start + self._piece])
        if chunked:
            self._transport.write(b"\r\n")

    def queue_file(self, file: KeptFile, size: int) -> None:
        """Hand the first `size` bytes of a file to the transport, behind what was written, without waiting
        for them to leave. A file that turns out to be another when they have ends the connection."""
        if self._transport.is_closing():
            return

        def sent(future: asyncio.Future[None]) -> None:
            if not future.cancelled() and future.exception() is None and not file.is_unchanged():
                self.reset_on_close(True)
                self._transport.abort()

        with contextlib.suppress(OSError, RuntimeError):  # the transport has ended itself, and tells
            queued = self._transport.sendfile(file, 0, size)
            if queued is not None:
                queued.add_done_callback(sent)

    async def _send_file(self, part: FileSlice) -> None:
        self._sending.add(self)
        try:
            await self._send_file_pieces(part)
        finally:
            self._sending.discard(self)

    async def _send_file_pieces(self, part: FileSlice) -> None:
        offset, end = part.offset, part.offset + part.length
        while offset < end:
            share = max(SENDFILE_BYTES_MIN, SENDFILE_TURN_BYTES // len(self._sending))
            size = min(SENDFILE_BYTES, share, end - offset)
            if not page_cache.holds(part.file.fileno(), offset, size):
                await self._loop.run_in_executor(None, page_cache.load, part.file.fileno(), offset, size)
            file: Any = part.file  # only its fileno() is used
            try:
                await aiofastnet.sendfile(self._loop, self._transport, file, offset, size)
            except NotImplementedError:  # TLS without help of the kernel
                await self._copy_file(part, offset, size)
            except (OSError, RuntimeError) as error:
                raise BodyAborted(f"sendfile: {error}") from error
            # sendfile ends in silence at the end of a file that shrank meanwhile.
            self._check_size(part, offset + size)
            offset += size
            await self._ready()
            if offset < end:
                await asyncio.sleep(0)

    def _check_size(self, part: FileSlice, end: int) -> None:
        if os.fstat(part.file.fileno()).st_size < end:
            raise BodyAborted("a file is shorter than its body")

    async def _copy_file(self, part: FileSlice, offset: int, size: int) -> None:
        end = offset + size
        descriptor = part.file.fileno()
        buffer = memoryview(bytearray(min(_COPY_BYTES, size)))  # the transport copies what it cannot send
        while offset < end:
            await self._ready()
            wanted = buffer[: end - offset]
            count = page_cache.read(descriptor, offset, wanted)
            if count is None:
                count = await self._loop.run_in_executor(None, os.preadv, descriptor, [wanted], offset)
                await self._ready()
            if not count:
                raise BodyAborted("a file is shorter than its body")
            self._transport.write(wanted[:count])
            offset += count


async def close_parts(parts: AsyncIterator[Part]) -> None:
    aclose = getattr(parts, "aclose", None)
    if aclose is not None:
        await aclose()
