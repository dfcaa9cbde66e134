"""One after the other for each key: what is done in threads and then held on the loop must be held in the
order in which it was done, or the loop holds what the disk has just let go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """Used on the loop. Knows the keys somebody works on or waits for, and no others."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    def __len__(self) -> int:
        return len(self._locks)

    @asynccontextmanager
    async def turn(self, key: str) -> AsyncIterator[None]:
        """Nobody else has a turn for `key` inside the block; who came first is first."""
        lock, count = self._locks.get(key, (None, 0))
        lock = lock or asyncio.Lock()
        self._locks[key] = (lock, count + 1)
        try:
            async with lock:
                yield
        finally:
            count = self._locks[key][1] - 1
            if count:
                self._locks[key] = (lock, count)
            else:
                del self._locks[key]
