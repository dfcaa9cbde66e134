"""Brings the purges of parents and siblings to this node: what is purged there is purged here a few seconds
later.

One task for each of them asks for what came after the last purge seen, every few seconds and at once
when an answer of the other, or a question of a sibling, shows that there is something. What was seen is kept
across restarts. Where purges may have been missed, all that comes from the other becomes stale, and is asked
for again when somebody wants it. Siblings are not told of that: each knows what it has missed."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from edgeproxy.errors import ProxyError, StorageError, UpstreamError
from edgeproxy.message import Headers
from edgeproxy.metrics import Metrics
from edgeproxy.pipeline.children import PURGES_PATH
from edgeproxy.pipeline.parent_links import ParentLink
from edgeproxy.pipeline.purges import Purges, SmallFiles
from edgeproxy.policy.surrogates import Position, position_of
from edgeproxy.storage.purge_feed import FedPurge, FeedPage, due
from edgeproxy.storage.store import Purge, PurgeScope
from edgeproxy.tasks import Tasks
from edgeproxy.upstream.upstream import Upstream, UpstreamRequest

FILE = "purges.followed"
FILE_BYTES_MAX = 1 << 20
POLL_SECONDS = 2.0
POLLED_AT_ONCE = 8  # with more to follow each is asked less often
PATIENCE_SECONDS = 1.0  # of a sibling that asks while its purges are being taken over
STRANGE_SECONDS = 10.0  # for which nobody waits for a log that could not be found
STRANGE_MAX = 64
GAP_SECONDS = 0.2  # between two questions, however many purges there are
FAILED_SECONDS_MAX = 60.0
FOREIGN_SECONDS = 300.0  # one that is no edgeproxy, or will not tell
JITTER = 0.25
PAGE_BYTES_MAX = 8 << 20  # of JSON: values escaped at their longest


class _Kept(msgspec.Struct, frozen=True):
    epoch: str
    number: int


class Unfollowable(Exception):
    """One that does not tell its purges in a way this node understands. Never leaves this module."""


class PurgeFollower:
    """`report` is told when following somebody begins to fail. Start it when the store is open."""

    def __init__(
        self,
        links: Sequence[ParentLink],
        *,
        node: str,
        upstream: Upstream,
        purges: Purges,
        tasks: Tasks,
        metrics: Metrics,
        report: Callable[[str], None],
        chance: random.Random | None = None,
    ) -> None:
        self._links = tuple(links)
        self._node = node
        self._upstream = upstream
        self._purges = purges
        self._tasks = tasks
        self._metrics = metrics
        self._report = report
        self._chance = chance or random.Random()
        self._files: SmallFiles | None = None
        self._seen: dict[str, Position] = {}
        self._strange: dict[str, float] = {}  # logs of askers that were not found, and until when
        self._moved = asyncio.Event()  # set and cleared at once whenever something has been taken over
        self._wakes = {link.name: asyncio.Event() for link in self._links}
        self._beside = [link.name for link in self._links if link.beside]

    @property
    def seen(self) -> Mapping[str, Position]:
        """By name, the last purge this node has followed."""
        return self._seen

    async def start(self, files: SmallFiles | None) -> None:
        """Follow all of them from where the process before left off, until the tasks are closed."""
        self._files = files
        if not self._links:
            return
        data = b"" if files is None else await asyncio.to_thread(files.read, FILE, FILE_BYTES_MAX)
        try:
            kept = msgspec.json.decode(data, type=dict[str, _Kept])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            kept = {}  # then nothing is known to have been seen
        names = {link.name for link in self._links}
        self._seen = {name: Position(one.epoch, one.number) for name, one in kept.items() if name in names}
        for link in self._links:
            self._tasks.start(self._follow(link), f"follow {link.name}")

    async def has_followed(self, position: Position) -> bool:
        """Whether all is taken over that a sibling had purged at `position`; waits a moment until it is."""
        if self._has_seen(position) or not self._beside:
            return True
        epoch, now = position.epoch, time.monotonic()
        if self._strange.get(epoch, 0.0) > now:
            return False
        at = [name for name, seen in self._seen.items() if seen.epoch == epoch]
        for name in at or self._beside:  # a log nobody knows: it is a new one, or that of a new sibling
            self._wakes[name].set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not self._has_seen(position):
                    await self._moved.wait()
        if not at and not self._has_seen(position):
            self._strange[epoch] = now + STRANGE_SECONDS
            while len(self._strange) > STRANGE_MAX:
                del self._strange[next(iter(self._strange))]
        return self._has_seen(position)

    def _has_seen(self, position: Position) -> bool:
        epoch, number = position.epoch, position.number
        return any(seen.epoch == epoch and seen.number >= number for seen in self._seen.values())

    def heard(self, link: ParentLink, said: str) -> None:
        """An answer of the other said how far its purges are."""
        position, seen = position_of(said), self._seen.get(link.name)
        is_old = seen is not None and position is not None and seen.epoch == position.epoch
        if position is not None and not (is_old and seen is not None and position.number <= seen.number):
            self._wakes[link.name].set()

    # -- one of them ----------------------------------------------------------------------------

    async def _follow(self, link: ParentLink) -> None:
        wake, failures = self._wakes[link.name], 0
        while True:
            wake.clear()
            wait = POLL_SECONDS * max(1.0, len(self._links) / POLLED_AT_ONCE)
            try:
                if not await self.follow_once(link):
                    self._report(f"{link.name} is this node itself: its purges are not followed")
                    return
                failures = 0
            except (UpstreamError, Unfollowable) as error:
                failures += 1
                if failures == 1:
                    self._report(f"purges of {link.name} cannot be followed: {error}")
                self._metrics.count("followed_total", link.name, "failed")
                wait = min(POLL_SECONDS * 2 ** min(failures, 16), FAILED_SECONDS_MAX)
                wait = FOREIGN_SECONDS if isinstance(error, Unfollowable) else wait
            await asyncio.sleep(GAP_SECONDS)
            try:
                async with asyncio.timeout(wait * (1 + JITTER * (2 * self._chance.random() - 1))):
                    await wake.wait()
            except TimeoutError:
                pass

    async def follow_once(self, link: ParentLink) -> bool:
        """Ask, and purge what is told, as long as there is more; False if the other is this node. Raises
        UpstreamError, Unfollowable."""
        while True:
            seen = self._seen.get(link.name)
            page = await self._ask(link, seen)
            found = due(page, seen, self._purges.feed, beside=link.beside)
            if found.is_own:
                return False
            if found.is_gap:
                await self._purge_all_of(link, found.position)
            for fed in found.purges:
                await self._take_over(link, fed)
            await self._remember(link, found.position)
            if not page.purges and found.position.number == page.number:
                return True
            await asyncio.sleep(GAP_SECONDS)

    async def _ask(self, link: ParentLink, seen: Position | None) -> FeedPage:
        query = "" if seen is None else f"?epoch={seen.epoch}&after={seen.number}"
        fields = {"Accept": "application/json", "Accept-Encoding": "identity", **link.fields(self._node)}
        headers = Headers((name, value) for name, value in fields.items() if value is not None)
        request = UpstreamRequest("GET", link.origin, PURGES_PATH + query, headers, reach=link.reach)
        response = await self._upstream.fetch(request)
        data = bytearray()
        try:
            if response.status >= 500:
                raise UpstreamError(ProxyError.DESTINATION_UNAVAILABLE, f"status {response.status}")
            if response.status != 200:
                raise Unfollowable(f"it answered {response.status}")
            async for chunk in response.chunks():
                data += chunk
                if len(data) > PAGE_BYTES_MAX:
                    raise Unfollowable(f"more than {PAGE_BYTES_MAX} bytes")
        finally:
            await response.aclose()
        try:
            return msgspec.json.decode(bytes(data), type=FeedPage)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Unfollowable("what it tells is no log of purges") from error

    # -- what is done about it -----------------------------------------------------------------

    async def _take_over(self, link: ParentLink, fed: FedPurge) -> None:
        own = _of_sites(link, soft=fed.soft) if fed.scope is PurgeScope.ALL else ()
        try:
            await self._purges.take_over(fed, own)
            self._metrics.count("followed_total", link.name, "purged")
        except StorageError:
            self._metrics.count("followed_total", link.name, "failed")

    async def _purge_all_of(self, link: ParentLink, position: Position) -> None:
        self._metrics.count("followed_total", link.name, "gap")
        for purge in _of_sites(link, soft=True):
            await self._purges.purge(purge, below=link.beside)

    async def _remember(self, link: ParentLink, position: Position) -> None:
        if self._seen.get(link.name) == position:
            return
        self._seen[link.name] = position
        self._moved.set()
        self._moved.clear()
        if self._files is None:
            return
        names = {one.name for one in self._links}
        kept = {name: _Kept(at.epoch, at.number) for name, at in self._seen.items() if name in names}
        with contextlib.suppress(OSError):  # after a restart it then looks as if purges had been missed
            await asyncio.to_thread(self._files.replace, FILE, msgspec.json.encode(kept))


def _of_sites(link: ParentLink, *, soft: bool) -> tuple[Purge, ...]:
    """Purges of all that comes from a parent."""
    if not link.sites:
        return (Purge(PurgeScope.ALL, soft=soft),)
    return tuple(Purge(PurgeScope.SITE, site, soft=soft) for site in link.sites)
