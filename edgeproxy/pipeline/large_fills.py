"""The fills of large bodies that run, by cache key and by digest; the one place where they are started."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from msgspec.structs import replace

from edgeproxy.errors import StorageError
from edgeproxy.pipeline.asked import Source
from edgeproxy.pipeline.exchange import Answer
from edgeproxy.pipeline.fill_parts import FillParts
from edgeproxy.pipeline.large_fill import LargeFill
from edgeproxy.pipeline.ranged_source import RangedSource
from edgeproxy.pipeline.refusal import WrongBytes
from edgeproxy.policy import repr_digest
from edgeproxy.policy.partial_content import Pinned, strong_tag
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites.site import Plan
from edgeproxy.storage.store import PartialBody

ENDING_SECONDS = 1.0  # for the last reader to leave a fill that has failed, or a fill to be wound up


def is_identified(stored: StoredResponse) -> bool:
    """Whether bytes from several exchanges can be told to belong together."""
    return bool(stored.digest or strong_tag(stored.headers))


class LargeFills:
    """Owns every running LargeFill of the node."""

    def __init__(self, parts: FillParts) -> None:
        self._parts = parts
        self._running: dict[str, list[LargeFill]] = {}

    def __len__(self) -> int:
        return len({id(fill) for fills in self._running.values() for fill in fills})

    async def running(self, *names: str) -> list[LargeFill]:
        """Those that may be joined, by cache key or digest, and that no purge has superseded."""
        found = [fill for name in names for fill in self._running.get(name, ())]
        return [fill for fill in found if await self._is_current(fill)]

    async def _is_current(self, fill: LargeFill) -> bool:
        store = self._parts.store
        if fill.sequence != store.sequence:
            found = await store.lookup_partial(fill.stored.key)
            if not any(s.body == fill.partial.stored.body and s.fresh_until > 0 for s in found):
                return False
            fill.sequence = store.sequence
        return fill.is_joinable

    async def ending(self, name: str) -> bool:
        """Wait a moment for fills under a cache key or digest that have ended to let go of their parts;
        whether all have."""
        ending = [fill for fill in self._running.get(name, ()) if not fill.is_joinable]
        try:
            async with asyncio.timeout(ENDING_SECONDS):
                for fill in ending:
                    await fill.closed.wait()
        except TimeoutError:
            return False
        return bool(ending)

    def is_large(self, plan: Plan, size: int) -> bool:
        """Whether a body of `size` bytes is kept in parts."""
        return self._parts.settings.sparse < size <= plan.rules.body_bytes_max

    async def adopt(
        self, source: Source, stored: StoredResponse, answer: Answer, part: tuple[int, int]
    ) -> LargeFill | None:
        """A fill that begins with a response which brings `part` of `stored`; None if the body is not one
        to be kept in parts, and then the response is still the caller's."""
        plan, parts = source.plan, self._parts
        expected = plan.expected.sha256 or repr_digest.sha256_of(answer.response.headers)
        stored = replace(
            stored,
            digest=expected if stored.status == 200 else "",
            tags=(*stored.tags, *plan.tags),
            name=plan.name,
            group=plan.group,
            url=answer.url,
        )
        if stored.status != 200 or not self.is_large(plan, stored.body_bytes):
            return None
        if not is_identified(stored):
            return None
        try:
            partial = await parts.store.create_partial(stored, sequence=parts.store.sequence)
        except StorageError:
            return None
        return self.start(source, partial, stored, answer, part)

    def start(
        self,
        source: Source,
        partial: PartialBody,
        stored: StoredResponse,
        first: Answer | None = None,
        claim: tuple[int, int] = (0, 0),
    ) -> LargeFill:
        """Begin to put `partial` together; `first` is an exchange already begun, which brings `claim`."""
        plan, site, parts = source.plan, source.site, self._parts
        # What the site knows beforehand are not the fields of who sends the bytes.
        tag = strong_tag(first.response.headers if first is not None else stored.headers)
        if plan.known is not None and first is None:
            tag = ""
        pinned = Pinned(
            partial.size,
            tag,
            digest_known=bool(stored.digest or plan.expected.git_sha1),
            is_fixed=plan.expected.is_provable,
        )
        fill = LargeFill(
            plan=plan,
            site=site,
            stored=stored,
            partial=partial,
            source=RangedSource(
                parts.exchange,
                plan,
                site,
                source.headers,
                pinned,
                parts.metrics,
                located=first.url if first is not None else "",
                refuses_ranges=source.refuses_ranges,
            ),
            parts=parts,
            sequence=parts.store.sequence,
            wanted=partial.size <= plan.prefetch_bytes_max,
        )
        names = {plan.key, stored.key, stored.digest} - {""}
        for name in names:
            self._running.setdefault(name, []).append(fill)
        task = parts.tasks.start(self._run(fill, source, first, *claim), f"large fill {plan.key[:200]}")
        task.add_done_callback(lambda _: self._ended(fill, names))
        return fill

    async def _run(
        self, fill: LargeFill, source: Source, first: Answer | None, position: int, stop: int
    ) -> None:
        await fill.run(first, position, stop)
        error = fill.error
        if not isinstance(error, WrongBytes) or not error.may_try_again:
            return
        # From somebody else, before the clients that were cut off ask again.
        store = self._parts.store
        stored = replace(fill.stored, sequence=store.sequence)
        with suppress(StorageError):
            partial = await store.create_partial(stored, sequence=store.sequence)
            again = self.start(source, partial, stored)
            again.wanted, again.aliases = True, dict(fill.aliases)

    def _ended(self, fill: LargeFill, names: set[str]) -> None:
        for name in names:
            fills = self._running.get(name, [])
            if fill in fills:
                fills.remove(fill)
            if not fills:
                self._running.pop(name, None)

    async def invalidate(self, key: str) -> None:
        """What is on its way or here in part under `key` is outdated (RFC 9111 section 4.4)."""
        self._running.pop(key, None)
        for stored in await self._parts.store.lookup_partial(key):
            partial = await self._parts.store.open_partial(stored)
            if partial is not None:
                await partial.discard()
                partial.close()
