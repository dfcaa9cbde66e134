"""Uses reach the index."""

from __future__ import annotations

import asyncio

from storage_stand import opened


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
