"""Small bodies are written behind; a refusing disk stops nothing."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
from contextlib import suppress

import pytest
from storage_stand import body_files, opened, response, until

from edgeproxy.errors import StorageError
from edgeproxy.storage import tables, write_behind


async def test_an_error_at_the_close_of_one_does_not_stop_the_next(tmp_path, monkeypatch):
    async with opened(tmp_path / "c") as stand:
        await stand.on_disk()
        real = os.close

        def close(fd):
            real(fd)
            raise OSError(errno.EIO, "late write error")

        with monkeypatch.context() as patch:
            patch.setattr("edgeproxy.storage.write_behind.os.close", close)
            await stand.put("a", b"a")
            await stand.on_disk()
        await stand.put("b", b"b")
        await stand.on_disk()
        assert len(body_files(tmp_path / "c")) == 2
        assert await stand.get("b") == b"b"


async def test_who_ends_all_tasks_before_the_store_does_not_cost_what_waits(tmp_path):
    bodies = {f"k{number}": bytes([number]) * 3000 for number in range(200)}
    async with opened(tmp_path / "c") as stand:
        for key, data in bodies.items():
            await stand.put(key, data)
        part = await stand.store.create_partial(response("part", body_bytes=9000), sequence=0)
        await part.write(5, [b"p" * 1000])
        large = stand.store.writer("large", sequence=0, expected_bytes=None, memory_only=False)
        await large.write([b"l" * 50_000])
        committing = asyncio.ensure_future(large.commit(response("large"), ""))
        await asyncio.sleep(0)
        assert stand.store._behind._queue
        await stand.store._tasks.aclose()
        async with asyncio.timeout(20):
            await stand.store.aclose()
        with suppress(asyncio.CancelledError):
            await committing
        large.close()
    async with opened(tmp_path / "c") as stand:
        for key, data in bodies.items():
            assert await stand.get(key) == data
        assert await stand.get("large") in (None, b"l" * 50_000)
        (found,) = await stand.store.lookup_partial("part")
        part = await stand.store.open_partial(found)
        assert list(part.spans) == [(5, 1005)]
        part.close()


async def test_a_store_that_is_closing_takes_no_more(tmp_path):
    async with opened(tmp_path / "c") as stand:
        await stand.put("a", b"a" * 100)
        part = await stand.store.create_partial(response("part", body_bytes=9000), sequence=0)
        await stand.store.aclose()
        with pytest.raises(StorageError):
            await part.write(0, [b"late"])
        part.close()


async def test_what_comes_within_a_moment_is_written_together(tmp_path, monkeypatch):
    monkeypatch.setattr(write_behind, "GATHER_SECONDS", 60)
    async with opened(tmp_path / "c") as stand:
        index, transactions, inserted = stand.store.disk.index, [], []
        write, put = index._write, tables.put

        def writing(batch):
            before = len(inserted)
            write(batch)
            if len(inserted) > before:
                transactions.append(len(inserted) - before)

        monkeypatch.setattr(index, "_write", writing)
        monkeypatch.setattr(tables, "put", lambda *values: inserted.append(values[1].key) or put(*values))
        for number in range(write_behind.BATCH_MAX - 1):
            await stand.put(f"k{number}", b"data")
        await asyncio.sleep(0)
        assert transactions == []
        async with asyncio.timeout(20):  # who waits for it is not made to wait for others
            await stand.on_disk()
        assert sum(transactions) == write_behind.BATCH_MAX - 1
        assert len(transactions) <= 3
        for number in range(write_behind.BATCH_MAX):  # a full batch waits for nobody
            await stand.put(f"m{number}", b"data")
        await until(lambda: len(body_files(tmp_path / "c")) == 2 * write_behind.BATCH_MAX - 1)


async def test_one_that_the_index_refuses_or_nobody_wants_any_more_takes_no_other_with_it(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(write_behind, "GATHER_SECONDS", 60)
    async with opened(tmp_path / "c") as stand:
        await stand.put("before", b"before")
        refused = await stand.put("refused", b"refused")
        unwanted = await stand.put("unwanted", b"unwanted")
        await stand.put("after", b"after")
        await stand.store.remove(unwanted)
        put = tables.put

        def refusing(connection, stored, data, size, now):
            if stored.body == refused.body:
                raise sqlite3.OperationalError("this one not")
            return put(connection, stored, data, size, now)

        monkeypatch.setattr(tables, "put", refusing)
        await stand.forget_memory()
        assert await stand.get("before") == b"before"
        assert await stand.get("after") == b"after"
        assert await stand.get("refused") is None
        assert await stand.get("unwanted") is None
        assert len(body_files(tmp_path / "c")) == 2
