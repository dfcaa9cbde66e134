"""The bytes of a large body while they are put together, in any order, and those who read them.

Readers wait for an offset and are woken by the bytes that contain it, nobody else is: two hundred of
them cost a running fill next to nothing. What is there is read from the file (sendfile); nothing is
kept in memory for readers. But who has had nothing yet is not made to wait for the disk: their first bytes
are a copy of a piece on its way to it.

While a digest is to be compared, the last bytes are held back from whoever reads the body from its
first byte, so that no client completes it before it is proven. Who reads only a part of it gets its
last bytes when the rest comes soon, else unproven after a short wait: a reader of a file's footer
cannot wait for gigabytes."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from edgeproxy.errors import BodyAborted, StorageError
from edgeproxy.message import Part
from edgeproxy.pipeline.content import Piece
from edgeproxy.policy.spans import Span
from edgeproxy.storage.store import PartialBody

HOLD_BYTES = 64 << 10
# Given to a reader from memory: what a socket takes at once. A crowd would be copied to for longer than the
# disk takes, and could fill the memory.
EARLY_BYTES = 64 << 10
EARLY_READERS = 8
TAIL_PATIENCE_SECONDS = 4.0  # clients give up after ten silent seconds
RUN_BYTES = 4 << 20  # sent at a time, so that proving old bytes delays no first byte for long


class Fallback(Protocol):
    """Bytes straight from upstream for one reader, when the store takes no more."""

    def __call__(self, start: int, end: int) -> AsyncIterator[bytes]: ...


def _nothing(*_: object) -> None:
    return None


async def _nothing_more(start: int, end: int) -> AsyncIterator[bytes]:
    raise BodyAborted("the fill has ended")
    yield b""


class SparseBody:
    """Owned by one fill. `needed` is called when a reader lacks bytes at an offset, `left` when the last
    reader has gone."""

    def __init__(
        self,
        parts: PartialBody,
        *,
        hold: bool,
        needed: Callable[[int], None],
        left: Callable[[], None],
        fallback: Fallback,
    ) -> None:
        self.parts = parts
        self.size = parts.size
        self.error: BaseException | None = None
        self.is_complete = False
        self.store_failed = False
        self._held_from = max(0, self.size - HOLD_BYTES, self.size // 2) if hold else self.size
        self._needed, self._left, self._fallback = needed, left, fallback
        self._readers: set[SparseReader] = set()
        self._waiting: list[tuple[int, int, asyncio.Future[None], SparseReader]] = []
        self._coming: dict[int, _Coming] = {}  # by offset, until they have landed
        self._count = 0

    def __repr__(self) -> str:
        state = "complete" if self.is_complete else "failed" if self.error else "growing"
        return f"<SparseBody {state} {self.parts.spans.total}/{self.size} readers={len(self._readers)}>"

    @property
    def has_readers(self) -> bool:
        return bool(self._readers)

    @property
    def is_read_whole(self) -> bool:
        return any(reader.takes_whole for reader in self._readers)

    def wants(self) -> list[Span]:
        """(next byte, end) of each reader."""
        return [(reader.offset, reader.goal) for reader in self._readers if reader.offset < reader.goal]

    def is_read_near(self, start: int, end: int) -> bool:
        """Whether a reader is about to take bytes of [start, end)."""
        return any(start <= reader.offset < end and reader.offset < reader.end for reader in self._readers)

    # -- the fill's side -----------------------------------------------------------------------

    def coming(self, start: int, data: bytes | memoryview) -> None:
        """A piece is on its way to the file: until `landed`, those who have had nothing yet read from it."""
        self._coming[start] = _Coming(data)
        new = (each for each in self._among(start, start + len(data)) if not each[3].has_begun)
        for _, _, future, _ in islice(new, EARLY_READERS):
            if not future.done():
                future.set_result(None)

    def landed(self, start: int) -> None:
        """The piece that came at `start` is in the file, or never will be."""
        self._coming.pop(start, None)

    def arrived(self, start: int, end: int) -> None:
        """[start, end) can be read now."""
        woken = self._among(start, end)
        if woken:
            first = bisect_left(self._waiting, (start, -1))
            del self._waiting[first : first + len(woken)]
            for _, _, future, _ in woken:
                if not future.done():
                    future.set_result(None)

    def _among(self, start: int, end: int) -> list[tuple[int, int, asyncio.Future[None], SparseReader]]:
        """Those who wait for an offset of [start, end)."""
        waiting = self._waiting
        return waiting[bisect_left(waiting, (start, -1)) : bisect_left(waiting, (end, -1))]

    def complete(self) -> None:
        """All bytes are there and proven right."""
        self.is_complete = True
        self.arrived(0, self.size + 1)

    def fail(self, error: BaseException) -> None:
        """No more bytes will come: every reader that is owed some raises BodyAborted."""
        self.error = error
        self.arrived(0, self.size + 1)

    def close(self) -> None:
        """The last reader has gone. Going on to know its fill would make a circle of both."""
        self._needed, self._left, self._fallback = _nothing, _nothing, _nothing_more

    def storing_failed(self) -> None:
        """The store takes no more: readers get the rest each for itself."""
        self.store_failed = True
        self.arrived(0, self.size + 1)

    # -- the readers' side ---------------------------------------------------------------------

    def reader(self, pieces: tuple[Piece, ...] | None) -> SparseReader:
        """A reader of `pieces`, of the whole for None. Counts as one until closed."""
        reader = SparseReader(self, ((0, self.size),) if pieces is None else pieces)
        self._readers.add(reader)
        return reader

    def closed(self, reader: SparseReader) -> None:
        self._readers.discard(reader)
        if not self._readers:
            self._left()

    def visible(self, offset: int, reader: SparseReader) -> int:
        """Up to where `reader` may have what is there from `offset` on."""
        upto = self.parts.spans.upto(offset)
        if upto <= self._held_from or self.is_complete or reader.is_impatient:
            return upto
        return max(offset, self._held_from)

    def early(self, offset: int, reader: SparseReader) -> bytes:
        """The first bytes for `reader`, of a piece that has not landed yet; b"" if there is none, or they are
        held back. The last byte of an answer always comes from the file: who has had all of it finds it
        here when asking again."""
        if reader.has_begun:
            return b""
        last = reader.end - 1
        if not (self.is_complete or reader.is_impatient):
            last = min(last, self._held_from)
        for start, piece in self._coming.items():
            upto = min(start + len(piece.data), offset + EARLY_BYTES, last)
            if start <= offset < upto and piece.readers_left:
                piece.readers_left -= 1
                return bytes(piece.data[offset - start : upto - start])
        return b""

    async def available(self, offset: int, reader: SparseReader) -> int | bytes:
        """Wait for bytes at `offset`; gives the end of those there, or the first bytes themselves while
        they are on their way to the file, or `offset` itself when the store has failed and they have to be
        fetched for this reader alone. Raises BodyAborted."""
        while True:
            upto = self.visible(offset, reader)
            if upto > offset:
                return upto
            if self.error is not None:
                raise BodyAborted(f"the fill ended early: {self.error}") from self.error
            early = self.early(offset, reader)
            if early:
                return early
            if self.store_failed:
                return offset
            await self._wait(offset, reader)

    async def _wait(self, offset: int, reader: SparseReader) -> None:
        is_held = self.parts.spans.upto(offset) > offset
        if not is_held:
            self._needed(offset)
        future = asyncio.get_running_loop().create_future()
        self._count += 1
        # What is held back becomes visible all at once: those who wait for it wait for the end.
        place = (self.size if is_held else offset, self._count, future, reader)
        insort(self._waiting, place)
        patience = TAIL_PATIENCE_SECONDS if is_held and not reader.takes_whole else None
        try:
            await asyncio.wait_for(future, patience)
        except TimeoutError:
            reader.is_impatient = True
        finally:
            self._forget(place)

    def _forget(self, place: tuple[int, int, asyncio.Future[None], SparseReader]) -> None:
        at = bisect_left(self._waiting, (place[0], place[1]))
        if at < len(self._waiting) and self._waiting[at][1] == place[1]:
            del self._waiting[at]

    def fallback(self, start: int, end: int) -> AsyncIterator[bytes]:
        return self._fallback(start, end)


def _goals(slices: Sequence[Span]) -> list[int]:
    """For each slice where the run of slices that follow each other in the body ends: framing cuts a
    long range into small slices, which are to be fetched as the one range they are."""
    goals: list[int] = []
    following, goal = -1, 0
    for start, end in reversed(slices):
        goal = goal if end == following else end
        goals.append(goal)
        following = start
    return goals[::-1]


@dataclass(slots=True)
class _Coming:
    """A piece on its way to the file, and how many may still have their first bytes of it."""

    data: bytes | memoryview
    readers_left: int = EARLY_READERS


class SparseReader:
    """One taker of a SparseBody: a message.Body. `goal` is the end of what it reads without a gap."""

    def __init__(self, body: SparseBody, pieces: tuple[Piece, ...]) -> None:
        self._body = body
        self._pieces = pieces
        self.length = sum(len(p) if isinstance(p, bytes) else p[1] - p[0] for p in pieces)
        slices = [piece for piece in pieces if not isinstance(piece, bytes)]
        self.offset, self.end = slices[0] if slices else (0, 0)
        self._goals = _goals(slices)
        self.goal = self._goals[0] if slices else 0
        self.takes_whole = sum(end - start for start, end in slices) >= body.size
        self.is_impatient = False
        self.has_begun = False

    async def parts(self) -> AsyncIterator[Part]:
        goals = iter(self._goals)
        for piece in self._pieces:
            if isinstance(piece, bytes):
                yield piece
                continue
            (self.offset, self.end), self.goal = piece, next(goals)
            while self.offset < self.end:
                async for part, length in self._next():
                    self.has_begun = True
                    yield part
                    self.offset += length

    async def _next(self) -> AsyncIterator[tuple[Part, int]]:
        body, offset = self._body, self.offset
        upto = await body.available(offset, self)
        if isinstance(upto, bytes):
            yield upto, len(upto)
            return
        if upto <= offset:
            async for chunk in body.fallback(offset, self.end):
                yield chunk, len(chunk)
            return
        upto = min(upto, self.end, offset + RUN_BYTES)
        try:
            await body.parts.check(offset, upto)
        except StorageError:
            return  # the bytes were not those once written; they are gone from the spans now
        if body.error is not None:
            raise BodyAborted(f"the fill ended early: {body.error}") from body.error
        yield body.parts.slice(offset, upto), upto - offset

    async def aclose(self) -> None:
        self._body.closed(self)


class SparseContent:
    """The content of a large body that is being put together."""

    is_seekable = True

    def __init__(self, body: SparseBody) -> None:
        self._body = body
        self.size = body.size

    def body(self, pieces: tuple[Piece, ...] | None) -> SparseReader:
        return self._body.reader(pieces)

    def close(self) -> None:
        return None
