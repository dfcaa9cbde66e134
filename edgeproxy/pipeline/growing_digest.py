"""The digest of a body that is put together in any order: it follows the contiguous bytes from the start,
read back in a thread, and so is known soon after the last byte."""

from __future__ import annotations

import asyncio
import hashlib
from concurrent.futures import Executor

from edgeproxy.errors import StorageError
from edgeproxy.storage.store import PartialBody

HASH_BYTES = 4 << 20  # hashed in one go
READ_BYTES = 512 << 10  # read back at a time: what is hashed next is then in the processor's own cache
AGAIN_SECONDS = 0.5  # until bytes found damaged are looked for again


class GrowingDigest:
    """Of one body. `grew` tells it of new bytes."""

    def __init__(self, partial: PartialBody, threads: Executor, *, with_git: bool) -> None:
        self._partial = partial
        self._threads = threads
        self._sha256 = hashlib.sha256()
        self._git = hashlib.sha1(b"blob %d\0" % partial.size, usedforsecurity=False) if with_git else None
        self._hashed = 0
        self._growing = asyncio.Event()

    def grew(self, start: int) -> None:
        """Bytes have come at `start`."""
        if start <= self._hashed:
            self._growing.set()

    async def run(self) -> tuple[str, str]:
        """SHA-256 and git's SHA-1 (or "") of the whole, when all of it is there."""
        partial, loop = self._partial, asyncio.get_running_loop()
        while self._hashed < partial.size:
            upto = min(partial.spans.upto(self._hashed), self._hashed + HASH_BYTES)
            if upto == self._hashed:
                self._growing.clear()
                await self._growing.wait()
                continue
            try:
                await partial.check(self._hashed, upto)
                await loop.run_in_executor(self._threads, self._follow, upto)
            except StorageError:  # damaged in an earlier life: it is fetched again
                await asyncio.sleep(AGAIN_SECONDS)
        return self._sha256.hexdigest(), self._git.hexdigest() if self._git is not None else ""

    def _follow(self, end: int) -> None:
        """What cannot be read is where it goes on, so each piece is hashed once."""
        while self._hashed < end:
            data = self._partial.read(self._hashed, min(self._hashed + READ_BYTES, end))
            self._sha256.update(data)
            if self._git is not None:
                self._git.update(data)
            self._hashed += len(data)
