"""A store that lets its directory go while it is read: another one opens it, and nobody gets wrong bytes."""

from __future__ import annotations

import os

import pytest
from storage_stand import opened, part_bytes, response

from edgeproxy.errors import StartError, StorageError
from edgeproxy.storage import body_file
from edgeproxy.storage.store import Purge, PurgeScope

MIB = 1 << 20


async def test_what_was_stored_is_there_for_the_next_and_stays_readable_here(tmp_path):
    large = bytes([7]) * (80 * MIB)
    async with opened(tmp_path / "c", memory_body=1000, disk=200 * MIB) as old:
        small = await old.put("small", b"small")
        stored = await old.put("large", large)
        reading = await old.store.open(stored)
        with pytest.raises(StartError, match="used by another process"):
            async with opened(tmp_path / "c"):
                pass
        await old.store.release()
        async with opened(tmp_path / "c", memory_body=1000, disk=200 * MIB) as new:
            assert await new.get("small") == b"small"
            assert (await new.store.lookup("large"))[0].body == stored.body
            await new.store.purge(Purge(PurgeScope.ALL))
            await reading.check(70 * MIB, 80 * MIB)
            assert part_bytes(reading.slice(70 * MIB, 80 * MIB)) == large[: 10 * MIB]
            reading.close()
            assert old.store.lookup_memory("small") == (small,)  # from RAM, for who has begun with it


async def test_what_is_being_stored_goes_on_without(tmp_path):
    async with opened(tmp_path / "c") as old:
        writer = old.store.writer("k", sequence=0, expected_bytes=None, memory_only=False)
        await writer.write([bytes(2 * MIB)])
        parts = await old.store.create_partial(response("p", body_bytes=8 * MIB), sequence=0)
        await parts.write(0, [b"x" * MIB])
        await old.store.release()
        for work in (writer.write([bytes(MIB)]), parts.write(MIB, [b"y"])):
            with pytest.raises(StorageError):
                await work
        assert part_bytes(writer.slice(0, 10)) == bytes(10)
        assert part_bytes(parts.slice(0, 3)) == b"xxx"
        assert await writer.commit(response("k"), "") is None
        assert await parts.commit(parts.stored, "") is None
        writer.close()
        async with opened(tmp_path / "c") as new:
            (found,) = await new.store.lookup_partial("p")  # to the byte
            going_on = await new.store.open_partial(found)
            assert going_on.spans.total == MIB
            parts.close()
            await going_on.write(MIB, [b"z" * MIB])
            assert part_bytes(going_on.slice(MIB - 1, MIB + 1)) == b"xz"
            going_on.close()


async def test_a_released_store_keeps_what_comes_in_ram_only(tmp_path):
    async with opened(tmp_path / "c") as old:
        await old.store.release()
        assert await old.put("k", b"kept") is not None
        assert await old.get("k") == b"kept"
        with pytest.raises(StorageError):
            await old.store.create_partial(response("p", body_bytes=8 * MIB), sequence=0)
        async with opened(tmp_path / "c") as new:
            assert await new.store.lookup("k") == ()


def test_a_file_is_held_as_long_as_any_copy_of_its_descriptor_is_open(tmp_path):
    path = tmp_path / "body"
    path.write_bytes(b"body")
    reader, shrinker = os.open(path, os.O_RDONLY), os.open(path, os.O_RDWR)
    body_file.hold(reader)
    assert body_file.is_held(shrinker)
    passed_on = os.dup(reader)
    os.close(reader)
    assert body_file.is_held(shrinker)
    os.close(passed_on)
    assert not body_file.is_held(shrinker)
    os.close(shrinker)
