"""Small bodies are written behind; a refusing disk stops nothing."""

from __future__ import annotations

import asyncio
import errno
import os
from contextlib import suppress

import pytest
from storage_stand import body_files, opened, response

from edgeproxy.errors import StorageError


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
