"""An index of version 1 becomes one of version 2 and loses nothing."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3

from storage_stand import opened, response, until

DOWNGRADE = """
drop index responses_by_address; drop index bodies_by_digest; drop table partials;
alter table responses drop column address; alter table bodies drop column digest;
delete from facts where name = 'unfilled'; pragma user_version = 1;
"""


async def test_responses_stay_are_listed_and_their_bodies_can_be_shared(tmp_path):
    data = b"x" * 50_000
    digest = hashlib.sha256(data).hexdigest()
    async with opened(tmp_path / "c") as stand:
        writer = stand.store.writer("k", sequence=0, expected_bytes=None, memory_only=False)
        await writer.write([data])
        stored = await writer.commit(response("k"), digest)
        writer.close()
        await until(lambda: not stand.store.disk.index.is_partial)
    connection = sqlite3.connect(tmp_path / "c" / "index.sqlite3")
    connection.executescript(DOWNGRADE)
    connection.close()
    async with opened(tmp_path / "c") as stand:
        assert await stand.store.lookup("k") == (stored,)
        await until(lambda: not stand.store.disk.index.is_unfilled)
        assert not (tmp_path / "c" / "index.broken-1").exists()
        (row,) = await asyncio.to_thread(stand.store.listing, "k", "", 10)
        assert row.stored == stored
        linked = await stand.store.link(response("other", digest=digest))
        assert linked.body == stored.body
        assert await stand.get("other") == data
