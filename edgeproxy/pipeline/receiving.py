"""Takes in the body of one ordinary fill: to the store and to its readers, hashed on the way, judged at
the end, kept, and only then shown as complete."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from edgeproxy.errors import ProxyError, StorageError, UpstreamError
from edgeproxy.pipeline.blame import told
from edgeproxy.pipeline.fill_end import FillEnd
from edgeproxy.pipeline.fill_parts import Examiner, FillParts
from edgeproxy.pipeline.growing_body import GrowingBody
from edgeproxy.pipeline.refusal import WrongBytes, bad_answer
from edgeproxy.pipeline.resume import Resuming
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites.site import Plan
from edgeproxy.storage.store import BodyWriter

HASH_INLINE_BYTES = 64 << 10  # below, hashing costs less than a hop to a thread
NEARLY_BYTES = 64 << 10  # what is so close to its end is finished
COMMIT_WAIT_SECONDS = 1.0  # a slow disk may delay the end of a body this long, not longer
BUFFERED_BYTES_MAX = 64 << 20  # of a body that has to be looked at as a whole


class Digests:
    """What is known of a body beforehand, and what it turns out to be."""

    def __init__(self, sha256: str, git_sha1: str, size: int | None) -> None:
        self._expected, self._expected_git = sha256, git_sha1
        self._sha256 = hashlib.sha256()
        self._git = hashlib.sha1(usedforsecurity=False) if git_sha1 and size is not None else None
        if self._git is not None:
            self._git.update(b"blob %d\0" % (size or 0))

    @property
    def is_known(self) -> bool:
        return bool(self._expected or self._expected_git)

    def update(self, data: bytes | memoryview) -> None:
        self._sha256.update(data)
        if self._git is not None:
            self._git.update(data)

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    def mismatch(self) -> str:
        """Why the content is not what was expected; "" if it is."""
        if self._expected and self.sha256 != self._expected:
            return f"the content has SHA-256 {self.sha256} where {self._expected} is expected"
        if self._git is not None and self._git.hexdigest() != self._expected_git:
            return f"the content has git SHA-1 {self._git.hexdigest()} where {self._expected_git} is expected"
        return ""


@dataclass(slots=True)
class Receiving:
    """One body. `is_awaited`: somebody is about to read it; `is_wanted`: it is to be taken in although
    nobody does. `kept` is the response as committed, `examined` what the examiner made of it."""

    plan: Plan
    site: str
    parts: FillParts
    stored: StoredResponse
    body: GrowingBody
    writer: BodyWriter
    digests: Digests
    examiner: Examiner | None
    is_awaited: Callable[[], bool]
    is_wanted: Callable[[], bool]
    end: FillEnd = FillEnd.RUNNING
    kept: StoredResponse | None = None
    examined: Any = None

    async def run(self, content: Resuming) -> None:
        """Take it in to its end. Raises UpstreamError."""
        body, digests = self.body, self.digests
        whole: list[bytes] | None = None
        if self.examiner is not None and self.stored.status == 200:
            whole = []
        loop = asyncio.get_running_loop()
        async for chunk in content.chunks():
            body.append(chunk)
            self.parts.metrics.count("upstream_bytes_total", self.site, by=len(chunk))
            self._check_bounds(whole)
            if whole is not None:
                whole.append(chunk)
            hashing = None
            if len(chunk) > HASH_INLINE_BYTES:
                hashing = loop.run_in_executor(self.parts.hashing, digests.update, chunk)
            else:
                digests.update(chunk)
            await self._write(chunk)
            if hashing is not None:
                await hashing
            self._unless_abandoned()
        await self._ended(whole, content)

    def _check_bounds(self, whole: list[bytes] | None) -> None:
        if whole is not None and self.body.received > BUFFERED_BYTES_MAX:
            raise bad_answer(f"more than {BUFFERED_BYTES_MAX} bytes where a page is expected")
        if self.body.received > self.plan.rules.body_bytes_max:
            self.body.storing_failed()

    async def _write(self, chunk: bytes) -> None:
        if not self.body.store_failed:
            try:
                await self.writer.write([chunk])
                self.body.stored(self.writer.written)
                return
            except StorageError:
                self.body.storing_failed()
        await self.body.room()

    def _unless_abandoned(self) -> None:
        """Stops a fill nobody reads, unless it is wanted anyway or far enough (design section 7)."""
        if self.body.has_readers or self.is_awaited():
            return
        if (self.is_wanted() or self._is_far_enough()) and not self.body.store_failed:
            return
        self.end = FillEnd.ABANDONED
        raise UpstreamError(ProxyError.CONNECTION_TERMINATED, "nobody reads this fill any more")

    def _is_far_enough(self) -> bool:
        size, received = self.body.size, self.body.received
        if size is None:
            return False
        return size - received <= NEARLY_BYTES or received >= self.parts.settings.finish_share * size

    async def _ended(self, whole: list[bytes] | None, content: Resuming) -> None:
        """All bytes came, and the framing proved it. Judge them, keep them, then show the end."""
        body = self.body
        if body.size is not None and body.received != body.size:
            raise UpstreamError(ProxyError.HTTP_RESPONSE_INCOMPLETE, "the body is not as long as announced")
        mismatch = self.digests.mismatch()
        if mismatch:
            again = self.parts.exchange.blame.add(content.sources, self.plan.key, self.plan.expected.sha256)
            await self._set_aside(mismatch, content.sources)
            raise WrongBytes(mismatch, may_try_again=again)
        if whole is not None and self.examiner is not None:
            loop = asyncio.get_running_loop()
            data = b"".join(whole)
            examine = self.examiner.examine
            try:
                self.examined = await loop.run_in_executor(self.parts.hashing, examine, self.stored, data)
            except UpstreamError:
                self.parts.metrics.count("unacceptable_total", self.site)
                raise
        if body.store_failed:
            self.end = FillEnd.GIVEN_UP
        else:
            await self._commit()
            if self.kept is not None and self.examiner is not None and whole is not None:
                await self.examiner.keep(self.kept, self.examined)
        body.complete()

    async def _set_aside(self, mismatch: str, sources: set[str]) -> None:
        self.parts.metrics.count("digest_mismatch_total", self.site)
        self.parts.distrust.add(self.plan.key, self.plan.expected.sha256)
        self.parts.report(f"{self.plan.key}{told(sources)}: {mismatch}; it was completed to nobody")
        if not self.body.store_failed:
            expected = replace(self.stored, digest=self.plan.expected.sha256 or self.stored.digest)
            await self.writer.quarantine(expected, mismatch)

    async def _commit(self) -> None:
        """A store that is slow to commit may not hold up the readers for long."""
        commit = self.parts.tasks.start(self.writer.commit(self.stored, self.digests.sha256), "commit")
        done, _ = await asyncio.wait({commit}, timeout=COMMIT_WAIT_SECONDS)
        if not done and self.examiner is None:
            self.body.complete()
        try:
            self.kept = await commit
        except StorageError:
            self.kept = None
        self.end = FillEnd.COMPLETE if self.kept is not None else FillEnd.SUPERSEDED
