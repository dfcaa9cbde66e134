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

from edgeproxy import config
from edgeproxy.errors import StorageError
from edgeproxy.message import Clock
from edgeproxy.metrics import Metrics
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.storage import crash, eviction
from edgeproxy.storage.disk import DiskTier
from edgeproxy.storage.disk_body import DiskBody
from edgeproxy.storage.generations import VALUE_BYTES_MAX, Generations, Verdict
from edgeproxy.storage.held import Held
from edgeproxy.storage.keeping import Keeping
from edgeproxy.storage.listing import listing
from edgeproxy.storage.memory import Copy, MemoryBody, RamTier
from edgeproxy.storage.opening import open_disk
from edgeproxy.storage.partial import Partial
from edgeproxy.storage.partials import Partials
from edgeproxy.storage.purging import Purging
from edgeproxy.storage.quarantine import Quarantine
from edgeproxy.storage.reading import Reading, open_bodies_max
from edgeproxy.storage.store import Listed, Purge, StoreStatistics
from edgeproxy.storage.sweep import Sweep
from edgeproxy.storage.threads import Threads
from edgeproxy.storage.upkeep import Upkeep
from edgeproxy.storage.write_behind import WriteBehind
from edgeproxy.storage.writer import Writer
from edgeproxy.tasks import Tasks

Report = Callable[[str], None]
RELEASE_SECONDS = 5.0  # for what is being written, before another process may open the directory


class TieredStore:
    """A store.Store. `start` before use, `aclose` at the end. Without a disk (`settings.on_disk` false)
    it keeps responses in RAM only."""

    def __init__(
        self,
        settings: config.Cache,
        *,
        clock: Clock,
        tasks: Tasks,
        metrics: Metrics,
        report: Report,
        sequence_changed: Callable[[int], None] | None = None,
    ) -> None:
        self.disk: DiskTier | None = None
        self._settings, self._clock, self._tasks, self._metrics = settings, clock, tasks, metrics
        self._threads = Threads(metrics, report)
        self._generations = Generations(watch=sequence_changed)
        policy = eviction.build(settings.memory_eviction)
        self._ram = RamTier(
            settings.memory,
            policy,
            lambda: metrics.count("evictions_total", "memory"),
            open_bodies_max(settings) if settings.on_disk else 0,
        )
        self._held = Held(self._ram, self._generations, self._threads, tasks)
        self._keeping = Keeping(
            self._ram, self._held, self._generations, self._threads, tasks, settings, clock
        )
        self._reading = Reading(self._ram, self._held, self._keeping, self._threads, settings)
        self._partials: Partials | None = None
        self._writers: set[Writer] = set()
        self._own_tasks: list[asyncio.Task[None]] = []
        self._behind: WriteBehind | None = None
        self._purging: Purging | None = None
        self._upkeep: Upkeep | None = None
        self._is_closed = False
        self._released: DiskTier | None = None  # open for those who read already

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
        if not self._settings.on_disk:
            return
        opened = await self._threads.run(
            open_disk, self._settings, self._generations, self._threads.event, self._left
        )
        disk = self.disk = self._held.disk = self._keeping.disk = opened.disk
        self._behind = self._keeping.behind = WriteBehind(
            disk,
            clock=self._clock,
            run=self._threads.run,
            current=self._held.current,
            settled=self._keeping.settled,
        )
        quarantine = self._keeping.quarantine = Quarantine(disk, self._settings.quarantine)
        self._partials = Partials(
            disk,
            quarantine,
            self._keeping,
            threads=self._threads,
            tasks=self._tasks,
            generations=self._generations,
            clock=self._clock,
        )
        self._purging = Purging(
            disk,
            self._generations,
            run=self._threads.run,
            oldest=self._oldest_fill,
            judge_all=self._held.judge_all,
        )
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
            (self._upkeep.learn_keys(), "learn keys"),
            (self._purging.run_forever(), "reclaim"),
        ):
            self._own_tasks.append(self._tasks.start(work, name))

    async def release(self) -> None:
        """Let another process open the directory. What is open stays readable here, what is being stored is
        stored no further, and what comes from now on is kept in RAM only."""
        disk, upkeep, behind, partials = self.disk, self._upkeep, self._behind, self._partials
        if disk is None or upkeep is None or behind is None or partials is None:
            return
        self.disk = self._held.disk = self._keeping.disk = self._keeping.behind = None
        upkeep.stop()
        jobs = [writer.job for writer in self._writers if writer.job is not None and not writer.job.done()]
        if jobs:
            await asyncio.wait(jobs, timeout=RELEASE_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RELEASE_SECONDS):
                await behind.flush()
        await partials.release()
        self._ram.close_all()
        self._partials = self._behind = self._purging = None
        for task in self._own_tasks:
            task.cancel()
        await asyncio.wait(self._own_tasks)
        self._own_tasks = []
        with contextlib.suppress(StorageError):
            await self._threads.run(upkeep.tell_touches)
        await self._threads.run(disk.index.close)
        disk.directory.unlock()
        self._released = disk

    async def aclose(self) -> None:
        """Write what waits, then let go of the directory."""
        if self._is_closed:
            return
        if self._upkeep is not None:
            self._upkeep.stop()
        if self._behind is not None:
            if self._own_tasks[0].done():  # whoever ends all tasks first must not cost what waits
                await self._behind.drain()
            await self._behind.flush()
        if self._partials is not None:
            await self._partials.aclose()
        self._is_closed = True
        self._ram.close_all()
        await asyncio.sleep(0)  # what was let go of reaches the threads
        for task in self._own_tasks:
            task.cancel()
        if self._own_tasks:
            await asyncio.wait(self._own_tasks)
        await asyncio.get_running_loop().run_in_executor(None, self._close)

    def _close(self) -> None:
        self._threads.close()
        if self._released is not None:
            self._released.directory.close()
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
        return self._generations.number

    def lookup_memory(self, key: str) -> tuple[StoredResponse, ...] | None:
        return self._held.lookup(key)

    def peek(self, key: str) -> tuple[StoredResponse, ...] | None:
        return self._held.peek(key)

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

    def listing(self, prefix: str, after: str, limit: int) -> tuple[Listed, ...]:
        if self.disk is None:
            return ()
        return listing(self.disk.index, self._generations, prefix, after, limit)

    # -- bodies --------------------------------------------------------------------------------

    def open_memory(self, stored: StoredResponse) -> MemoryBody | DiskBody | None:
        return self._reading.at_hand(stored)

    async def open(self, stored: StoredResponse) -> MemoryBody | DiskBody | None:
        return await self._reading.open(stored)

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
            self._keeping,
            self._threads,
            secrets.token_hex(16),
            key,
            sequence=sequence,
            memory_bytes_max=settings.memory_body if in_ram_only else settings.small_body,
            memory_only=in_ram_only,
            ended=self._writers.discard,
        )
        self._writers.add(writer)
        return writer

    def _oldest_fill(self) -> int:
        oldest = min((writer.sequence for writer in self._writers), default=self._generations.sequence)
        return oldest if self._partials is None else self._partials.oldest(oldest)

    async def freshen(self, old: StoredResponse, new: StoredResponse) -> StoredResponse:
        return await self._keeping.freshen(old, new)

    async def link(self, stored: StoredResponse) -> StoredResponse | None:
        return await self._keeping.link(stored)

    async def remove(self, stored: StoredResponse) -> None:
        await self._keeping.remove(stored)

    # -- bodies in part ------------------------------------------------------------------------

    async def lookup_partial(self, key: str, digest: str = "") -> tuple[StoredResponse, ...]:
        return () if self._partials is None else await self._partials.lookup(key, digest)

    async def open_partial(self, stored: StoredResponse) -> Partial | None:
        return None if self._partials is None else await self._partials.open(stored)

    async def create_partial(self, stored: StoredResponse, *, sequence: int) -> Partial:
        if self._partials is None:
            raise StorageError("there is no disk for large bodies")
        return self._partials.create(stored, sequence)

    # -- the whole -----------------------------------------------------------------------------

    async def purge(self, purge: Purge) -> None:
        if len(purge.value.encode("utf-8", "replace")) > VALUE_BYTES_MAX:
            raise StorageError("a purge of a value beyond 64 KiB")
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
            disk_partials=self._upkeep.partials if self._upkeep else 0,
            logical_bytes=self._upkeep.logical_bytes if self._upkeep else 0,
            disk_state=disk.state if disk else "off: RAM only",
        )


def open_store(
    settings: config.Cache,
    *,
    clock: Clock,
    tasks: Tasks,
    metrics: Metrics,
    report: Report,
    sequence_changed: Callable[[int], None] | None = None,
) -> TieredStore:
    """The store of a configuration; call `start` before use. `sequence_changed` is told, on whatever
    thread, of each new purge sequence before the purge is done."""
    return TieredStore(
        settings,
        clock=clock,
        tasks=tasks,
        metrics=metrics,
        report=report,
        sequence_changed=sequence_changed,
    )
