"""The store: RAM over disk, under one set of purge sequences.

Look-ups in RAM are synchronous and cost a dictionary look-up and a comparison. Whatever touches the
disk or the index runs in the store's own threads. What is held under a key changes only here, on the
loop: first the RAM entry, then, behind it, the disk."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from edgeproxy import config
from edgeproxy.errors import StorageError
from edgeproxy.message import Clock
from edgeproxy.metrics import Metrics
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.storage import crash, eviction, index, record
from edgeproxy.storage.disk import DiskTier
from edgeproxy.storage.disk_body import DiskBody
from edgeproxy.storage.generations import Generations, Verdict
from edgeproxy.storage.held import Held
from edgeproxy.storage.memory import Copy, Entry, MemoryBody, RamTier
from edgeproxy.storage.opening import open_disk
from edgeproxy.storage.purging import Purging
from edgeproxy.storage.record import Damaged
from edgeproxy.storage.store import Purge, PurgeScope, StoreStatistics
from edgeproxy.storage.sweep import Sweep
from edgeproxy.storage.threads import Threads, or_undo
from edgeproxy.storage.upkeep import Upkeep
from edgeproxy.storage.write_behind import Pending, WriteBehind
from edgeproxy.storage.writer import Writer
from edgeproxy.tasks import Tasks

Report = Callable[[str], None]


class TieredStore:
    """A store.Store. `start` before use, `aclose` at the end. Without a disk (`on_disk` false) it
    keeps responses in RAM only."""

    def __init__(
        self,
        settings: config.Cache,
        *,
        clock: Clock,
        tasks: Tasks,
        metrics: Metrics,
        report: Report,
        on_disk: bool = True,
    ) -> None:
        self.disk: DiskTier | None = None
        self._settings, self._clock, self._tasks, self._metrics = settings, clock, tasks, metrics
        self._on_disk = on_disk
        self._threads = Threads(metrics, report)
        self._generations = Generations()
        policy = eviction.build(settings.memory_eviction)
        self._ram = RamTier(settings.memory, policy, lambda: metrics.count("evictions_total", "memory"))
        self._held = Held(self._ram, self._generations, self._threads, tasks)
        self._writers: set[Writer] = set()
        self._own_tasks: list[asyncio.Task[None]] = []
        self._behind: WriteBehind | None = None
        self._purging: Purging | None = None
        self._upkeep: Upkeep | None = None
        self._is_closed = False

    def __repr__(self) -> str:
        disk = "no disk" if self.disk is None else f"disk {self.disk.used} bytes, {self.disk.state}"
        return f"<TieredStore ram {self._ram.bytes} bytes, {disk}>"

    # -- life ----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Lock the directory and open the index. Raises StartError."""
        crash.arm(os.environ.get("EDGEPROXY_CRASH"))
        self._threads.bind()
        metrics, ram = self._metrics, self._ram
        metrics.gauge("memory_bytes", lambda: ram.bytes)
        metrics.gauge("memory_responses", lambda: ram.responses)
        metrics.gauge("disk_bytes", lambda: self.disk.used if self.disk else 0)
        metrics.gauge("disk_responses", lambda: self._upkeep.responses if self._upkeep else 0)
        if not self._on_disk:
            return
        opened = await self._threads.run(
            open_disk, self._settings, self._generations, self._threads.event, self._left
        )
        disk = self.disk = self._held.disk = opened.disk
        self._behind = WriteBehind(
            disk,
            clock=self._clock,
            run=self._threads.run,
            is_current=self._held.is_current,
            settled=self._settled,
        )
        self._purging = Purging(disk, self._generations, run=self._threads.run, oldest=self._oldest_writer)
        sweep = Sweep(
            disk,
            self._generations,
            trust_bodies=opened.trust_bodies,
            imported=lambda stored: self._threads.call(self._held.imported, stored),
            corrupt=lambda text: self._threads.event("corrupt_total", "body", text),
        )
        self._upkeep = Upkeep(disk, sweep, self._ram, self._threads, self._clock)
        for work, name in (
            (self._behind.run_forever(), "write behind"),
            (self._upkeep.run_forever(opened.temporary), "index upkeep"),
            (self._purging.run_forever(), "reclaim"),
        ):
            self._own_tasks.append(self._tasks.start(work, name))

    async def aclose(self) -> None:
        """Write what waits, then let go of the directory."""
        if self._is_closed:
            return
        if self._upkeep is not None:
            self._upkeep.stop()
        if self._behind is not None and not self._own_tasks[0].done():
            await self._behind.flush()
        self._is_closed = True
        for task in self._own_tasks:
            task.cancel()
        if self._own_tasks:
            await asyncio.wait(self._own_tasks)
        await asyncio.get_running_loop().run_in_executor(None, self._close)

    def _close(self) -> None:
        self._threads.close()
        if self.disk is not None and self._upkeep is not None:
            with contextlib.suppress(StorageError):
                self._upkeep.tell_touches()
            self.disk.index.close()
            self.disk.directory.close()

    def _left(self, bodies: list[str]) -> None:
        self._threads.call(self._held.forget_bodies, bodies)

    # -- looking up ----------------------------------------------------------------------------

    @property
    def sequence(self) -> int:
        return self._generations.sequence

    def lookup_memory(self, key: str) -> tuple[StoredResponse, ...] | None:
        return self._held.lookup(key)

    async def lookup(self, key: str) -> tuple[StoredResponse, ...]:
        found = self._held.lookup(key)
        if found is None:
            entry = await self._held.load(key)
            found = None if entry is None else self._held.lookup(key)
            if found is None and entry is not None:  # it did not fit into the RAM tier
                found = entry.variants
        return found or ()

    def stored_keys(self, keys: Sequence[str]) -> frozenset[str]:
        """Exact for what is in RAM, by the index otherwise (purges since are not looked at)."""
        found: set[str] = set()
        for key in keys:
            entry = self._ram.find(key)
            if entry is not None:
                if entry.variants:
                    found.add(key)
            elif self.disk is not None:
                with contextlib.suppress(StorageError):
                    if any(self._generations.verdict(s) is not Verdict.DEAD for s in self.disk.find(key)):
                        found.add(key)
        return frozenset(found)

    # -- bodies --------------------------------------------------------------------------------

    def open_memory(self, stored: StoredResponse) -> MemoryBody | None:
        copy = self._held.copy(stored)
        if copy is None:
            return None
        self._held.use(stored)
        return MemoryBody(copy.data)

    async def open(self, stored: StoredResponse) -> MemoryBody | DiskBody | None:
        body = self.open_memory(stored)
        disk = self.disk
        if body is not None or disk is None:
            return body
        try:
            opening = self._threads.run(lambda: disk.open(stored, whole_bytes_max=self._settings.memory_body))
            opened = await or_undo(opening, lambda late: self._threads.later(os.close, late.fd))
        except Damaged as error:
            await self._damaged(stored, str(error))
            return None
        except StorageError:
            return None
        self._held.use(stored)
        if opened.data is None:
            return DiskBody(
                disk,
                opened,
                run=self._threads.run,
                later=self._threads.later,
                damaged=lambda text: self._damaged(stored, text),
            )
        self._threads.later(os.close, opened.fd)
        entry = self._ram.find(stored.key)
        if entry is not None and stored.body not in entry.copies:
            held = next((s for s in entry.variants if s.body == stored.body), None)
            if held is not None:
                self._ram.copy(entry, held, opened.data, entry.checked)
        return MemoryBody(opened.data)

    async def _damaged(self, stored: StoredResponse, text: str) -> None:
        self._threads.note("corrupt_total", "body", f"a stored body was dropped: {text}")
        await self.remove(stored)

    def reusable(self, stored: StoredResponse) -> Copy | None:
        entry = self._ram.find(stored.key)
        if entry is None:
            return None
        if entry.checked != self._generations.sequence:
            self._held.judge(stored.key, entry)
        return entry.copies.get(stored.body)

    # -- keeping -------------------------------------------------------------------------------

    def writer(self, key: str, *, sequence: int, expected_bytes: int | None, memory_only: bool) -> Writer:
        settings = self._settings
        in_ram_only = memory_only or self.disk is None or not self.disk.writes.is_usable
        writer = Writer(
            self,
            self._threads,
            secrets.token_hex(16),
            key,
            sequence=sequence,
            memory_bytes_max=settings.memory_body if in_ram_only else settings.small_body,
            memory_only=in_ram_only,
        )
        self._writers.add(writer)
        return writer

    def ended(self, writer: Writer) -> None:
        self._writers.discard(writer)

    def _oldest_writer(self) -> int:
        return min((writer.sequence for writer in self._writers), default=self._generations.sequence)

    async def keep_small(
        self, stored: StoredResponse, data: bytes, memory_only: bool
    ) -> StoredResponse | None:
        loaded = await self._held.load(stored.key)
        if not self._held.is_welcome(stored, self._clock()):
            return None
        entry = self._ram.pin(stored.key, loaded or Entry())
        self._replace(stored)
        self._ram.copy(entry, stored, data, self._generations.sequence)
        if memory_only or self._behind is None:
            self._ram.unpin(stored.key, entry)
            return stored
        try:
            await self._behind.put(Pending(stored, data))
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
        return self._tasks.start(self._keep_large(stored, fd, sums), "commit")

    async def _keep_large(
        self, stored: StoredResponse, fd: int, sums: Sequence[int]
    ) -> StoredResponse | None:
        disk = self.disk
        loaded = await self._held.load(stored.key)
        if disk is None or not self._held.is_welcome(stored, self._clock()):
            if disk is not None:
                self._threads.later(disk.discard, stored.body)
                disk.account(-stored.body_bytes)
            return None
        entry = self._ram.pin(stored.key, loaded or Entry())
        try:
            await asyncio.shield(self._threads.run(self._publish, disk, stored, fd, sums))
            if not self._held.is_welcome(stored, self._clock()):
                await self._drop_later([stored.body], stored.key)
                return None
            self._replace(stored)
            return stored
        except StorageError as error:
            self._threads.note("storage_errors_total", "commit", str(error))
            return None
        finally:
            self._ram.unpin(stored.key, entry)

    def _publish(self, disk: DiskTier, stored: StoredResponse, fd: int, sums: Sequence[int]) -> None:
        allocated = disk.publish(fd, stored, sums)
        disk.insert(stored, allocated, self._clock())

    def _replace(self, stored: StoredResponse) -> None:
        """Put `stored` first among the variants of its key. What leaves for it leaves the disk too,
        behind the back of the caller."""
        entry = self._ram.find(stored.key)
        before = entry.variants if entry is not None else ()
        others = [s for s in before if s.selecting != stored.selecting and s.body != stored.body]
        kept = others[: max(0, self._settings.variants - 1)]
        self._held.hold(stored.key, (stored, *kept))
        names = {s.body for s in kept}
        gone = [s.body for s in before if s.body not in names and s.body != stored.body]
        if gone and self.disk is not None:
            self._tasks.start(self._drop_later(gone, stored.key), "drop replaced")

    async def _drop_later(self, bodies: list[str], key: str) -> None:
        """Remove from disk. If the disk refuses, a purge of the key keeps them from coming back."""
        if self.disk is None or not bodies:
            return
        try:
            await asyncio.shield(self._threads.run(self.disk.drop, bodies))
        except StorageError as error:
            self._threads.note("storage_errors_total", "remove", str(error))
            self._generations.purge(Purge(PurgeScope.URL, key))

    def _settled(self, stored: StoredResponse) -> None:
        entry = self._ram.find(stored.key)
        if entry is None:
            return
        copy = entry.copies.get(stored.body)
        if copy is not None and len(copy.data) > self._settings.memory_body:
            self._ram.drop_copy(stored.key, entry, stored.body)
        self._ram.unpin(stored.key, entry)

    async def freshen(self, old: StoredResponse, new: StoredResponse) -> StoredResponse:
        new = replace(
            new,
            key=old.key,
            body=old.body,
            body_bytes=old.body_bytes,
            digest=new.digest or old.digest,
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
            self._ram.copy(entry, new, copy.data, self._generations.sequence)
        self._held.judge(old.key, entry)
        if self.disk is not None:
            await self._drop_later(gone, old.key)
            try:
                data = record.encode(new)
                await asyncio.shield(
                    asyncio.wrap_future(self.disk.index.submit(lambda c: index.freshen(c, new, data)))
                )
            except StorageError as error:
                self._threads.note("storage_errors_total", "freshen", str(error))
        return new

    async def remove(self, stored: StoredResponse) -> None:
        entry = await self._held.load(stored.key)
        if entry is not None:
            self._held.hold(stored.key, tuple(s for s in entry.variants if s.body != stored.body))
        await self._drop_later([stored.body], stored.key)

    async def purge(self, purge: Purge) -> None:
        number = self._generations.purge(purge)
        self._metrics.count("purges_total", purge.scope.value)
        if self._purging is not None:
            try:
                await self._purging.note(number, purge)
            except (StorageError, OSError) as error:
                self._threads.note("storage_errors_total", "purge", f"a purge is not on disk: {error}")

    def statistics(self) -> StoreStatistics:
        disk = self.disk
        return StoreStatistics(
            memory_bytes=self._ram.bytes,
            memory_bytes_max=self._ram.bytes_max,
            memory_responses=self._ram.responses,
            disk_bytes=disk.used if disk else 0,
            disk_bytes_max=disk.limits.bytes_max if disk else 0,
            disk_responses=self._upkeep.responses if self._upkeep else 0,
            disk_bodies=self._upkeep.bodies if self._upkeep else 0,
            disk_state=disk.state if disk else "off: RAM only",
        )


def open_store(
    settings: config.Cache, *, clock: Clock, tasks: Tasks, metrics: Metrics, report: Report
) -> TieredStore:
    """The store of a configuration; call `start` before use."""
    return TieredStore(settings, clock=clock, tasks=tasks, metrics=metrics, report=report)
