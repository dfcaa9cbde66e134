"""Opening stored bodies: what is in RAM or open already without waiting, what is on disk in its threads."""

from __future__ import annotations

import resource

from edgeproxy import config
from edgeproxy.errors import StorageError
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.storage.disk import WHOLE_CHECK_BYTES, DiskTier
from edgeproxy.storage.disk_body import DiskBody
from edgeproxy.storage.held import Held
from edgeproxy.storage.keeping import Keeping
from edgeproxy.storage.memory import MemoryBody, RamTier
from edgeproxy.storage.open_file import OpenFile
from edgeproxy.storage.record import Damaged
from edgeproxy.storage.threads import Threads, or_undo

SHARE = 8  # of the descriptors this process may have that bodies are kept open with: one in so many


def open_bodies_max(settings: config.Cache) -> int:
    """How many bodies may be kept open for the next who asks."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (
        settings.open_bodies if soft == resource.RLIM_INFINITY else min(settings.open_bodies, soft // SHARE)
    )


class Reading:
    """Used on the loop. What is damaged is dropped, and counted."""

    def __init__(
        self, ram: RamTier, held: Held, keeping: Keeping, threads: Threads, settings: config.Cache
    ) -> None:
        self._ram, self._held, self._keeping, self._threads = ram, held, keeping, threads
        self._whole_bytes_max = settings.memory_body
        # Larger ones leave faster from the page cache, where nothing has to be done to the bytes.
        self._file_bytes_min = settings.small_body

    def at_hand(self, stored: StoredResponse) -> MemoryBody | DiskBody | None:
        """The body if it is in RAM, or open and unchanged."""
        copy, disk = self._held.copy(stored), self._held.disk
        if copy is None:
            return None
        file = copy.file
        if file is None or copy.data:
            self._held.use(stored)
            return MemoryBody(copy.data)
        if disk is None or not file.is_unchanged():
            entry = self._ram.find(stored.key)
            if entry is not None:
                self._ram.drop_copy(stored.key, entry, stored.body)
            return None
        self._held.use(stored)
        return self._from(disk, stored, file)

    async def open(self, stored: StoredResponse) -> MemoryBody | DiskBody | None:
        """The body, from wherever it is; None when it is gone or damaged."""
        body, disk = self.at_hand(stored), self._held.disk
        if body is not None or disk is None:
            return body
        try:
            opening = self._threads.run(lambda: disk.open(stored, whole_bytes_max=self._whole_bytes_max))
            opened = await or_undo(opening, lambda late: self._threads.later(disk.shut, late))
        except Damaged as error:
            await self._damaged(stored, str(error))
            return None
        except StorageError:
            return None
        self._held.use(stored)
        size, data = opened.footer.size, opened.data
        file = OpenFile(opened, lambda opened: self._threads.dropped(disk.shut, opened))
        if data is None:
            if 0 < size <= WHOLE_CHECK_BYTES:
                self._take_over(stored, b"", file)
            return self._from(disk, stored, file)
        self._take_over(stored, data, file if size > self._file_bytes_min else None)
        return MemoryBody(data)

    def _take_over(self, stored: StoredResponse, data: bytes, file: OpenFile | None) -> None:
        """Have it at hand for the next who asks, if it is still what is stored."""
        entry = self._ram.find(stored.key)
        if entry is None or stored.body in entry.copies:
            return
        held = next((s for s in entry.variants if s.body == stored.body), None)
        if held is None:
            return
        if file is None:
            self._ram.copy(entry, held, data, entry.checked)
        else:
            self._ram.keep_open(entry, held, file, entry.checked, data)

    def _from(self, disk: DiskTier, stored: StoredResponse, file: OpenFile) -> DiskBody:
        return DiskBody(disk, file, run=self._threads.run, damaged=lambda text: self._damaged(stored, text))

    async def _damaged(self, stored: StoredResponse, text: str) -> None:
        self._threads.note("corrupt_total", "body", f"a stored body was dropped: {text}")
        await self._keeping.drop_damaged(stored)
