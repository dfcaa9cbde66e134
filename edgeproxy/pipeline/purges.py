"""The one way to purge: in the store, and in the log that the nodes below this one read."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from edgeproxy.policy.surrogates import Position
from edgeproxy.storage.purge_feed import FILE_BYTES_MAX, FedPurge, FeedPage, PurgeFeed, taken_over, told_below
from edgeproxy.storage.store import Purge, Store
from edgeproxy.tasks import Tasks
from edgeproxy.upstream.upstream import Origin

FILE = "purges.feed"
REST_SECONDS = 0.2  # several purges in a row are written down together


class SmallFiles(Protocol):
    """Where a node keeps what it has to know again after a restart. Blocks; raises OSError."""

    def read(self, name: str, limit: int) -> bytes: ...

    def replace(self, name: str, data: bytes) -> None: ...


async def _follows_nobody(position: Position) -> bool:
    return True


class Purges:
    """`origins` gives the upstreams of a site by its name. `has_followed` tells whether all has been taken
    over that another node has purged up to a position, and may wait a moment for it. Until `open`, and
    without files, the log begins with this process: whoever follows it then takes a restart for a gap."""

    def __init__(self, store: Store, *, origins: Callable[[str], Sequence[Origin]], tasks: Tasks) -> None:
        self._store = store
        self._origins = origins
        self._tasks = tasks
        self._one_by_one = asyncio.Lock()
        self._files: SmallFiles | None = None
        self._is_saved = True
        self._saving: asyncio.Task[None] | None = None
        self.has_followed: Callable[[Position], Awaitable[bool]] = _follows_nobody
        self.feed = PurgeFeed(secrets.token_hex(8), store.sequence)

    @property
    def position(self) -> Position:
        return self.feed.position

    async def open(self, files: SmallFiles | None) -> None:
        """Go on with the log of the process before, once the store knows its purges."""
        self._files = files
        data = b"" if files is None else await asyncio.to_thread(files.read, FILE, FILE_BYTES_MAX)
        self.feed = PurgeFeed.load(data, self._store.sequence, secrets.token_hex(8))
        self._save_later()

    def after(self, seen: Position | None) -> FeedPage:
        return self.feed.after(seen)

    async def purge(self, purge: Purge, *, below: bool = False) -> None:
        """Raises StorageError for a value beyond 64 KiB. `below`: nodes beside this one are not told."""
        async with self._one_by_one:  # so that each gets the number it has in the store
            await self._store.purge(purge)
            prefixes = [f"{origin.url}/" for origin in self._origins(purge.value)]
            self.feed.note(self._store.sequence, told_below(purge, prefixes), below=below)
        self._save_later()

    async def take_over(self, fed: FedPurge, purges: Sequence[Purge] = ()) -> None:
        """Purge what another node has purged, by its words or by `purges`; once, however often it is told."""
        purges = purges or taken_over(fed)
        async with self._one_by_one:
            if self.feed.knows(fed.id):
                return
            for purge in purges:
                await self._store.purge(purge)
            self.feed.note(self._store.sequence, taken_over(fed), fed.id)
        self._save_later()

    # -- written down --------------------------------------------------------------------------

    def _save_later(self) -> None:
        self._is_saved = False
        if self._saving is None or self._saving.done():
            self._saving = self._tasks.start(self._save_soon(), "save purges")

    async def _save_soon(self) -> None:
        while not self._is_saved:
            await asyncio.sleep(REST_SECONDS)
            await self._save()

    async def _save(self) -> None:
        self._is_saved = True
        if self._files is not None:
            with contextlib.suppress(OSError):  # the next process then begins a new log: a gap for children
                await asyncio.to_thread(self._files.replace, FILE, self.feed.dump())

    async def aclose(self) -> None:
        """Write down what waits. Call it while the directory is still this process's."""
        if self._saving is not None:
            self._saving.cancel()
            await asyncio.wait([self._saving])
        if not self._is_saved or self._saving is not None:
            await self._save()
