"""Uses reach the index."""

from __future__ import annotations

import asyncio

from storage_stand import opened

from edgeproxy.storage.upkeep import COUNT_SHARE


async def test_what_was_used_is_written_down_and_leaves_last(tmp_path):
    async with opened(tmp_path / "c") as stand:
        first = await stand.put("a", b"x" * 20_000)
        second = await stand.put("b", b"x" * 20_000)
        assert await stand.get("a")
        await asyncio.to_thread(stand.store._upkeep.tell_touches)
        order = await asyncio.to_thread(
            stand.store.disk.index.read, "select id from bodies order by last_used"
        )
        assert [row[0] for row in order] == [second.body, first.body]


async def test_counting_a_large_store_takes_little_of_the_time(tmp_path, monkeypatch):
    async with opened(tmp_path / "c") as stand:
        upkeep, loop, counted = stand.store._upkeep, asyncio.get_running_loop(), []
        now = [1000.0]
        monkeypatch.setattr(loop, "time", lambda: now[0])

        async def count():
            counted.append(now[0])
            now[0] += 2.0

        monkeypatch.setattr(upkeep, "count", count)
        while now[0] < 1000 + 10 * 2 / COUNT_SHARE:
            await upkeep._count_in_time()
            now[0] += 5.0
        monkeypatch.undo()
        assert 9 <= len(counted) <= 10
