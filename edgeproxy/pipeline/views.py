"""Views: what a site makes of a stored body (a page with its links rewritten, say). Each is derived
once for each body, in a thread, and stored beside it under a key of its own.

A stored view names the body it was made from and is used only for that one: when the source is
replaced, freshened or purged, its views follow without being looked for."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import Executor
from dataclasses import dataclass

from msgspec.structs import replace

from edgeproxy.errors import ProxyError, StorageError, UpstreamError
from edgeproxy.message import FileSlice
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites.site import Derived, Plan, Site, Unacceptable, View
from edgeproxy.storage.store import Store, StoredBody
from edgeproxy.tasks import Tasks


def view_key(plan: Plan, view: View) -> str:
    # A space cannot be in a URL, so this is no other resource's key.
    return f"{plan.key} view={view.id}"


class Views:
    """Derives, keeps and finds views. Derivations of one view are collapsed."""

    def __init__(self, store: Store, tasks: Tasks, threads: Executor) -> None:
        self._store = store
        self._tasks = tasks
        self._threads = threads
        self._deriving: dict[str, asyncio.Task[Derived | None]] = {}

    async def find(self, plan: Plan, view: View, source: StoredResponse) -> StoredResponse | None:
        """The stored view of `source`, if it has been derived before."""
        if view.volatile or not source.body:
            return None
        key = view_key(plan, view)
        kept = self._store.lookup_memory(key)
        if kept is None:
            kept = await self._store.lookup(key)
        return next((stored for stored in kept if stored.source == source.body), None)

    async def derive(self, plan: Plan, view: View, site: Site, source: StoredResponse) -> Derived | None:
        """Make the view of a stored `source` now; None when its body is gone. Raises UpstreamError
        when the source turns out not to be what it should be."""
        key = f"{view_key(plan, view)} of {source.body}"
        task = self._deriving.get(key)
        if task is None:
            task = self._tasks.start(self._derive(plan, view, site, source), "derive view")
            self._deriving[key] = task
            task.add_done_callback(lambda _: self._deriving.pop(key, None))
        return await asyncio.shield(task)

    async def _derive(self, plan: Plan, view: View, site: Site, source: StoredResponse) -> Derived | None:
        body = await self._store.open(source)
        if body is None:
            return None
        loop = asyncio.get_running_loop()
        try:
            data = await loop.run_in_executor(self._threads, read_whole, body)
        finally:
            body.close()
        try:
            derived = await loop.run_in_executor(self._threads, derive_or_fail, view, source, data, None)
        except UpstreamError as error:
            learn_from(site, error)
            raise
        await self.keep(plan, view, site, source, derived)
        return derived

    async def keep(
        self, plan: Plan, view: View, site: Site, source: StoredResponse, derived: Derived
    ) -> None:
        """Store a view of `source` and let the site learn from it."""
        if derived.learned is not None:
            site.learn(derived.learned)
        if view.volatile or not source.body:
            return
        key = view_key(plan, view)
        stored = as_stored(source, derived, key)
        writer = self._store.writer(
            key,
            sequence=self._store.sequence,  # a purge since then shows in the source
            expected_bytes=len(derived.data),
            memory_only=False,
        )
        try:
            await writer.write([derived.data])
            await writer.commit(stored, "")
        except StorageError:
            await writer.abort()
        finally:
            writer.close()


def as_stored(source: StoredResponse, derived: Derived, key: str) -> StoredResponse:
    """The view as a response: it is as old and lives as long as its source."""
    return replace(
        source,
        key=key,
        fields=derived.fields.pairs,
        selecting=(),
        source=source.body,
        body="",
        body_bytes=len(derived.data),
        digest="",
    )


@dataclass(frozen=True, slots=True)
class ViewExaminer:
    """Lets a fill judge a page by deriving the view its first client wants, and keep that view."""

    views: Views
    plan: Plan
    view: View
    site: Site
    previous: StoredResponse | None

    def examine(self, stored: StoredResponse, data: bytes) -> Derived:
        return derive_or_fail(self.view, stored, data, self.previous)

    async def keep(self, stored: StoredResponse, examined: Derived) -> None:
        await self.views.keep(self.plan, self.view, self.site, stored, examined)


def derive_or_fail(
    view: View, stored: StoredResponse, data: bytes, previous: StoredResponse | None
) -> Derived:
    """`view.derive`, where what is unacceptable is the upstream's failure."""
    try:
        return view.derive(stored, data, previous)
    except Unacceptable as error:
        raise UpstreamError(ProxyError.HTTP_PROTOCOL_ERROR, str(error)) from error


def learn_from(site: Site, error: UpstreamError) -> None:
    """Hand what an unacceptable body taught to the site."""
    cause = error.__cause__
    if isinstance(cause, Unacceptable) and cause.learned is not None:
        site.learn(cause.learned)


def read_whole(body: StoredBody) -> bytes:
    """The bytes of a stored body, read in the calling thread. Raises StorageError if they are short."""
    part = body.data if body.data is not None else body.slice(0, body.size)
    if not isinstance(part, FileSlice):
        return bytes(part)
    pieces, offset, end = [], part.offset, part.offset + part.length
    try:
        while offset < end:
            piece = os.pread(part.file.fileno(), end - offset, offset)
            if not piece:
                raise StorageError("a stored body is shorter than recorded")
            pieces.append(piece)
            offset += len(piece)
    except OSError as error:
        raise StorageError(str(error)) from error
    return b"".join(pieces)
