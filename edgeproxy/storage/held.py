"""What the RAM tier holds, judged against the purges, and loaded from the index when it is not there."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from edgeproxy.errors import StorageError
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.storage.disk import DiskTier
from edgeproxy.storage.generations import Generations, Verdict
from edgeproxy.storage.memory import Copy, Entry, RamTier
from edgeproxy.storage.threads import Threads
from edgeproxy.tasks import Tasks

JUDGE_BATCH = 500  # entries, before others get their turn


class Held:
    """Used on the loop only, except `current`. Without a `disk`, what is not in RAM is nowhere."""

    def __init__(self, ram: RamTier, generations: Generations, threads: Threads, tasks: Tasks) -> None:
        self.disk: DiskTier | None = None
        self._ram, self._generations = ram, generations
        self._threads, self._tasks = threads, tasks
        self._loading: dict[str, asyncio.Task[Entry | None]] = {}

    def lookup(self, key: str) -> tuple[StoredResponse, ...] | None:
        """The variants under `key` as purges leave them; None when only `load` can tell."""
        if self._ram.find(key) is not None:
            self._ram.touch(key)
        return self.peek(key)

    def peek(self, key: str) -> tuple[StoredResponse, ...] | None:
        """The same, of which eviction does not hear."""
        entry = self._ram.find(key)
        if entry is None:
            if self.disk is not None and self.disk.known_keys.may_have(key):
                return None
            return () if self.disk is None else self.hold(key, ()).variants
        if entry.checked != self._generations.sequence:
            self.judge(key, entry)
        return entry.variants

    def hold(self, key: str, variants: tuple[StoredResponse, ...]) -> Entry:
        return self._ram.hold(key, variants, self._generations.sequence)

    def judge(self, key: str, entry: Entry) -> None:
        """Compare an entry with the purges since it was last looked at."""
        sequence = self._generations.sequence
        kept: list[StoredResponse] = []
        for stored in entry.variants:
            verdict = self._generations.verdict(stored)
            copy = entry.copies.get(stored.body)
            if verdict is Verdict.DEAD:
                continue
            if verdict is Verdict.SOFT:
                # From here on it has seen the purge: freshening it will make it good again.
                stored = replace(stored, fresh_until=0.0, sequence=sequence)
                if copy is not None:
                    copy.make_stale()
            elif copy is not None:
                copy.sequence = sequence
            kept.append(stored)
        self.hold(key, tuple(kept))

    async def judge_all(self) -> None:
        """Compare every entry with the purges known now, so that they may be forgotten."""
        keys = self._ram.keys()
        for start in range(0, len(keys), JUDGE_BATCH):
            for key in keys[start : start + JUDGE_BATCH]:
                entry = self._ram.find(key)
                if entry is not None and entry.checked != self._generations.sequence:
                    self.judge(key, entry)
            await asyncio.sleep(0)

    async def load(self, key: str) -> Entry | None:
        """What is held under `key`, loaded if need be; None when the index cannot tell."""
        entry = self._ram.find(key)
        if entry is not None:
            return entry
        if self.disk is None or not self.disk.known_keys.may_have(key):
            return self.hold(key, ())
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = self._tasks.start(self._load(key, self.disk), "look-up")
            task.add_done_callback(lambda _: self._loading.pop(key, None))
        return await asyncio.shield(task)

    async def _load(self, key: str, disk: DiskTier) -> Entry | None:
        try:
            before = -1
            while before != self._generations.forgotten:  # nothing read before is judged after that
                before = self._generations.forgotten
                found = await self._threads.look_up(disk.find, key)
        except StorageError as error:
            self._threads.note("storage_errors_total", "look-up", str(error))
            return None
        entry = self.hold(key, tuple(found))
        self.judge(key, entry)
        return entry

    def is_welcome(self, stored: StoredResponse, now: float) -> bool:
        """Whether a fill may commit: no purge is younger than it, nor is what it would replace (unless
        that is from the future, which a clock set back makes possible)."""
        if self._generations.verdict(stored) is not Verdict.GOOD:
            return False
        if stored.sequence < self._generations.forgotten:
            return False
        entry = self._ram.find(stored.key)
        return not any(
            held.selecting == stored.selecting and stored.response_time < held.response_time <= now
            for held in (entry.variants if entry is not None else ())
        )

    def copy(self, stored: StoredResponse) -> Copy | None:
        entry = self._ram.find(stored.key)
        return None if entry is None else entry.copies.get(stored.body)

    def use(self, stored: StoredResponse) -> None:
        self._ram.used(stored.key, stored.body)
        entry = self._ram.find(stored.key)
        if entry is not None and len(entry.variants) > 1 and entry.variants[0].body != stored.body:
            # Most recently used first, so that the last variant is the one to go.
            first = [s for s in entry.variants if s.body == stored.body]
            entry.variants = (*first, *(s for s in entry.variants if s.body != stored.body))

    def current(self, stored: StoredResponse) -> StoredResponse | None:
        """`stored` as it is held now, None if it is not any more. In any thread."""
        entry = self._ram.find(stored.key)
        variants = entry.variants if entry is not None else ()
        return next((s for s in variants if s.body == stored.body), None)

    def forget_bodies(self, bodies: list[str]) -> None:
        """These have left the disk; what is in RAM may stay there."""
        for body in bodies:
            for key in self._ram.keys_of(body):
                entry = self._ram.find(key)
                if entry is None:
                    continue
                self._ram.let_go(key, entry, body)
                if body not in entry.copies:
                    self.hold(key, tuple(stored for stored in entry.variants if stored.body != body))

    def imported(self, stored: StoredResponse) -> None:
        """The sweep has read this response in again: an entry that lacks it is out of date."""
        self._generations.sequence = max(self._generations.sequence, stored.sequence)
        entry = self._ram.find(stored.key)
        if entry is not None and not any(copy.is_in_ram for copy in entry.copies.values()):
            self._ram.drop(stored.key)
