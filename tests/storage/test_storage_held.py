"""What is held under a key, loaded once for all who ask."""

from __future__ import annotations

import asyncio

from storage_stand import opened


async def test_look_ups_of_one_key_at_once_read_the_index_once(tmp_path, monkeypatch):
    async with opened(tmp_path / "c") as stand:
        stored = await stand.put("k", b"x")
        await stand.forget_memory()
        find, asked = stand.store.disk.find, []
        monkeypatch.setattr(stand.store.disk, "find", lambda key: (asked.append(key), find(key))[1])
        found = await asyncio.gather(*(stand.store.lookup("k") for _ in range(20)))
        assert found == [(stored,)] * 20
        assert asked == ["k"]
