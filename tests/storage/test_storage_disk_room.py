"""What leaves so that more can come."""

from __future__ import annotations

import asyncio

import pytest
from storage_stand import opened, response

from edgeproxy.errors import StorageError

SIZE = 100_000


async def half(stand, key):
    body = await stand.store.create_partial(response(key, body_bytes=2 * SIZE), sequence=0)
    await body.write(0, [b"p" * SIZE])
    await body.sync()
    return body


async def test_bodies_whole_and_in_part_leave_in_one_order(tmp_path):
    async with opened(tmp_path / "c") as stand:
        disk = stand.store.disk
        (await half(stand, "p1")).close()
        await stand.store.lookup_partial("p1")  # it has been written down
        await stand.put("w1", b"w" * SIZE)
        (await half(stand, "p2")).close()
        await stand.store.lookup_partial("p2")
        await asyncio.to_thread(disk.evict, 1)
        assert await stand.store.lookup_partial("p1") == ()
        await asyncio.to_thread(disk.evict, 1)
        await stand.forget_memory()
        assert await stand.get("w1") is None
        assert await stand.store.lookup_partial("p2") != ()


async def test_one_that_is_worked_on_does_not_leave(tmp_path):
    async with opened(tmp_path / "c", disk=3 * SIZE) as stand:
        body = await half(stand, "p")
        assert await asyncio.to_thread(stand.store.disk.evict, 10 * SIZE) == 0
        with pytest.raises(StorageError, match="full"):
            await asyncio.to_thread(stand.store.disk.reserve, 3 * SIZE)
        await body.check(0, SIZE)
        body.close()


async def test_many_who_need_room_at_once_do_not_evict_for_each_other(tmp_path):
    async with opened(tmp_path / "c", disk=20 * 102_400, memory=200_000) as stand:
        disk = stand.store.disk
        for number in range(19):
            await stand.put(f"k{number}", b"w" * SIZE)
        room = disk.limits.bytes_max - disk.used
        await asyncio.gather(*(asyncio.to_thread(disk.reserve, (room + SIZE) // 8) for _ in range(8)))
        rows = disk.index.read("select count(*) from bodies")
        assert rows[0][0] >= 17
        disk.account(-8 * ((room + SIZE) // 8))
