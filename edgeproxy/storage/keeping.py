"""What changes under a key: responses come in, share bodies, are freshened, leave. First the RAM entry,
on the loop, then, behind it, the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from edgeproxy import config
from edgeproxy.errors import StorageError
from edgeproxy.message import Clock
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.storage import publishing, record, tables
from edgeproxy.storage.disk import DiskTier
from edgeproxy.storage.generations import Generations, Verdict
from edgeproxy.storage.held import Held
from edgeproxy.storage.memory import Entry, RamTier
from edgeproxy.storage.quarantine import Quarantine
from edgeproxy.storage.store import Purge, PurgeScope
from edgeproxy.storage.threads import Threads, to_the_end
from edgeproxy.storage.turns import Turns
from edgeproxy.storage.write_behind import Pending, WriteBehind
from edgeproxy.tasks import Tasks


class Keeping:
    """Used on the loop. Without a `disk`, what is kept is in RAM only."""

    def __init__(
        self,
        ram: RamTier,
        held: Held,
        generations: Generations,
        threads: Threads,
        tasks: Tasks,
        settings: config.Cache,
        clock: Clock,
    ) -> None:
        self.disk: DiskTier | None = None
        self.quarantine: Quarantine | None = None
        self.behind: WriteBehind | None = None
        self._ram, self._held, self._generations = ram, held, generations
        self._threads, self._tasks = threads, tasks
        self._settings, self._clock = settings, clock
        self._turns = Turns()

    # -- coming in -----------------------------------------------------------------------------

    async def keep_small(
        self, stored: StoredResponse, data: bytes, memory_only: bool
    ) -> StoredResponse | None:
        """A body that is in RAM as a whole: it is written behind, unless it is on disk already."""
        async with self._turns.turn(stored.key):
            loaded = await self._held.load(stored.key)
            linked = None if memory_only else await self._link(stored)
            if not self._held.is_welcome(stored, self._clock()):
                if linked is not None:
                    await self._release_later([linked.body], linked.key)
                return None
            stored = linked or stored
            entry = self._ram.pin(stored.key, loaded or Entry())
            self._replace(stored)
            self._ram.copy(entry, stored, data, self._generations.sequence)
        if linked is not None:
            self.settled(stored)
            return stored
        if memory_only or self.behind is None:
            self._ram.unpin(stored.key, entry)
            return stored
        try:
            await self.behind.put(Pending(stored, data))
        except StorageError as error:
            self._threads.note("storage_errors_total", "write-behind", str(error))
            self._ram.unpin(stored.key, entry)
        except BaseException:
            self._ram.unpin(stored.key, entry)
            raise
        return stored

    def keep_large(
        self, stored: StoredResponse, fd: int, sums: Sequence[int]
    ) -> asyncio.Task[StoredResponse | None]:
        """A body in a temporary file."""
        return self._tasks.start(self._keep_large(stored, fd, sums), "commit")

    async def _keep_large(
        self, stored: StoredResponse, fd: int, sums: Sequence[int]
    ) -> StoredResponse | None:
        disk = self.disk
        if disk is None:
            return None
        try:
            return await self.keep(
                stored, lambda: publishing.keep(disk, fd, stored, sums, self._clock()), discard=True
            )
        except StorageError as error:
            self._threads.note("storage_errors_total", "commit", str(error))
            return None

    async def keep(
        self, stored: StoredResponse, publish: Callable[[], StoredResponse], *, discard: bool = False
    ) -> StoredResponse | None:
        """Have `publish` put a body on disk, in a thread, and hold what it gives. None if the response is
        not welcome (with `discard` its temporary file is then removed), StorageError if the disk fails."""
        async with self._turns.turn(stored.key):
            return await self._keep(stored, publish, discard=discard)

    async def _keep(
        self, stored: StoredResponse, publish: Callable[[], StoredResponse], *, discard: bool
    ) -> StoredResponse | None:
        loaded = await self._held.load(stored.key)
        if not self._held.is_welcome(stored, self._clock()):
            if self.disk is not None and discard:
                self._threads.later(self.disk.discard, stored.body)
                self.disk.account(-stored.body_bytes)
            return None
        entry = self._ram.pin(stored.key, loaded or Entry())
        try:
            kept = await to_the_end(self._threads.run(publish))
            if not self._held.is_welcome(stored, self._clock()):
                await self._release_later([kept.body], kept.key)
                return None
            self._replace(kept)
            return kept
        finally:
            self._ram.unpin(stored.key, entry)

    async def set_aside(self, stored: StoredResponse, data: bytes | None, why: str) -> None:
        """Wrong bytes, in RAM (`data`) or in a temporary file, go into quarantine, if they can."""
        disk, quarantine, now = self.disk, self.quarantine, self._clock()
        if disk is None or quarantine is None:
            return

        def take() -> None:
            if data is not None:
                quarantine.put(stored, data, why, now)
            else:
                quarantine.take(stored, why, now, disk.directory.temporary)

        try:
            await to_the_end(self._threads.run(take))
            self._threads.count("quarantined_total")
        except StorageError as error:
            self._threads.note("storage_errors_total", "quarantine", str(error))

    async def link(self, stored: StoredResponse) -> StoredResponse | None:
        """Hold `stored` with the body on disk that has its digest; None if there is none."""
        async with self._turns.turn(stored.key):
            return await self._hold_linked(stored)

    async def _hold_linked(self, stored: StoredResponse) -> StoredResponse | None:
        loaded = await self._held.load(stored.key)
        if not self._held.is_welcome(stored, self._clock()):
            return None
        entry = self._ram.pin(stored.key, loaded or Entry())
        try:
            linked = await self._link(stored)
            if linked is None:
                return None
            if not self._held.is_welcome(stored, self._clock()):
                await self._release_later([linked.body], linked.key)
                return None
            self._replace(linked)
            return linked
        finally:
            self._ram.unpin(stored.key, entry)

    async def _link(self, stored: StoredResponse) -> StoredResponse | None:
        disk = self.disk
        if disk is None or not stored.digest or not disk.reads.is_usable:
            return None
        if not disk.known_keys.may_have(stored.digest):
            return None
        try:
            linking = self._threads.run(publishing.link, disk, stored, self._clock())
            return await asyncio.shield(linking)
        except StorageError as error:
            self._threads.note("storage_errors_total", "link", str(error))
            return None

    def _replace(self, stored: StoredResponse) -> None:
        """Put `stored` first among the variants of its key. What leaves for it leaves the disk too,
        behind the back of the caller."""
        entry = self._ram.find(stored.key)
        before = entry.variants if entry is not None else ()
        others = [s for s in before if s.selecting != stored.selecting and s.body != stored.body]
        kept = others[: max(0, self._settings.variants - 1)]
        if entry is not None and stored.body in entry.copies:  # its fields may have changed
            self._ram.drop_copy(stored.key, entry, stored.body)
        self._held.hold(stored.key, (stored, *kept))
        names = {s.body for s in kept}
        gone = [s.body for s in before if s.body not in names and s.body != stored.body]
        if gone and self.disk is not None:
            self._tasks.start(self._release_later(gone, stored.key), "drop replaced")

    def settled(self, stored: StoredResponse) -> None:
        """`stored` is on disk, or the disk would not take it."""
        entry = self._ram.find(stored.key)
        if entry is None:
            return
        copy = entry.copies.get(stored.body)
        if copy is not None and len(copy.data) > self._settings.memory_body:
            self._ram.drop_copy(stored.key, entry, stored.body)
        self._ram.unpin(stored.key, entry)

    # -- changing ------------------------------------------------------------------------------

    async def freshen(self, old: StoredResponse, new: StoredResponse) -> StoredResponse:
        new = replace(
            new,
            key=old.key,
            body=old.body,
            body_bytes=old.body_bytes,
            digest=old.digest or new.digest,
            sequence=max(old.sequence, new.sequence),
        )
        entry = await self._held.load(old.key)
        if entry is None or not any(s.body == old.body for s in entry.variants):
            return new
        if self._generations.verdict(new) is Verdict.DEAD:
            return new
        others = tuple(s for s in entry.variants if s.body != old.body and s.selecting != new.selecting)
        gone = [s.body for s in entry.variants if s.body != old.body and s not in others]
        entry = self._held.hold(old.key, (new, *others))
        copy = entry.copies.get(old.body)
        if copy is not None:
            self._ram.renew(entry, new, copy, self._generations.sequence)
        self._held.judge(old.key, entry)
        if self.disk is not None:
            await self._release_later(gone, old.key)
            try:
                data = record.encode(new)
                await asyncio.shield(
                    asyncio.wrap_future(self.disk.index.submit(lambda c: tables.freshen(c, new, data)))
                )
            except StorageError as error:
                self._threads.note("storage_errors_total", "freshen", str(error))
        return new

    # -- leaving -------------------------------------------------------------------------------

    async def remove(self, stored: StoredResponse) -> None:
        await self._take_out(stored)
        await self._release_later([stored.body], stored.key)

    async def drop_damaged(self, stored: StoredResponse) -> None:
        """The body is not what was stored: it goes, for all responses that need it."""
        await self._take_out(stored)
        await self._remove_later(stored.key, lambda disk: disk.drop([stored.body]))

    async def _take_out(self, stored: StoredResponse) -> None:
        entry = await self._held.load(stored.key)
        if entry is not None:
            self._held.hold(stored.key, tuple(s for s in entry.variants if s.body != stored.body))

    async def _release_later(self, bodies: list[str], key: str) -> None:
        if bodies:
            await self._remove_later(key, lambda disk: disk.release([(key, body) for body in bodies]))

    async def _remove_later(self, key: str, work: Callable[[DiskTier], object]) -> None:
        """Remove from disk. If the disk refuses, a purge of the key keeps it from coming back."""
        disk = self.disk
        if disk is None:
            return
        try:
            await asyncio.shield(self._threads.run(work, disk))
        except StorageError as error:
            self._threads.note("storage_errors_total", "remove", str(error))
            self._generations.purge(Purge(PurgeScope.URL, key))
