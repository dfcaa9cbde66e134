"""An index of an older version becomes one of this version and loses nothing."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3

import pytest
from storage_stand import opened, response, until

TO_VERSION_2 = """
drop index responses_by_group; drop index partials_by_group; drop table groups;
alter table responses drop column grouped; alter table partials drop column grouped;
pragma user_version = 2;
"""
TO_VERSION_1 = """
drop index responses_by_address; drop index bodies_by_digest; drop table partials;
alter table responses drop column address; alter table bodies drop column digest;
delete from facts where name = 'unfilled'; pragma user_version = 1;
"""


async def in_part(stand, key):
    body = await stand.store.create_partial(response(key, body_bytes=9000), sequence=0)
    await body.write(10, [b"p" * 100])
    body.close()
    await stand.store.lookup_partial(key)


@pytest.mark.parametrize("downgrade", [TO_VERSION_2, TO_VERSION_2 + TO_VERSION_1], ids=["2", "1"])
async def test_responses_stay_are_listed_and_their_bodies_can_be_shared(tmp_path, downgrade):
    data = b"x" * 50_000
    digest = hashlib.sha256(data).hexdigest()
    async with opened(tmp_path / "c") as stand:
        writer = stand.store.writer("k", sequence=0, expected_bytes=None, memory_only=False)
        await writer.write([data])
        stored = await writer.commit(response("k"), digest)
        writer.close()
        await in_part(stand, "part")
        await until(lambda: not stand.store.disk.index.is_partial)
    connection = sqlite3.connect(tmp_path / "c" / "index.sqlite3")
    connection.executescript(downgrade)
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
        if downgrade == TO_VERSION_2:
            (found,) = await stand.store.lookup_partial("part")
            body = await stand.store.open_partial(found)
            assert list(body.spans) == [(10, 110)]
            body.close()
        await in_part(stand, "new")
        assert await stand.store.lookup_partial("new")
