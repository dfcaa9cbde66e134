"""The index's housekeeping: the sweep, uses told to it from time to time, and counts for metrics."""

from __future__ import annotations

import asyncio

from edgeproxy.errors import StorageError
from edgeproxy.message import Clock
from edgeproxy.storage import index
from edgeproxy.storage.disk import DiskTier
from edgeproxy.storage.memory import RamTier
from edgeproxy.storage.sweep import Sweep
from edgeproxy.storage.threads import Threads

PERIOD_SECONDS = 5.0


class Upkeep:
    """`responses` and `bodies` are those on disk, as counted last."""

    def __init__(self, disk: DiskTier, sweep: Sweep, ram: RamTier, threads: Threads, clock: Clock) -> None:
        self.responses = self.bodies = 0
        self._disk, self._sweep, self._ram = disk, sweep, ram
        self._threads, self._clock = threads, clock

    async def run_forever(self, temporary: list[str]) -> None:
        """Sweep once, and again whenever the index had to be replaced; until cancelled."""
        disk, is_due = self._disk, True
        while True:
            try:
                if is_due or disk.index.is_partial:
                    is_due = False
                    await self._threads.run(self._sweep.run, temporary)
                    temporary = []
                await self._threads.run(self.tell_touches)
                (counts,) = await self._threads.look_up(
                    disk.index.read,
                    "select (select count(*) from responses), (select count(*) from bodies)",
                )
                self.responses, self.bodies = (c if isinstance(c, int) else 0 for c in counts)
            except (StorageError, OSError) as error:
                self._threads.note("storage_errors_total", "sweep", f"sweep: {error}")
            await asyncio.sleep(PERIOD_SECONDS)

    def stop(self) -> None:
        """End a running sweep soon."""
        self._sweep.stop()

    def tell_touches(self) -> None:
        """Write down which bodies were used since last time. Blocks. Raises StorageError."""
        if not self._ram.touched:
            return
        bodies, self._ram.touched = self._ram.touched, set()
        names = tuple(bodies)  # the loop may add one more to the set it has at hand
        now = self._clock()
        self._disk.index.submit(lambda c: index.touch(c, names, now)).result()
