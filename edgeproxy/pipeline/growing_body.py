"""The bytes of one fill as they arrive, and those who read them.

    0                 written              received        size
    |--- in the store ---|--- in the window ---|--- to come ---|

What the store has taken is read back from it (sendfile behind the frontier); what it has not is in
the window, in memory. A reader waits for an offset and never for the end, so late joiners start at
once and cost the same memory as the first. If the store fails, or there is none, the window keeps
what the slowest reader has not had yet, and the fill pauses when it is full.

The end is explicit: `complete` or `fail`, never inferred from silence."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from edgeproxy.errors import BodyAborted
from edgeproxy.message import FileSlice, Part


class Written(Protocol):
    """Where stored bytes are read back: the part of a BodyWriter that readers use."""

    def slice(self, start: int, end: int) -> Part: ...


def _never() -> bool:
    return False


class GrowingBody:
    """Owned by one fill, which appends; read by any number of readers. Offsets and sizes in bytes.

    `size` is the announced length, None if only the end tells. With `hold` bytes held back, readers
    get everything but the last `hold` bytes until `complete`; in any case the piece that completes
    an announced length is held until then, so that no client can see the end before the fill has
    proven it."""

    def __init__(self, size: int | None, *, hold: int, window_bytes_max: int) -> None:
        self.size = size
        self.received = 0
        self.written = 0
        self.error: BaseException | None = None
        self.is_complete = False
        self.store: Written | None = None
        self.store_failed = True  # until `store_in` says where bytes go, the window is all there is
        self._hold = hold
        self._window: deque[tuple[int, bytes]] = deque()
        self._window_bytes_max = window_bytes_max
        self._visible = 0
        self._readers: set[Reader] = set()
        self.on_left: Callable[[], None] | None = None  # called when the last reader has left
        self.is_awaited: Callable[[], bool] = _never  # whether somebody is about to read from 0
        self._progress = asyncio.Event()  # set and replaced whenever readers may go on
        self._room = asyncio.Event()
        self._room.set()

    def __repr__(self) -> str:
        state = "complete" if self.is_complete else "failed" if self.error else "growing"
        return f"<GrowingBody {state} {self.received}/{self.size} readers={len(self._readers)}>"

    # -- the fill's side -----------------------------------------------------------------------

    def store_in(self, store: Written) -> None:
        """From now on bytes also go to `store`; `stored` reports how far."""
        self.store = store
        self.store_failed = False

    def append(self, data: bytes) -> None:
        start = self.received
        self._window.append((start, data))
        self.received += len(data)
        visible = self.received - self._hold
        if self.size is not None and self.received >= self.size:
            visible = min(visible, start)
        if visible > self._visible:
            self._visible = visible
            self._wake()

    def stored(self, upto: int) -> None:
        """The store has taken everything before `upto`: the window lets go of it."""
        self.written = upto
        self._trim(upto)

    def storing_failed(self) -> None:
        """The store takes no more. What it has stays readable; the window keeps the rest."""
        self.store_failed = True

    @property
    def window_start(self) -> int:
        return self._window[0][0] if self._window else self.received

    @property
    def is_joinable(self) -> bool:
        """Whether a new reader could still get every byte from the first."""
        return self.error is None and self.window_start <= self.written

    @property
    def has_readers(self) -> bool:
        return bool(self._readers)

    async def room(self) -> None:
        """Wait until the window may take more. Only a window without a store can be full, since the
        fill itself waits for the store; then the slowest reader makes room."""
        while self.store_failed and self.received - self.window_start >= self._window_bytes_max:
            self._trim_to_readers()
            if self.received - self.window_start < self._window_bytes_max:
                return
            self._room.clear()
            await self._room.wait()

    def received_all(self) -> None:
        """Nothing more is appended. A body that went on knowing its fill would be garbage in a circle with
        it, which is found late."""
        self.is_awaited = _never

    def complete(self) -> None:
        """All bytes are here and proven right."""
        self.size = self.received
        self.is_complete = True
        self._visible = self.received
        self._wake()

    def fail(self, error: BaseException) -> None:
        """No more bytes will come: every reader that is owed some raises BodyAborted."""
        self.error = error
        self._wake()

    def _wake(self) -> None:
        self._progress.set()
        self._progress = asyncio.Event()

    def _trim(self, upto: int) -> None:
        window = self._window
        while window and window[0][0] + len(window[0][1]) <= upto:
            window.popleft()

    def _trim_to_readers(self) -> None:
        # A fill nobody reads keeps nothing: whether it goes on is decided by the fill.
        if self.is_awaited():
            return
        slowest = min((reader.offset for reader in self._readers), default=self.received)
        self._trim(slowest)

    # -- the readers' side ---------------------------------------------------------------------

    def reader(self, start: int, end: int | None) -> Reader:
        """A reader of [start, end); to the end of the body for None. Counts as one until closed."""
        reader = Reader(self, start, end)
        self._readers.add(reader)
        return reader

    def left(self, reader: Reader) -> None:
        self._readers.discard(reader)
        self._room.set()
        if not self._readers and self.on_left is not None:
            self.on_left()

    def advanced(self) -> None:
        self._room.set()

    async def available(self, offset: int) -> int:
        """Wait for bytes at `offset`; gives the frontier up to which readers may have them, which is
        `offset` itself at the end of the body. Raises BodyAborted if they will not come."""
        while True:
            if self._visible > offset:
                return self._visible
            if self.is_complete:
                return self._visible
            if self.error is not None:
                raise BodyAborted(f"the fill ended early: {self.error}") from self.error
            await self._progress.wait()

    def read(self, start: int, end: int) -> Part:
        """Some bytes from `start`, at most to `end`, all before the frontier."""
        if start < self.written and self.store is not None:
            return self.store.slice(start, min(end, self.written))
        for offset, data in self._window:
            if start < offset + len(data):
                if start < offset:
                    break
                if offset == start and end >= offset + len(data):
                    return data
                return memoryview(data)[start - offset : end - offset]
        raise BodyAborted("bytes asked for are no longer in the window")


class Reader:
    """One taker of a GrowingBody: a message.Body. Closing it lets the fill know."""

    def __init__(self, body: GrowingBody, start: int, end: int | None) -> None:
        self._body = body
        self._start = start
        self._end = end if end is not None else body.size
        self.offset = start

    @property
    def length(self) -> int | None:
        return None if self._end is None else self._end - self._start

    async def parts(self) -> AsyncIterator[Part]:
        body = self._body
        while self._end is None or self.offset < self._end:
            frontier = await body.available(self.offset)
            if frontier <= self.offset:
                if self._end is not None:
                    raise BodyAborted("the body is shorter than announced")
                return
            end = frontier if self._end is None else min(frontier, self._end)
            part = body.read(self.offset, end)
            yield part
            self.offset += part.length if isinstance(part, FileSlice) else len(part)
            body.advanced()

    async def aclose(self) -> None:
        self._body.left(self)
