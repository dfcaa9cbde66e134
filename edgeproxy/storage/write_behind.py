"""Small bodies on their way from RAM to disk: a bounded queue and one task that empties it.

It gives others a moment to come too: what is written together costs one hop to a thread and one transaction
of the index, which is more than the files cost."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from edgeproxy.errors import StorageError
from edgeproxy.message import Clock
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.storage import record, tables
from edgeproxy.storage.disk import DiskTier
from edgeproxy.storage.integrity import RunningChecksums
from edgeproxy.storage.publishing import Insert, publish

T = TypeVar("T")
QUEUE_BYTES_MAX = 64 << 20
QUEUE_MAX = 4096
BATCH_MAX = 32
ROOM_SECONDS = 5.0
GATHER_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Pending:
    stored: StoredResponse
    data: bytes


class WriteBehind:
    """`run` does blocking work in the disk's threads. `current` gives a response as it is held now (it
    may have been freshened), None if it is not wanted any more; `settled` is told of each one when it is
    on disk or given up. Used on the loop only."""

    def __init__(
        self,
        disk: DiskTier,
        *,
        clock: Clock,
        run: Callable[..., asyncio.Future[None]],
        current: Callable[[StoredResponse], StoredResponse | None],
        settled: Callable[[StoredResponse], None],
    ) -> None:
        self._disk = disk
        self._clock = clock
        self._run = run
        self._current = current
        self._settled = settled
        self._queue: deque[Pending] = deque()
        self._bytes = 0
        self._work = asyncio.Event()
        self._hurry = asyncio.Event()
        self._room = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    async def put(self, pending: Pending) -> None:
        """Waits for room, at most 5 s; then raises StorageError."""
        deadline = asyncio.get_running_loop().time() + ROOM_SECONDS
        while self._bytes >= QUEUE_BYTES_MAX or len(self._queue) >= QUEUE_MAX:
            self._room.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._room.wait()
            except TimeoutError:
                raise StorageError("the disk is too slow: the write-behind queue is full") from None
        self._queue.append(pending)
        self._bytes += len(pending.data)
        self._idle.clear()
        self._work.set()
        if len(self._queue) >= BATCH_MAX:
            self._hurry.set()

    async def flush(self) -> None:
        """Wait until everything put so far has been tried."""
        if not self._idle.is_set():
            self._hurry.set()
        await self._idle.wait()

    async def run_forever(self) -> None:
        """The task that writes; runs until cancelled."""
        while True:
            await self._work.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GATHER_SECONDS):
                    await self._hurry.wait()
            await self.drain()
            self._work.clear()
            self._hurry.clear()

    async def drain(self) -> None:
        """Write all that waits."""
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(BATCH_MAX, len(self._queue)))]
            try:
                wanted = [pending for pending in batch if self._current(pending.stored) is not None]
                if wanted:
                    await asyncio.shield(self._run(self._write, wanted))
            finally:
                for pending in batch:
                    self._bytes -= len(pending.data)
                    self._settled(pending.stored)
                self._room.set()
        self._idle.set()

    def _write(self, batch: list[Pending]) -> None:
        published: list[tuple[StoredResponse, int]] = []
        for pending in batch:
            with contextlib.suppress(StorageError):
                published.append((pending.stored, self._publish(pending)))
        begun: list[tuple[StoredResponse, Insert]] = []
        for stored, allocated in published:
            current = self._current(stored)
            if current is not None:
                begun.append((current, Insert(self._disk, current, allocated, self._clock())))
                continue
            with contextlib.suppress(StorageError):
                self._take_back(stored, allocated)
        for stored, inserting in begun:
            with contextlib.suppress(StorageError):
                self._finish(stored, inserting)

    def _publish(self, pending: Pending) -> int:
        """Write the file; gives the bytes it takes. Raises StorageError."""
        disk, stored = self._disk, pending.stored
        sums = RunningChecksums()
        sums.add(pending.data)
        fd = disk.create(stored.body)
        try:
            try:
                disk.append(fd, [pending.data], 0)
            except StorageError:
                disk.discard(stored.body)
                raise
            return publish(disk, fd, stored, sums.finish())
        finally:
            with contextlib.suppress(OSError):  # closed all the same; the checksums tell
                os.close(fd)

    def _take_back(self, stored: StoredResponse, allocated: int) -> None:
        """A file of what is not wanted any more. Raises StorageError."""
        disk = self._disk
        disk.publishing.discard(stored.body)
        disk.unlink(stored.body)
        disk.account(-allocated)

    def _finish(self, stored: StoredResponse, inserting: Insert) -> None:
        """Raises StorageError."""
        disk = self._disk
        inserting.finish()
        last = self._current(stored)
        if last is None:
            disk.drop([stored.body])
        elif last is not stored:  # freshened before there was a row to freshen
            data = record.encode(last)
            disk.index.submit(lambda c: tables.freshen(c, last, data)).result()
