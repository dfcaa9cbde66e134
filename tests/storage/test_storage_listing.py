"""Lists of what is stored, for people."""

from __future__ import annotations

import asyncio

from storage_stand import opened, response

from edgeproxy.storage.store import Purge, PurgeScope


async def pages(stand, prefix, limit):
    found, after = [], ""
    while True:
        rows = await asyncio.to_thread(stand.store.listing, prefix, after, limit)
        found += rows
        if len(rows) < limit:
            return found
        after = rows[-1].place


async def test_every_response_is_listed_once_in_order_whatever_the_page(tmp_path):
    async with opened(tmp_path / "c") as stand:
        for number in range(25):
            await stand.put(f"https://o/a/{number % 20:02}", b"x" * 5000, selecting=(("n", str(number)),))
        await stand.put("https://o/b", b"y", name="b.bin", tags=("t",))
        body = await stand.store.create_partial(
            response("https://o/a/07", body_bytes=1000, name="half"), sequence=0
        )
        await body.write(10, [b"z" * 90])
        body.close()
        await stand.on_disk()
        assert len(await stand.store.lookup_partial("https://o/a/07")) == 1
        expected = await pages(stand, "https://o/a/", 1000)
        assert len(expected) == 26
        assert [row.stored.key for row in expected] == sorted(row.stored.key for row in expected)
        for limit in (1, 2, 7, 26):
            assert await pages(stand, "https://o/a/", limit) == expected
        (half,) = [row for row in expected if not row.is_complete]
        assert (half.stored.name, half.stored.body_bytes, half.held_bytes) == ("half", 1000, 90)
        (last,) = await pages(stand, "https://o/b", 10)
        assert (last.stored.name, last.stored.tags, last.is_complete) == ("b.bin", ("t",), True)
        assert last.held_bytes >= 1
        assert await pages(stand, "nothing", 10) == []


async def test_what_was_purged_is_not_listed_and_ends_no_page_early(tmp_path):
    async with opened(tmp_path / "c") as stand:
        for number in range(9):
            await stand.put(f"k{number}", b"x", tags=("gone" if number < 8 else "kept",))
        await stand.on_disk()
        await stand.store.purge(Purge(PurgeScope.TAG, "gone"))
        rows = await asyncio.to_thread(stand.store.listing, "k", "", 1)
        assert [row.stored.key for row in rows] == ["k8"]
