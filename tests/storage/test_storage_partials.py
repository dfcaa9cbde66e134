"""Any order of writes, syncs, purges, restarts, crashes and damage: what is there is what was written."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from storage_stand import opened, part_bytes, response

from edgeproxy.errors import StorageError
from edgeproxy.policy.spans import Spans
from edgeproxy.storage.store import Purge, PurgeScope

SIZE = 9_000_000
DATA = random.Random(7).randbytes(SIZE)
KEY = "https://o.example/large"
OFFSETS = st.integers(0, SIZE - 1) | st.sampled_from([0, 4 << 20, (4 << 20) - 1, 8 << 20])
LENGTHS = st.sampled_from([1, 1000, 70_000, 4 << 20, SIZE])


class PartialMachine(RuleBasedStateMachine):
    """`written` is what must be there; `synced` what a crash may not take."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.generation = 0
        self.written, self.synced = Spans(), Spans()
        self.is_whole = False
        self.body = None
        self.loop = asyncio.new_event_loop()
        self.open()

    @property
    def directory(self) -> Path:
        return self.root / str(self.generation)

    def run(self, work):
        return self.loop.run_until_complete(work)

    def open(self) -> None:
        self.stack = AsyncExitStack()
        self.stand = self.run(self.stack.enter_async_context(opened(self.directory)))

    async def work_on(self):
        """The body, opened or made."""
        if self.body is None:
            store = self.stand.store
            found = await store.lookup_partial(KEY)
            if found:
                self.body = await store.open_partial(found[0])
                assert self.body is not None
            else:
                assert not self.written.total
                stored = response(KEY, body_bytes=SIZE)
                self.body = await store.create_partial(stored, sequence=store.sequence)
        return self.body

    @rule(offset=OFFSETS, length=LENGTHS)
    def write(self, offset, length):
        async def work():
            body = await self.work_on()
            end = min(SIZE, offset + length)
            middle = (offset + end) // 2
            await asyncio.gather(
                body.write(offset, [DATA[offset:middle], DATA[middle:end]]),
                body.write(middle, [DATA[middle:end]]),
            )
            self.written.add(offset, end)

        if not self.is_whole:
            self.run(work())

    @rule(offset=OFFSETS, length=LENGTHS)
    def read(self, offset, length):
        async def work():
            if self.is_whole:
                assert await self.stand.get(KEY) in (None, DATA)
                return
            body = await self.work_on()
            end = min(self.written.upto(offset), offset + length)
            if end <= offset:
                return
            await body.check(offset, end)
            assert part_bytes(body.slice(offset, end)) == DATA[offset:end]

        self.run(work())

    @rule()
    def sync(self):
        if self.body is not None:
            self.run(self.body.sync())
            self.synced = self.written.copy()

    @rule()
    def close(self):
        async def work():
            self.body.close()

        if self.body is not None:
            self.run(work())
            self.body = None

    @rule()
    def commit(self):
        async def work():
            body = await self.work_on()
            kept = await body.commit(body.stored, "")
            assert (kept is not None) == (self.written.total == SIZE)
            self.is_whole = kept is not None
            if kept is not None:
                body.close()
                self.body = None
                assert await self.stand.get(KEY) == DATA

        if not self.is_whole:
            self.run(work())

    @rule()
    def purge(self):
        self.close()
        self.run(self.stand.store.purge(Purge(PurgeScope.URL, KEY)))
        self.written, self.synced, self.is_whole = Spans(), Spans(), False

    @rule()
    def restart(self):
        self.body = None
        self.run(self.stack.aclose())
        self.synced = self.written.copy()
        self.open()

    @rule(torn=st.booleans())
    def crash(self, torn):
        """What a killed process leaves; torn: also the last bytes of the file were never on the disk."""
        target = self.root / str(self.generation + 1)
        shutil.copytree(self.directory, target)
        self.body = None
        self.run(self.stack.aclose())
        self.generation += 1
        if torn:
            for path in (target / "partial").iterdir():
                data = path.read_bytes()
                path.write_bytes(data[: len(data) * 3 // 4])
        self.open()
        if not self.is_whole:
            self.run(self.take_stock(torn))

    async def take_stock(self, torn):
        """After a crash the body tells what is there; all of that must be right after a check."""
        found = await self.stand.store.lookup_partial(KEY)
        body = await self.stand.store.open_partial(found[0]) if found else None
        assert torn or body is not None or not self.synced.total
        there = Spans() if body is None else body.spans
        assert torn or all(there.holds(*span) for span in self.synced)
        for start in range(0, SIZE, 4 << 20) if body is not None else ():
            for first, last in list(there.copy()):
                first, last = max(first, start), min(last, start + (4 << 20))
                if first >= last:
                    continue
                try:
                    await body.check(first, last)
                except StorageError:
                    assert torn
                    continue
                assert part_bytes(body.slice(first, last)) == DATA[first:last]
        self.body = body
        self.written = there.copy()
        self.synced = there.copy()

    @invariant()
    def what_is_there_is_what_was_written(self):
        if self.body is not None:
            assert self.body.spans == self.written
        assert 0 <= self.stand.store.disk.used <= 64 << 20  # what was purged goes a moment later

    def teardown(self):
        self.run(self.stack.aclose())
        self.loop.close()
        shutil.rmtree(self.root)


TestPartialMachine = PartialMachine.TestCase
TestPartialMachine.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)
