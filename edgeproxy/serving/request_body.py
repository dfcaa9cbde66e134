"""The content of a request on its way to the handler: a bounded queue with an explicit end."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from edgeproxy.errors import BodyAborted, EdgeError
from edgeproxy.message import Headers

QUEUE_BYTES = 64 << 10  # beyond this the client is not read until the handler has caught up


class IncomingBody:
    """A RequestBody fed by a connection. `wanted` is called when reading begins (it answers Expect:
    100-continue), `eased` whenever the handler took something."""

    __slots__ = (
        "_ended",
        "_error",
        "_length",
        "_pieces",
        "_read",
        "_waiter",
        "_wanted",
        "eased",
        "queued",
        "trailers",
    )

    def __init__(self, length: int | None, wanted: Callable[[], None], eased: Callable[[], None]) -> None:
        self._length = length
        self._wanted = wanted
        self.eased = eased
        self._pieces: deque[bytes] = deque()
        self._ended = False
        self._error: EdgeError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._read = False
        self.queued = 0
        self.trailers = Headers()

    @property
    def length(self) -> int | None:
        return self._length

    @property
    def full(self) -> bool:
        return self.queued > QUEUE_BYTES

    def feed(self, piece: bytes) -> None:
        if piece:
            self._pieces.append(piece)
            self.queued += len(piece)
            self._wake()

    def finish(self) -> None:
        """The proven end is here."""
        self._ended = True
        self._wake()

    def fail(self, error: EdgeError) -> None:
        """No more will come, and the end was not reached. The first failure counts."""
        if not self._ended and self._error is None:
            self._error = error
            self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._read:
            raise BodyAborted("a request body can be read only once")
        self._read = True
        if not self._ended:
            self._wanted()
        while True:
            while self._pieces:
                piece = self._pieces.popleft()
                self.queued -= len(piece)
                self.eased()
                yield piece
            if self._error is not None:
                raise self._error
            if self._ended:
                return
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
