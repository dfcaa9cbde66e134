"""Uses reach the index."""

from __future__ import annotations

import asyncio

from storage_stand import opened

from edgeproxy.storage.upkeep import COUNTED_A_PERIOD


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


async def test_the_more_is_stored_the_more_seldom_it_is_counted(tmp_path, monkeypatch):
    async with opened(tmp_path / "c") as stand:
        upkeep, counted = stand.store._upkeep, []

        async def count():
            counted.append(upkeep.responses)

        monkeypatch.setattr(upkeep, "count", count)
        for responses, periods, expected in ((0, 5, 5), (COUNTED_A_PERIOD - 1, 5, 5), (1_000_000, 70, 10)):
            upkeep.responses, upkeep._uncounted = responses, 0
            for _ in range(periods):
                await upkeep._count_in_time()
            assert len(counted) == expected, responses
            counted.clear()
