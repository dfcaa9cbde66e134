"""The partial bodies of a store: finding them, one owner each, and what becomes of them."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from msgspec.structs import replace

from edgeproxy.errors import StorageError
from edgeproxy.message import Clock
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.storage import partial_rows
from edgeproxy.storage.disk import DiskTier
from edgeproxy.storage.extents import Extents
from edgeproxy.storage.generations import Generations, Verdict
from edgeproxy.storage.partial import Partial
from edgeproxy.storage.partial_file import PartialFile
from edgeproxy.storage.publishing import insert, link, name_body
from edgeproxy.storage.quarantine import Quarantine
from edgeproxy.storage.record import Damaged
from edgeproxy.storage.threads import Threads, or_undo
from edgeproxy.tasks import Tasks

T = TypeVar("T")


class Keeper(Protocol):
    """What publishes responses in RAM and index; see keeping.Keeping."""

    async def keep(
        self, stored: StoredResponse, publish: Callable[[], StoredResponse]
    ) -> StoredResponse | None: ...


class Partials:
    """Used on the loop. A partial body is claimed in the disk tier from before it is opened until all of
    it is written down behind `close`."""

    def __init__(
        self,
        disk: DiskTier,
        quarantine: Quarantine,
        keeper: Keeper,
        *,
        threads: Threads,
        tasks: Tasks,
        generations: Generations,
        clock: Clock,
    ) -> None:
        self.clock = clock
        self._disk, self._quarantine, self._keeper = disk, quarantine, keeper
        self._threads, self._tasks, self._generations = threads, tasks, generations
        self._open: dict[str, Partial] = {}
        self._opening = 0
        self._closing: dict[str, asyncio.Task[None]] = {}

    def start(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        return self._tasks.start(work, name)

    def oldest(self, sequence: int) -> int:
        """The purge sequence of the oldest one open, `sequence` if none is older."""
        if self._opening:
            return 0  # not judged yet
        return min(sequence, *(partial.stored.sequence for partial in self._open.values()), sequence)

    # -- finding -------------------------------------------------------------------------------

    async def lookup(self, key: str, digest: str) -> tuple[StoredResponse, ...]:
        for body, closing in list(self._closing.items()):
            partial = self._open.get(body)
            stored = None if partial is None else partial.stored
            if stored is not None and (stored.key == key or (digest and stored.digest == digest)):
                await asyncio.wait([closing])
        if not self._disk.partial_keys.may_have(key, digest):
            return ()
        try:
            found, damaged = await self._threads.look_up(partial_rows.find, self._disk.index, key, digest)
        except StorageError as error:
            self._threads.note("storage_errors_total", "look-up", str(error))
            return ()
        for body in damaged:
            self._threads.note("corrupt_total", "partial", "a row about a partial body was damaged")
            await self._forget(body)
        judged = (self._judged(stored) for stored in found)
        return tuple(stored for stored in judged if stored is not None)

    def _judged(self, stored: StoredResponse) -> StoredResponse | None:
        """As the purges leave it, which it has then seen; None if one supersedes it."""
        sequence = self._generations.sequence
        match self._generations.verdict(stored):
            case Verdict.DEAD:
                return None
            case Verdict.SOFT:
                return replace(stored, fresh_until=0.0, sequence=sequence)
            case Verdict.GOOD:
                return replace(stored, sequence=max(stored.sequence, sequence))

    async def open(self, stored: StoredResponse) -> Partial | None:
        self._opening += 1
        opening = self.start(self._try_open(stored.body), "open a partial body")
        opening.add_done_callback(self._opened)
        return await or_undo(opening, lambda late: None if late is None else late.close())

    def _opened(self, _: asyncio.Task[Partial | None]) -> None:
        self._opening -= 1

    async def _try_open(self, body: str) -> Partial | None:
        disk = self._disk
        if body in self._closing:
            await asyncio.wait([self._closing[body]])
        if not disk.claims.claim(body) and not await self._threads.run(disk.claims.claim_soon, body):
            return None
        try:
            opened = await self._threads.run(self._open_file, body)
        except Damaged as error:
            disk.claims.release(body)
            self._threads.note("corrupt_total", "partial", f"a partial body was dropped: {error}")
            await self._forget(body)
            return None
        except StorageError:
            opened = None
        if opened is None:
            disk.claims.release(body)
            return None
        found, file, extents, held, told = opened
        judged = self._judged(found)
        partial = self._begin(judged or found, file, extents, held, told)
        if judged is not None:
            return partial
        await partial.discard()
        partial.close()
        return None

    def _open_file(self, body: str) -> tuple[StoredResponse, PartialFile, Extents, int, int] | None:
        """What is known of a partial body and its file, the bytes it takes and those the index tells; None
        when it is gone. Raises Damaged, StorageError."""
        found = partial_rows.read(self._disk.index, body)
        if found is None:
            return None
        stored, allocated, extents = found
        file = PartialFile.open(self._disk, body)
        try:
            length, real = file.length(), file.allocated()
        except StorageError:
            file.close()
            raise
        for extent in extents:
            if extent.end > length:
                extents.drop(extent)
        self._disk.account(real - allocated)
        return stored, file, extents, real, allocated

    def create(self, stored: StoredResponse, sequence: int) -> Partial:
        """Its file is made by the first write, so that nobody waits for the disk. Raises StorageError."""
        disk, body = self._disk, secrets.token_hex(16)
        if not 0 < stored.body_bytes <= disk.limits.bytes_max:
            raise StorageError("the body is larger than the disk tier")
        if not disk.writes.is_usable:
            raise StorageError(f"the disk is out of use: {disk.writes.reason}")
        disk.claims.claim(body)
        stored = replace(stored, body=body, sequence=sequence)
        return self._begin(stored, PartialFile(disk, body), Extents(stored.body_bytes), 0, None)

    def _begin(
        self, stored: StoredResponse, file: PartialFile, extents: Extents, held: int, told: int | None
    ) -> Partial:
        partial = Partial(self, self._disk, self._threads, stored, file, extents, held, told)
        self._open[stored.body] = partial
        return partial

    async def _forget(self, body: str) -> None:
        """Remove one nobody can use any more."""

        def work() -> None:
            with self._disk.claims.briefly(body) as is_mine:
                if is_mine:
                    self._disk.account(-self._disk.forget_partials([body]))

        try:
            await asyncio.shield(self._threads.run(work))
        except StorageError as error:
            self._threads.note("storage_errors_total", "remove", str(error))

    # -- the end of one ------------------------------------------------------------------------

    async def commit(self, partial: Partial, stored: StoredResponse) -> StoredResponse | None:
        return await asyncio.shield(self.start(self._commit(partial, stored), "commit"))

    async def _commit(self, partial: Partial, stored: StoredResponse) -> StoredResponse | None:
        async with partial.writing_down:
            if partial.has_ended or partial.spans.total != partial.size:
                return None
            sums = partial.extents.sums()
            try:
                kept = await self._keeper.keep(stored, lambda: self._publish(partial, stored, sums))
            except StorageError as error:
                self._threads.note("storage_errors_total", "commit", str(error))
                return None  # the parts stay, and can be committed another time
        if kept is None:
            await partial.discard()
        return kept

    def _publish(self, partial: Partial, stored: StoredResponse, sums: Sequence[int]) -> StoredResponse:
        disk, now = self._disk, self.clock()
        linked = link(disk, stored, now)
        if linked is not None:
            partial.has_ended = True
            with contextlib.suppress(StorageError):
                partial.forget()
            return linked
        disk.publishing.add(stored.body)
        try:
            with partial.file.use() as fd:
                allocated = name_body(disk, fd, stored, sums, partial.held, disk.directory.partial)
            partial.has_ended, partial.held = True, 0  # it is the body's now
            insert(disk, stored, allocated, now)
        except StorageError:
            self._spoiled(partial)
            raise
        finally:
            disk.publishing.discard(stored.body)
        return stored

    def _spoiled(self, partial: Partial) -> None:
        """After a failed commit: the file may be here as before, or have gone."""
        body = partial.stored.body
        if body in self._disk.directory.partial_ids():
            return
        partial.has_ended = True
        with contextlib.suppress(StorageError):
            partial.forget()
        with contextlib.suppress(StorageError):
            self._disk.unlink(body)

    async def set_aside(self, partial: Partial, why: str) -> None:
        await self._threads.run(self._set_aside, partial, why, self.clock())
        self._threads.count("quarantined_total")

    def _set_aside(self, partial: Partial, why: str, now: float) -> None:
        self._quarantine.take(partial.stored, why, now)
        partial.forget()

    def closed(self, partial: Partial) -> None:
        body = partial.stored.body
        self._closing[body] = self.start(self._finish(partial), "close a partial body")

    async def _finish(self, partial: Partial) -> None:
        """Cancelled, it leaves the rest to `aclose`."""
        body = partial.stored.body
        try:
            await partial.finish()
        except StorageError as error:
            self._threads.note("storage_errors_total", "partial", str(error))
        except asyncio.CancelledError:
            self._closing.pop(body, None)
            raise
        self._end(partial)

    def _end(self, partial: Partial) -> None:
        body = partial.stored.body
        self._closing.pop(body, None)
        self._open.pop(body, None)
        self._disk.claims.release(body)
        self._threads.later(partial.file.close)

    async def release(self) -> None:
        """Write down all that is open, to the byte, for another process to go on with. Here they take no more
        and stay readable until they are closed."""
        if self._closing:
            await asyncio.wait(list(self._closing.values()))
        for partial in list(self._open.values()):
            try:
                await partial.release()
            except StorageError as error:
                self._threads.note("storage_errors_total", "partial", str(error))

    async def aclose(self) -> None:
        """Write down all that is open, to the byte; none of them takes any more."""
        if self._closing:
            await asyncio.wait(list(self._closing.values()))
        for partial in list(self._open.values()):
            partial.is_closed = True
            await self._finish(partial)
