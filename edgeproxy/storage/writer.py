"""A body on its way into the store: in RAM while it is small, in a temporary file beyond."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from msgspec.structs import replace

from edgeproxy.errors import StorageError
from edgeproxy.message import FileSlice, Part
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.storage.disk import DiskTier
from edgeproxy.storage.integrity import RunningChecksums
from edgeproxy.storage.threads import Threads


class Keeper(Protocol):
    """What a writer needs of the store it belongs to."""

    disk: DiskTier | None

    async def set_aside(self, stored: StoredResponse, data: bytes | None, why: str) -> None: ...

    async def keep_small(
        self, stored: StoredResponse, data: bytes, memory_only: bool
    ) -> StoredResponse | None: ...

    def keep_large(
        self, stored: StoredResponse, fd: int, sums: Sequence[int]
    ) -> asyncio.Task[StoredResponse | None]: ...


class Writer:
    """A store.BodyWriter. `memory_bytes_max` is how much stays in RAM; beyond it the body goes to a
    file, or fails if `memory_only`. `ended` is told when it can commit nothing any more."""

    def __init__(
        self,
        keeper: Keeper,
        threads: Threads,
        body: str,
        key: str,
        *,
        sequence: int,
        memory_bytes_max: int,
        memory_only: bool,
        ended: Callable[[Writer], None],
    ) -> None:
        self.body, self.key, self.sequence = body, key, sequence
        self.written = 0
        self.memory_only = memory_only
        self._keeper, self._ended = keeper, ended
        self._threads = threads
        self._memory_bytes_max = memory_bytes_max
        self._buffer: bytearray | None = bytearray()
        self._fd = -1
        self._job: asyncio.Future[Any] | None = None
        self._reserved = 0
        self._sums = RunningChecksums()
        self._is_dead = False
        self._is_ended = False

    @property
    def job(self) -> asyncio.Future[Any] | None:
        """What a thread does for it just now."""
        return self._job

    def fileno(self) -> int:
        if self._fd < 0:
            raise ValueError("the writer is closed")
        return self._fd

    async def write(self, chunks: Sequence[bytes]) -> None:
        if self._is_dead or self._is_ended:
            raise StorageError("this body is not being stored any more")
        size = sum(len(chunk) for chunk in chunks)
        buffer = self._buffer
        if buffer is not None and self.written + size <= self._memory_bytes_max:
            for chunk in chunks:
                buffer += chunk
            self.written += size
            return
        try:
            await self._write_file(chunks, size)
        except BaseException:
            self._is_dead = True
            raise

    async def _write_file(self, chunks: Sequence[bytes], size: int) -> None:
        disk = self._keeper.disk
        if disk is None or self.memory_only:
            raise StorageError("the body is too large for the RAM tier")
        if self.written + size > disk.limits.bytes_max:
            raise StorageError("the body is larger than the disk tier")
        if self._buffer is not None:
            chunks = [bytes(self._buffer), *chunks]
        start = 0 if self._buffer is not None else self.written
        # A caller may be cancelled while the thread goes on: the job outlives the call.
        self._job = self._threads.run(self._append, disk, chunks, start)
        self._job.add_done_callback(_seen)
        end = await asyncio.shield(self._job)
        self._buffer = None
        self.written = end

    def _append(self, disk: DiskTier, chunks: Sequence[bytes], offset: int) -> int:
        if self._fd < 0:
            self._fd = disk.create(self.body)
        end = disk.append(self._fd, chunks, offset)
        self._reserved = end
        for chunk in chunks:
            self._sums.add(chunk)
        return end

    def slice(self, start: int, end: int) -> Part:
        if not 0 <= start <= end <= self.written:
            raise StorageError("bytes that are not there")
        if self._buffer is not None:
            return bytes(self._buffer[start:end])
        return FileSlice(self, start, end - start)

    async def commit(self, stored: StoredResponse, digest: str) -> StoredResponse | None:
        if self._is_dead or self._is_ended or stored.key != self.key:
            return None
        self._is_ended = True
        stored = _completed(stored, self, digest)
        if self._buffer is not None:
            try:
                return await self._keeper.keep_small(stored, bytes(self._buffer), self.memory_only)
            finally:
                self._ended(self)
        # The thread uses the descriptor until the job ends, also when the caller is cancelled: a
        # descriptor closed before that may already be another file's.
        job = self._job = self._keeper.keep_large(stored, self._fd, self._sums.finish())
        job.add_done_callback(lambda _: self._ended(self))
        return await asyncio.shield(job)

    async def abort(self) -> None:
        if not self._is_ended:
            self._give_up()

    async def quarantine(self, stored: StoredResponse, why: str) -> None:
        if self._is_ended:
            return
        data = None if self._buffer is None else bytes(self._buffer)
        if not (self.memory_only or self._is_dead):
            await self._keeper.set_aside(_completed(stored, self, ""), data, why)
        await self.abort()

    def _give_up(self) -> None:
        self._is_ended = True
        self._after_job(self._remove)
        self._ended(self)

    def _remove(self) -> None:
        disk = self._keeper.disk
        if disk is not None and self._fd >= 0:
            self._threads.later(disk.discard, self.body)
            disk.account(-self._reserved)

    def close(self) -> None:
        if not self._is_ended:
            self._give_up()
        self._after_job(self._close)

    def _close(self) -> None:
        if self._fd >= 0:
            # The last close of a removed file frees its blocks, which can take long.
            self._threads.later(os.close, self._fd)
            self._fd = -1

    def _after_job(self, work: Callable[[], None]) -> None:
        if self._job is None or self._job.done():
            work()
        else:
            self._job.add_done_callback(lambda _: work())


def _seen(job: asyncio.Future[Any]) -> None:
    if not job.cancelled():
        job.exception()


def _completed(stored: StoredResponse, writer: Writer, digest: str) -> StoredResponse:
    return replace(
        stored,
        body=writer.body,
        body_bytes=writer.written,
        sequence=writer.sequence,
        digest=digest or stored.digest,
    )
