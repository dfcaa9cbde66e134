"""Each kind of disk call fails in turn, once at each place or from there on: the store answers with right
bytes or misses, ends in time, and works again when the disk does."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import sqlite3
import threading
from pathlib import Path

import pytest
from storage_stand import body_files, opened, response, until

from edgeproxy.errors import StartError, StorageError
from edgeproxy.storage.store import Purge, PurgeScope

CALLS = [
    "open",
    "pwritev",
    "fsync",
    "rename",
    "unlink",
    "pread",
    "ftruncate",
    "fstat",
    "stat",
    "statvfs",
    "mkdir",
]
PLACES = [*range(1, 13), *range(14, 60, 5), *range(64, 240, 17)]
READ = os.pread  # as it is, for what the tests look at themselves


def bytes_named(name, size):
    return random.Random(name).randbytes(size)


SMALL = {f"small{n}": bytes_named(f"small{n}", 900) for n in range(3)}
LARGE = {f"large{n}": bytes_named(f"large{n}", 70_000) for n in range(3)}
PARTS = {f"parts{n}": bytes_named(f"parts{n}", 150_000) for n in range(3)}
DIGEST = "cd" * 32


class Fault:
    """Fails the call of number `place`, and if it lasts all that follow. `is_on` only while the store is at
    work; calls come from several threads."""

    def __init__(self, place: int, lasts: bool) -> None:
        self.place, self.lasts = place, lasts
        self.calls = 0
        self.is_on = False
        self._lock = threading.Lock()

    def strikes(self) -> bool:
        with self._lock:
            if not self.is_on:
                return False
            self.calls += 1
            return self.calls >= self.place if self.lasts else self.calls == self.place

    @property
    def has_struck(self) -> bool:
        return self.calls >= self.place


def inject(patch: pytest.MonkeyPatch, call: str, fault: Fault) -> None:
    if call in ("sqlite-read", "sqlite-write"):
        patch.setattr(sqlite3, "connect", _failing_connect(fault, call))
        return
    patch.setattr(os, call, _failing(getattr(os, call), fault))


def _failing(work, fault):
    def call(*arguments, **named):
        if fault.strikes():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return work(*arguments, **named)

    return call


def _failing_connect(fault, call):
    connect = sqlite3.connect

    class Connection(sqlite3.Connection):
        def execute(self, sql, *values):
            is_read = sql.lstrip().startswith("select") and not self.in_transaction
            if is_read == (call == "sqlite-read") and fault.strikes():
                raise sqlite3.OperationalError("disk I/O error")
            return super().execute(sql, *values)

    return lambda *arguments, **named: connect(*arguments, **named, factory=Connection)


async def attempt(work):
    """What may fail with StorageError, and with nothing else."""
    try:
        return await work
    except StorageError:
        return None


async def put(stand, key, data, **changes):
    return await attempt(stand.put(key, data, **changes))


async def put_in_parts(stand, key, data, *, whole, digest=""):
    store = stand.store
    body = await attempt(
        store.create_partial(response(key, body_bytes=len(data), digest=digest), sequence=store.sequence)
    )
    if body is None:
        return
    try:
        await attempt(body.write(80_000, [data[80_000:120_000]]))
        await attempt(body.sync())
        await attempt(body.write(0, [data[:30_000]]))
        await parts_right(body, data)
        if whole:
            await attempt(body.write(0, [data]))
            await body.commit(body.stored, digest)
    finally:
        body.close()


async def parts_right(body, data):
    for start, end in list(body.spans):
        try:
            await body.check(start, end)
            part = body.slice(start, end)
        except StorageError:
            continue
        assert READ(part.file.fileno(), part.length, part.offset) == data[start:end]


async def right_or_missing(stand, key, data):
    """Gives whether it is there."""
    for stored in await stand.store.lookup(key):
        body = await stand.store.open(stored)
        if body is None:
            continue
        try:
            await body.check(0, body.size)
            part = body.slice(0, body.size)
        except StorageError:
            continue
        else:
            got = part if isinstance(part, bytes) else READ(part.file.fileno(), part.length, part.offset)
            assert got == data, key
            return True
        finally:
            body.close()
    for stored in await stand.store.lookup_partial(key):
        partial = await stand.store.open_partial(stored)
        if partial is not None:
            await parts_right(partial, data)
            partial.close()
    return False


async def work(stand):
    """Everything a store does, once; with no failure every answer is right."""
    store = stand.store
    for key, data in {**SMALL, **LARGE}.items():
        await put(stand, key, data, tags=(f"of-{key}",), group=key[:5])
    await put_in_parts(stand, "parts0", PARTS["parts0"], whole=True, digest=DIGEST)
    await put_in_parts(stand, "parts1", PARTS["parts1"], whole=False)
    await put_in_parts(stand, "parts2", PARTS["parts2"], whole=True)
    await store.link(response("other", digest=DIGEST))
    await put(stand, "large0", LARGE["large0"])
    await stand.forget_memory()
    for key, data in {**SMALL, **LARGE, **PARTS, "other": PARTS["parts0"]}.items():
        await right_or_missing(stand, key, data)
    for stored in await store.lookup("small0"):
        await store.freshen(stored, response("small0", fresh_until=stored.fresh_until + 60))
    for key in ("small1", "parts0"):  # a body that is shared goes on under its other name
        for stored in await store.lookup(key):
            await store.remove(stored)
    await right_or_missing(stand, "other", PARTS["parts0"])
    await store.purge(Purge(PurgeScope.TAG, "of-large1"))
    await attempt(stand.store._purging.reclaim())
    for stored in await store.lookup_partial("parts1"):
        partial = await store.open_partial(stored)
        if partial is not None:
            await partial.quarantine("for the test")
            partial.close()
    await attempt(asyncio.to_thread(store.disk.evict, 1))
    await attempt(asyncio.to_thread(store._upkeep.tell_touches))


def taken(directory: Path) -> int:
    paths = [*body_files(directory), *(directory / "partial").iterdir()]
    return sum(path.stat().st_blocks * 512 for path in paths)


async def all_right(directory: Path) -> None:
    """With a sound disk again: what is there is right, what was purged is not, and it takes what it says."""
    async with opened(directory) as stand:
        await until(lambda: not stand.store.disk.index.is_partial)
        for key, data in {**SMALL, **LARGE, **PARTS, "other": PARTS["parts0"]}.items():
            await right_or_missing(stand, key, data)
        assert await stand.store.lookup("large1") == ()
        assert await stand.put("after", b"works" * 9000)
        assert await stand.get("after") == b"works" * 9000
        await until(lambda: stand.store.disk.used == taken(directory))
        assert stand.store.statistics().disk_state == "ok"


@pytest.mark.parametrize("lasts", [False, True], ids=["once", "from-then-on"])
@pytest.mark.parametrize("call", [*CALLS, "sqlite-read", "sqlite-write"])
async def test_a_call_that_fails_costs_hits_and_nothing_else(tmp_path, monkeypatch, call, lasts):
    struck = 0
    for place in [1, 2, 4, 9, 20] if lasts else PLACES:
        directory = tmp_path / str(place)
        fault = Fault(place, lasts)
        with monkeypatch.context() as patch:
            inject(patch, call, fault)
            async with (
                asyncio.timeout(20),
                opened(directory, errors=10_000, small_body=2000, memory=300_000, sync=True) as stand,
            ):
                await until(lambda: not stand.store.disk.index.is_partial)
                fault.is_on = True
                await work(stand)
                fault.is_on = lasts
            fault.is_on = False
        await all_right(directory)
        struck += fault.has_struck
        if not fault.has_struck:
            break
    assert struck


@pytest.mark.parametrize("call", [*CALLS, "sqlite-read", "sqlite-write"])
async def test_a_call_that_fails_while_the_store_opens_is_a_clear_error_or_costs_hits(
    tmp_path, monkeypatch, call
):
    async with opened(tmp_path / "0", small_body=2000) as stand:
        await work(stand)
    for place in range(1, 30):
        fault = Fault(place, lasts=False)
        with monkeypatch.context() as patch:
            inject(patch, call, fault)
            fault.is_on = True
            try:
                async with asyncio.timeout(20), opened(tmp_path / "0", errors=10_000, sync=True) as stand:
                    for key, data in {**SMALL, **LARGE, **PARTS, "other": PARTS["parts0"]}.items():
                        await right_or_missing(stand, key, data)
            except StartError as error:
                said = str(error)
                assert "\n" not in said
            fault.is_on = False
        if not fault.has_struck:
            break
    await all_right(tmp_path / "0")
