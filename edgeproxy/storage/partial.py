"""A body that is there in part: a store.PartialBody.

What is there is decided on the loop alone. A write claims the holes of its range, threads write them and
sum them up, and back on the loop they become extents; who else wants the same bytes waits for those. So
any number of fetchers may write into one body, and no byte is written or counted twice.

What is there is written down about once a second while pieces (4 MiB) become whole, and to the byte by
`sync` and at the end. Of what was written after that, a killed process leaves nothing to believe in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from msgspec.structs import replace

from edgeproxy.errors import StorageError
from edgeproxy.message import Clock, FileSlice, Part
from edgeproxy.policy.spans import Spans
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.storage import partial_rows, record
from edgeproxy.storage.crash import reach
from edgeproxy.storage.disk import DiskTier
from edgeproxy.storage.extents import Extent, Extents
from edgeproxy.storage.partial_file import PartialFile
from edgeproxy.storage.partial_rows import PartialRow
from edgeproxy.storage.record import Damaged
from edgeproxy.storage.threads import Threads

T = TypeVar("T")
SYNC_SECONDS = 1.0


class Owner(Protocol):
    """What a partial body needs of the store it belongs to."""

    clock: Clock

    def start(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]: ...

    async def commit(self, partial: Partial, stored: StoredResponse) -> StoredResponse | None: ...

    async def set_aside(self, partial: Partial, why: str) -> None: ...

    def closed(self, partial: Partial) -> None: ...


class Partial:
    """Used on the loop, except `read` and `forget`. `held` bytes of it are accounted for. `told` is what its
    row in the index says about that, None without a row: whoever removes the row accounts for so much."""

    def __init__(
        self,
        owner: Owner,
        disk: DiskTier,
        threads: Threads,
        stored: StoredResponse,
        file: PartialFile,
        extents: Extents,
        held: int,
        told: int | None,
    ) -> None:
        self.stored = stored
        self.told = told
        self.file, self.extents, self.held = file, extents, held
        self.is_closed = False
        self.has_ended = False  # committed, discarded or set aside: no part of it is to be kept
        self._owner, self._disk, self._threads = owner, disk, threads
        self._taken = extents.spans.copy()  # there, or being written
        self._landing: dict[asyncio.Future[None], tuple[int, int]] = {}  # being written
        self._awaited: list[tuple[int, int]] = []  # what calls of `write` wait for
        self._proofs: dict[int, asyncio.Task[bool | StorageError]] = {}  # by start of the extent
        self._failure: StorageError | None = None
        self.writing_down = asyncio.Lock()
        self._written_down = asyncio.get_running_loop().time()
        self._is_due = False
        self._pieces_filled = extents.pieces_filled

    def __repr__(self) -> str:
        return f"<Partial {self.stored.body} {self.spans.total}/{self.size}>"

    @property
    def size(self) -> int:
        return self.stored.body_bytes

    @property
    def spans(self) -> Spans:
        return self.extents.spans

    def fileno(self) -> int:
        return self.file.fileno()

    # -- writing -------------------------------------------------------------------------------

    async def write(self, offset: int, chunks: Sequence[bytes | memoryview]) -> None:
        end = offset + sum(len(chunk) for chunk in chunks)
        if not 0 <= offset <= end <= self.size:
            raise StorageError("bytes beyond the end of the body")
        self._must_be_open()
        for start, stop in list(self._taken.holes(offset, end)):
            self._begin(start, stop, _cut(chunks, start - offset, stop - offset))
        # A caller may be cancelled while the threads go on: the writes outlive the call.
        waited = [
            landing for landing, (first, last) in self._landing.items() if first < end and offset < last
        ]
        self._awaited.append((offset, end))
        try:
            if waited:
                await asyncio.wait(waited)
            if not self.spans.holds(offset, end):
                raise self._failure or StorageError("what was written has been dropped since")
            self._thin_out()
        finally:
            self._awaited.remove((offset, end))

    def _must_be_open(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self.is_closed or self.has_ended:
            raise StorageError("this body is not being stored any more")

    def _begin(self, start: int, end: int, chunks: Sequence[bytes | memoryview]) -> None:
        before = self.extents.crc_before(start)
        job = self._threads.run(self.file.write, start, chunks, before)
        landing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._taken.add(start, end)
        self._landing[landing] = (start, end)

        def landed(job: asyncio.Future[list[tuple[int, int, int]]]) -> None:
            del self._landing[landing]
            self._landed(job, start, end, before)
            landing.set_result(None)

        job.add_done_callback(landed)

    def _landed(
        self, job: asyncio.Future[list[tuple[int, int, int]]], start: int, end: int, before: int
    ) -> None:
        error = asyncio.CancelledError() if job.cancelled() else job.exception()
        if error is not None:
            failure = error if isinstance(error, StorageError) else StorageError(f"disk: write: {error!r}")
            self._failure = self._failure or failure
            self._taken.remove(start, end)
            return
        self.held += end - start
        for first, last, crc in job.result():
            self.extents.add(first, last, crc, before if first == start else 0)
        if self.extents.pieces_filled != self._pieces_filled and not self._is_due:
            self._write_down_later()

    def _thin_out(self) -> None:
        """Far more scattered bytes than can be kept in mind: the shortest runs count as absent again. They
        stay in the file, so who is sending them goes on."""
        excess = self.extents.excess(self._awaited)
        for extent in excess:
            if self.extents.drop(extent):
                self._taken.remove(extent.start, extent.end)
        if excess:  # they may be written, and accounted for, once more: the file knows what it takes
            self._write_down_later()

    async def settle(self) -> None:
        """Wait until no thread writes any more."""
        while self._landing:
            await asyncio.wait(list(self._landing))

    # -- reading -------------------------------------------------------------------------------

    async def check(self, start: int, end: int) -> None:
        if self.is_closed or not self.spans.holds(start, end):
            raise StorageError("bytes that are not there")
        suspects = [extent for extent in self.extents.within(start, end) if not extent.is_proven]
        if not suspects:
            return
        for extent in suspects:
            if extent.start not in self._proofs:
                proof = self._owner.start(self._prove(extent), "prove a piece of a partial body")
                self._proofs[extent.start] = proof
        proofs = [asyncio.shield(self._proofs[extent.start]) for extent in suspects]
        results = await asyncio.gather(*proofs)
        for result in results:
            if isinstance(result, StorageError):
                raise result
        if not all(results):
            raise Damaged("a piece of a partial body is damaged")
        if not self.spans.holds(start, end):
            raise StorageError("bytes that are not there any more")

    async def _prove(self, extent: Extent) -> bool | StorageError:
        """Once for all who ask."""
        try:
            is_right = await self._threads.run(self.file.prove, extent)
        except StorageError as error:
            return error
        finally:
            del self._proofs[extent.start]
        if is_right:
            self.extents.prove(extent)
        elif self.extents.drop(extent):
            self._taken.remove(extent.start, extent.end)
            self._threads.note("corrupt_total", "partial", "a piece of a partial body was damaged")
            self._write_down_later()
        return is_right

    def slice(self, start: int, end: int) -> Part:
        if self.is_closed or not 0 <= start <= end or not self.spans.holds(start, end):
            raise StorageError("bytes that are not there")
        self._disk.uses.used(self.stored.body, start, end)
        return FileSlice(self, start, end - start)

    def read(self, start: int, end: int) -> bytes:
        return self.file.read(start, end)

    # -- writing down --------------------------------------------------------------------------

    async def freshen(self, stored: StoredResponse) -> None:
        mine = self.stored
        self.stored = replace(
            stored,
            body=mine.body,
            body_bytes=mine.body_bytes,
            digest=stored.digest or mine.digest,
            sequence=max(mine.sequence, stored.sequence),
        )
        await self.sync()

    async def sync(self) -> None:
        self._must_be_open()
        failure = await asyncio.shield(self._owner.start(self._try(), "write down a partial body"))
        if failure is not None:
            raise failure

    async def _try(self) -> StorageError | None:
        try:
            await self.write_down()
        except StorageError as error:
            return error
        return None

    def _write_down_later(self) -> None:
        if not self._is_due and not self.is_closed:
            self._is_due = True
            self._owner.start(self._write_down_soon(), "write down a partial body")

    async def _write_down_soon(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._written_down + SYNC_SECONDS - loop.time()))
        self._is_due = False
        if self.is_closed or self.has_ended:
            return
        try:
            await self.write_down()
        except StorageError as error:
            self._threads.note("storage_errors_total", "partial", str(error))

    async def write_down(self) -> None:
        """What is there, to the index; the bytes themselves before that. Raises StorageError."""
        async with self.writing_down:
            if self.has_ended:
                return
            self._written_down = asyncio.get_running_loop().time()
            self._pieces_filled = self.extents.pieces_filled
            stored, extents = self.stored, self.extents.encode()
            data = record.encode(stored)
            if not self._landing:
                await self._measure()
            if self._disk.limits.sync:
                await self._sync_file()
            reach("partial-before-index")
            row, now = PartialRow(stored, self.held, extents), self._owner.clock()
            self._disk.partial_keys.note(row.stored)
            written = self._disk.index.submit(lambda c: partial_rows.put(c, row, data, now))
            await asyncio.wrap_future(written)
            self.told = row.allocated

    async def _sync_file(self) -> None:
        """A disk that failed to take bytes says so once, and what it lost may be read wrong later on."""
        try:
            await self._threads.run(self.file.sync)
        except StorageError as error:
            self._failure = self._failure or error
            raise

    async def _measure(self) -> None:
        """Account for what the file takes, unless it grows in the meantime."""
        before = self.held
        real = await self._threads.run(self.file.allocated)
        if not self._landing and self.held == before:
            self.correct(real)

    def correct(self, real: int) -> None:
        self._disk.account(real - self.held)
        self.held = real

    # -- the end -------------------------------------------------------------------------------

    async def commit(self, stored: StoredResponse, digest: str) -> StoredResponse | None:
        await self.settle()
        if self.is_closed or self.has_ended or self.spans.total != self.size:
            return None
        stored = replace(
            stored,
            body=self.stored.body,
            body_bytes=self.size,
            sequence=self.stored.sequence,
            digest=digest or stored.digest,
        )
        return await self._owner.commit(self, stored)

    async def discard(self) -> None:
        if not self.has_ended and not self.is_closed:
            await asyncio.shield(self._owner.start(self._end(self._remove), "discard a partial body"))

    async def quarantine(self, why: str) -> None:
        if not self.has_ended and not self.is_closed:
            work = self._end(lambda: self._owner.set_aside(self, why))
            await asyncio.shield(self._owner.start(work, "quarantine"))

    async def _end(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async with self.writing_down:
            if self.has_ended:
                return
            self.has_ended = True
            await self.settle()
            try:
                await work()
            except StorageError as error:
                self._threads.note("storage_errors_total", "partial", str(error))

    async def _remove(self) -> None:
        await self._threads.run(self.forget)

    def forget(self) -> None:
        """Remove file and row. Blocks. Raises StorageError."""
        try:
            self._disk.forget_partials([self.stored.body])
        except StorageError:
            self._leave_row()
            raise
        self._disk.account(-self.held)
        self.held = 0

    def _leave_row(self) -> None:
        """Account for what the row says, from which somebody will go on."""
        self._disk.account((self.told or 0) - self.held)
        self.held = self.told or 0

    async def release(self) -> None:
        """Write down to the byte what is there; from now on it belongs to somebody else. Raises
        StorageError."""
        await self.settle()
        if self.has_ended or self.is_closed:
            return
        try:
            if self.spans.total:
                await self.write_down()
        finally:
            self.has_ended = True

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self._owner.closed(self)

    async def finish(self) -> None:
        """Write down to the byte what stays. Raises StorageError."""
        await self.settle()
        if self.has_ended:
            return
        if not self.spans.total:
            await self._end(self._remove)
            return
        try:
            await self.write_down()
        except StorageError:
            if self.told is None:  # nobody would ever find it
                await self._end(self._remove)
            else:
                self._leave_row()
            raise


def _cut(chunks: Sequence[bytes | memoryview], start: int, end: int) -> list[bytes | memoryview]:
    """Bytes [start, end) of `chunks`, counted from their beginning."""
    found: list[bytes | memoryview] = []
    for chunk in chunks:
        if start < len(chunk) and end > 0:
            found.append(memoryview(chunk)[max(0, start) : end] if start > 0 or end < len(chunk) else chunk)
        start -= len(chunk)
        end -= len(chunk)
    return found
