"""Any order of puts, purges, restarts, crashes and damage: a hit is what the model holds."""

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
from storage_stand import body_files, lose_index, opened, until

from edgeproxy.storage.store import Purge, PurgeScope

KEYS = st.sampled_from([f"k{n}" for n in range(6)])


class StoreMachine(RuleBasedStateMachine):
    """`model` holds the bytes last stored under a key; the store may forget them, never differ."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.generation = 0
        self.model: dict[str, bytes] = {}
        self.certain: set[str] = set()  # nothing happened that allows the store to forget these
        self.loop = asyncio.new_event_loop()
        self.open()

    @property
    def directory(self) -> Path:
        return self.root / str(self.generation)

    def run(self, work):
        return self.loop.run_until_complete(work)

    def open(self) -> None:
        self.stack = AsyncExitStack()
        self.stand = self.run(
            self.stack.enter_async_context(opened(self.directory, disk=600_000, memory=120_000))
        )

    @rule(key=KEYS, seed=st.integers(0, 1000), size=st.sampled_from([0, 10, 15_000, 60_000, 90_000]))
    def put(self, key, seed, size):
        data = random.Random(seed).randbytes(size)
        assert self.run(self.stand.put(key, data, tags=(f"t{key[1:]}",))) is not None
        self.model[key] = data
        if len(self.model) * 100_000 < 600_000:
            self.certain.add(key)

    @rule(key=KEYS)
    def get(self, key):
        data = self.run(self.stand.get(key))
        assert data is None or data == self.model.get(key)
        if key in self.certain:
            assert data is not None

    @rule(key=KEYS)
    def remove(self, key):
        for stored in self.run(self.stand.store.lookup(key)):
            self.run(self.stand.store.remove(stored))
        self.forget(key)

    @rule(key=KEYS, scope=st.sampled_from(["tag", "url", "all"]))
    def purge(self, key, scope):
        purge = {
            "tag": Purge(PurgeScope.TAG, f"t{key[1:]}"),
            "url": Purge(PurgeScope.URL, key),
            "all": Purge(PurgeScope.ALL),
        }[scope]
        self.run(self.stand.store.purge(purge))
        for name in [key] if scope != "all" else list(self.model):
            self.forget(name)

    @rule()
    def reclaim(self):
        self.run(self.stand.store._purging.reclaim())

    @rule()
    def leave_memory(self):
        self.run(self.stand.forget_memory())

    @rule()
    def evict(self):
        self.run(self.stand.on_disk())
        self.stand.store.disk.evict(100_000)
        self.certain.clear()

    @rule()
    def restart(self):
        self.run(self.stack.aclose())
        self.open()

    @rule(lost=st.booleans())
    def crash(self, lost):
        """What a killed process leaves is what lies in the directory at that moment."""
        before = self.directory
        self.run(self.stand.on_disk())
        target = self.root / str(self.generation + 1)
        shutil.copytree(before, target)
        self.run(self.stack.aclose())
        self.generation += 1
        if lost:
            lose_index(self.directory)
        self.certain.clear()
        self.open()
        self.run(until(lambda: not self.stand.store.disk.index.is_partial))

    @rule(seed=st.integers(0, 10_000))
    def corrupt(self, seed):
        self.run(self.stand.on_disk())
        files = sorted(body_files(self.directory))
        if not files:
            return
        chance = random.Random(seed)
        path = chance.choice(files)
        data = bytearray(path.read_bytes())
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        self.certain.clear()

    def forget(self, key):
        self.model.pop(key, None)
        self.certain.discard(key)

    @invariant()
    def limits_hold(self):
        figures = self.stand.store.statistics()
        assert 0 <= figures.disk_bytes <= 600_000 + 100_000
        assert figures.memory_bytes <= 120_000 + 100_000

    def teardown(self):
        self.run(self.stack.aclose())
        self.loop.close()
        shutil.rmtree(self.root)


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
