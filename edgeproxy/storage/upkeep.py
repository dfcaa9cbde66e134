"""The index's housekeeping: the sweep, uses told to it from time to time, and counts for metrics."""

from __future__ import annotations

import asyncio

from edgeproxy.errors import StorageError
from edgeproxy.message import Clock
from edgeproxy.storage import tables
from edgeproxy.storage.disk import DiskTier
from edgeproxy.storage.memory import RamTier
from edgeproxy.storage.sweep import Sweep
from edgeproxy.storage.threads import Threads

PERIOD_SECONDS = 5.0
FIRST_SECONDS = 1.0  # a node that has just started has clients waiting
COUNTED_A_PERIOD = 150_000  # responses; counting them takes some 0.05 s, one hundredth of the period
COUNTS = """
select (select count(*) from responses), (select count(*) from bodies), (select count(*) from partials),
       (select coalesce(sum(bodies.size), 0) from responses join bodies on bodies.id = responses.body)
"""


class Upkeep:
    """`responses`, `bodies` and `partials` are those on disk, as counted last, `logical_bytes` what all
    responses would take if none shared a body."""

    def __init__(self, disk: DiskTier, sweep: Sweep, ram: RamTier, threads: Threads, clock: Clock) -> None:
        self.responses = self.bodies = self.partials = self.logical_bytes = 0
        self._disk, self._sweep, self._ram = disk, sweep, ram
        self._threads, self._clock = threads, clock
        self._uncounted = 0  # periods since the last count

    async def run_forever(self, temporary: list[str]) -> None:
        """Sweep once, and again whenever the index had to be replaced; until cancelled."""
        disk, is_due = self._disk, True
        if not disk.index.is_partial:  # what is not known can be no hit
            await asyncio.sleep(FIRST_SECONDS)
        while True:
            try:
                if is_due:
                    await self._threads.run(disk.partial_keys.load, disk.index)
                if is_due or disk.index.is_partial:
                    is_due = False
                    await self._threads.run(self._sweep.run, temporary)
                    temporary = []
                await self._threads.run(self.tell_touches)
                await self._count_in_time()
            except (StorageError, OSError) as error:
                self._threads.note("storage_errors_total", "sweep", f"sweep: {error}")
            self._ram.close_idle()
            await asyncio.sleep(PERIOD_SECONDS)

    async def learn_keys(self) -> None:
        """Know what may be stored; until then the index is asked each time."""
        try:
            await self._threads.look_up(self._disk.known_keys.load, self._disk.index)
        except StorageError as error:
            self._threads.note("storage_errors_total", "look-up", str(error))

    async def _count_in_time(self) -> None:
        """Count, but the more there is the more seldom."""
        self._uncounted += 1
        if self._uncounted > self.responses // COUNTED_A_PERIOD:
            self._uncounted = 0
            await self.count()

    async def count(self) -> None:
        """Raises StorageError."""
        (counts,) = await self._threads.look_up(self._disk.index.read, COUNTS)
        numbers = (count if isinstance(count, int) else 0 for count in counts)
        self.responses, self.bodies, self.partials, self.logical_bytes = numbers

    def stop(self) -> None:
        """End a running sweep soon, and what else takes its time."""
        self._sweep.stop()
        self._disk.known_keys.stop()

    def tell_touches(self) -> None:
        """Write down what was used since last time. Blocks. Raises StorageError."""
        if not self._ram.touched:
            return
        used, self._ram.touched = self._ram.touched, set()
        names = tuple(used)  # the loop may add one more to the set it has at hand
        now = self._clock()
        self._disk.index.submit(lambda c: tables.touch(c, names, now)).result()
