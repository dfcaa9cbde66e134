"""The content of a request on its way up: pulled from the client as fast as the upstream takes it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import pycurl

from edgeproxy.message import RequestBody

_UNSENT_MAX = 256 << 10


class Upload:
    """A bounded queue between a RequestBody and libcurl's read callback. `resume` is called when
    bytes have come for a callback that found none."""

    __slots__ = ("_body", "_ended", "_pieces", "_room", "_unsent", "length", "paused", "resume")

    def __init__(self, body: RequestBody) -> None:
        self._body = body
        self._pieces: deque[memoryview] = deque()
        self._unsent = 0
        self._ended = False
        self._room = asyncio.Event()
        self.length = body.length
        self.paused = False  # libcurl waits for us, that is for the client
        self.resume: Callable[[], None] = _nothing

    async def pump(self) -> None:
        """Read the body to its end. Raises what the body raises."""
        async for piece in self._body:
            if piece:
                self._pieces.append(memoryview(piece))
                self._unsent += len(piece)
                self._wake()
            while self._unsent >= _UNSENT_MAX:
                self._room.clear()
                await self._room.wait()
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self.paused:
            self.paused = False
            self.resume()

    def close(self) -> None:
        """Nobody is called any more."""
        self.resume = _nothing

    def read(self, size: int) -> bytes | int:
        """libcurl's read callback: up to `size` bytes, b"" at the end, or a pause."""
        if not self._pieces:
            if self._ended:
                return b""
            self.paused = True
            return int(pycurl.READFUNC_PAUSE)
        piece = self._pieces.popleft()
        if len(piece) > size:
            self._pieces.appendleft(piece[size:])
            piece = piece[:size]
        self._unsent -= len(piece)
        self._room.set()
        return bytes(piece)


def _nothing() -> None:
    return None
