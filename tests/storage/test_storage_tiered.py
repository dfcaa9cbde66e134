"""One contract, kept by a store in RAM only and by one over a disk."""

from __future__ import annotations

import asyncio

import pytest
from storage_stand import NOW, body_files, lose_index, opened, part_bytes, response, until

from edgeproxy.errors import StartError, StorageError
from edgeproxy.storage.store import Purge, PurgeScope

KEY = "https://origin.example/a"


@pytest.fixture(params=["memory", "tiered"])
async def stand(request, tmp_path):
    async with opened(tmp_path / "cache", on_disk=request.param == "tiered") as stand:
        yield stand


@pytest.mark.parametrize("size", [0, 1, 16 << 10, 64 << 10])
async def test_what_is_committed_is_found_and_read_back(stand, size):
    data = bytes(i % 251 for i in range(size))
    stored = await stand.put(KEY, data)
    assert stored is not None
    assert stored.body_bytes == size
    assert await stand.store.lookup(KEY) == (stored,)
    assert await stand.get(KEY) == data


async def test_an_unknown_key_has_no_variants(stand):
    assert await stand.store.lookup(KEY) == ()
    assert stand.store.lookup_memory(KEY) == ()


async def test_a_commit_replaces_the_variant_with_the_same_selecting_fields_only(stand):
    await stand.put(KEY, b"old en", selecting=(("accept-language", "en"),))
    await stand.put(KEY, b"de", selecting=(("accept-language", "de"),))
    await stand.put(KEY, b"new en", selecting=(("accept-language", "en"),))
    assert len(await stand.store.lookup(KEY)) == 2
    assert await stand.get(KEY, **{"accept-language": "en"}) == b"new en"
    assert await stand.get(KEY, **{"accept-language": "de"}) == b"de"


async def test_variants_beyond_the_limit_push_out_the_least_recently_used(tmp_path):
    async with opened(tmp_path / "c", variants=3) as stand:
        for name in "abc":
            await stand.put(KEY, name.encode(), selecting=(("x", name),))
        assert await stand.get(KEY, x="a") == b"a"
        await stand.put(KEY, b"d", selecting=(("x", "d"),))
        assert {s.selecting[0][1] for s in await stand.store.lookup(KEY)} == {"a", "c", "d"}


async def test_freshening_keeps_the_body_and_retires_the_handle(stand):
    old = await stand.put(KEY, b"body")
    handle = stand.store.reusable(old)
    assert handle.fresh_until == old.fresh_until
    new = await stand.store.freshen(old, response(KEY, fresh_until=NOW + 500, fields=(("A", "b"),)))
    assert handle.fresh_until == 0
    assert await stand.store.lookup(KEY) == (new,)
    assert (new.body, new.fresh_until) == (old.body, NOW + 500)
    assert await stand.get(KEY) == b"body"


async def test_what_is_removed_is_not_found(stand):
    stored = await stand.put(KEY, b"body")
    handle = stand.store.reusable(stored)
    await stand.store.remove(stored)
    assert await stand.store.lookup(KEY) == ()
    assert (handle.fresh_until, handle.data) == (0, b"")
    assert await stand.store.open(stored) is None


PURGES = [
    Purge(PurgeScope.ALL),
    Purge(PurgeScope.SITE, "files"),
    Purge(PurgeScope.URL, KEY),
    Purge(PurgeScope.PREFIX, "https://origin.example/"),
    Purge(PurgeScope.TAG, "t"),
]
OTHERS = [
    Purge(PurgeScope.SITE, "other"),
    Purge(PurgeScope.URL, KEY + "b"),
    Purge(PurgeScope.PREFIX, "https://origin.example/b"),
    Purge(PurgeScope.TAG, "u"),
]


@pytest.mark.parametrize("purge", PURGES)
async def test_a_hard_purge_makes_a_miss_and_later_responses_live(stand, purge):
    await stand.put(KEY, b"old", tags=("t",))
    await stand.store.purge(purge)
    assert await stand.store.lookup(KEY) == ()
    await stand.put(KEY, b"new", tags=("t",))
    assert await stand.get(KEY) == b"new"


@pytest.mark.parametrize("purge", OTHERS)
async def test_a_purge_leaves_what_it_does_not_name(stand, purge):
    await stand.put(KEY, b"kept", tags=("t",))
    await stand.store.purge(purge)
    assert await stand.get(KEY) == b"kept"


async def test_a_soft_purge_makes_stale_until_freshened(stand):
    stored = await stand.put(KEY, b"body", tags=("t",))
    await stand.store.purge(Purge(PurgeScope.TAG, "t", soft=True))
    (found,) = await stand.store.lookup(KEY)
    assert found.fresh_until == 0
    await stand.store.freshen(found, response(KEY, tags=("t",), fresh_until=NOW + 9))
    (found,) = await stand.store.lookup(KEY)
    assert found.fresh_until == NOW + 9
    assert found.body == stored.body


@pytest.mark.parametrize("soft", [False, True])
async def test_a_purge_supersedes_a_running_fill(stand, soft):
    writer = stand.store.writer(KEY, sequence=stand.store.sequence, expected_bytes=None, memory_only=False)
    await writer.write([b"old"])
    await stand.store.purge(Purge(PurgeScope.URL, KEY, soft=soft))
    assert await writer.commit(response(KEY), "") is None
    assert part_bytes(writer.slice(0, 3)) == b"old"
    writer.close()
    assert await stand.store.lookup(KEY) == ()


async def test_the_handle_of_a_purged_response_is_behind_the_sequence(stand):
    stored = await stand.put(KEY, b"x")
    handle = stand.store.reusable(stored)
    assert handle.sequence == stand.store.sequence
    await stand.store.purge(Purge(PurgeScope.URL, KEY))
    assert handle.sequence != stand.store.sequence
    assert stand.store.reusable(stored) is None
    assert handle.fresh_until == 0


async def test_an_unrelated_purge_renews_the_handle_at_the_next_look(stand):
    stored = await stand.put(KEY, b"x")
    handle = stand.store.reusable(stored)
    await stand.store.purge(Purge(PurgeScope.URL, "other"))
    assert stand.store.reusable(stored) is handle
    assert handle.sequence == stand.store.sequence


async def test_an_aborted_body_is_not_found_and_stays_readable_until_closed(stand):
    writer = stand.store.writer(KEY, sequence=0, expected_bytes=None, memory_only=False)
    await writer.write([b"abc", b"def"])
    await writer.abort()
    assert part_bytes(writer.slice(2, 5)) == b"cde"
    writer.close()
    assert await stand.store.lookup(KEY) == ()
    with pytest.raises(StorageError):
        await writer.write([b"more"])


async def test_stored_keys_tells_which_keys_have_a_response(stand):
    await stand.put(KEY, b"x")
    keys = await asyncio.to_thread(stand.store.stored_keys, [KEY, "other"])
    assert keys == {KEY}


# -- disk only ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 3, 16 << 10, (16 << 10) + 1, 9_000_000])
async def test_responses_survive_a_restart(tmp_path, size):
    data = bytes(i % 251 for i in range(1000)) * (size // 1000 + 1)
    data = data[:size]
    async with opened(tmp_path / "c") as stand:
        stored = await stand.put(KEY, data)
        assert await stand.get(KEY) == data
    async with opened(tmp_path / "c") as stand:
        assert stand.store.lookup_memory(KEY) is None
        assert await stand.store.lookup(KEY) == (stored,)
        assert await stand.get(KEY) == data


async def test_purges_survive_a_restart_even_without_the_index(tmp_path):
    async with opened(tmp_path / "c") as stand:
        await stand.put(KEY, b"x", tags=("t",))
        await stand.put("kept", b"y")
        await stand.on_disk()
        await stand.store.purge(Purge(PurgeScope.TAG, "t"))
        sequence = stand.store.sequence
    lose_index(tmp_path / "c")
    async with opened(tmp_path / "c") as stand:
        assert stand.store.sequence == sequence
        await _swept(stand)
        assert await stand.store.lookup(KEY) == ()
        assert await stand.get("kept") == b"y"


async def test_a_lost_index_is_rebuilt_from_the_bodies(tmp_path):
    async with opened(tmp_path / "c") as stand:
        for number in range(30):
            await stand.put(f"k{number}", b"%d" % number * 1000)
    lose_index(tmp_path / "c")
    async with opened(tmp_path / "c") as stand:
        await _swept(stand)
        for number in range(30):
            assert await stand.get(f"k{number}") == b"%d" % number * 1000


async def test_a_broken_index_is_set_aside_and_rebuilt(tmp_path):
    async with opened(tmp_path / "c") as stand:
        await stand.put(KEY, b"x")
    (tmp_path / "c" / "index.sqlite3").write_bytes(b"not a database" * 1000)
    async with opened(tmp_path / "c") as stand:
        await _swept(stand)
        assert await stand.get(KEY) == b"x"
        assert (tmp_path / "c" / "index.broken-1").exists()
        assert stand.metrics.value("corrupt_total", "index") == 1


async def test_a_second_store_on_one_directory_is_refused(tmp_path):
    async with opened(tmp_path / "c"):
        with pytest.raises(StartError, match="another process"):
            async with opened(tmp_path / "c"):
                pass


async def test_a_replaced_body_is_freed_while_an_open_reader_finishes(tmp_path):
    async with opened(tmp_path / "c", memory_body=0, small_body=0) as stand:
        old = await stand.put(KEY, b"o" * 5000)
        body = await stand.store.open(old)
        await stand.put(KEY, b"n" * 5000)
        await until(lambda: len(body_files(tmp_path / "c")) == 1)
        assert part_bytes(body.slice(0, 5000)) == b"o" * 5000
        body.close()
        assert await stand.get(KEY) == b"n" * 5000


async def test_the_disk_limit_holds_and_old_bodies_leave_first(tmp_path):
    limit = 1 << 20
    async with opened(tmp_path / "c", disk=limit, memory=200_000) as stand:
        for number in range(40):
            await stand.put(f"k{number}", bytes([number]) * 100_000)
            assert stand.store.statistics().disk_bytes <= limit + 110_000
        held = sum(path.stat().st_blocks * 512 for path in body_files(tmp_path / "c"))
        assert held <= limit + 110_000
        assert await stand.get("k39") == bytes([39]) * 100_000
        assert await stand.get("k0") is None
        assert stand.metrics.value("evictions_total", "disk") > 20


async def test_memory_only_responses_never_reach_the_disk(tmp_path):
    async with opened(tmp_path / "c") as stand:
        await stand.put(KEY, b"gone", memory_only=True)
        await stand.on_disk()
        assert await stand.get(KEY) == b"gone"
        assert body_files(tmp_path / "c") == []
        with pytest.raises(StorageError):
            await stand.put("large", b"x" * 200_000, memory_only=True)


async def test_a_growing_file_can_be_read_behind_its_end(tmp_path):
    async with opened(tmp_path / "c") as stand:
        writer = stand.store.writer(KEY, sequence=0, expected_bytes=50_000, memory_only=False)
        await writer.write([b"a" * 20_000])
        await writer.write([b"b" * 20_000])
        assert part_bytes(writer.slice(19_999, 20_001)) == b"ab"
        await writer.abort()
        writer.close()
    assert list((tmp_path / "c" / "tmp").iterdir()) == []


async def test_a_purge_of_many_responses_is_quick_and_reclaimed(tmp_path):
    async with opened(tmp_path / "c") as stand:
        for number in range(200):
            await stand.put(f"k{number}", b"x", tags=("t",))
        await stand.on_disk()
        await stand.store.purge(Purge(PurgeScope.TAG, "t"))
        await stand.store._purging.reclaim()
        assert body_files(tmp_path / "c") == []
        assert stand.store.statistics().disk_bytes == 0


async def _swept(stand):
    await until(lambda: not stand.store.disk.index.is_partial)


async def test_a_store_that_is_not_on_disk_leaves_nothing_there(tmp_path):
    async with opened(tmp_path / "c", on_disk=False) as stand:
        stored = await stand.put(KEY, b"x" * (64 << 10))
        assert await stand.store.lookup(KEY) == (stored,)
        with pytest.raises(StorageError, match="too large for the RAM tier"):
            await stand.put(f"{KEY}/larger", b"x" * ((64 << 10) + 1))
        assert stand.store.statistics().disk_state == "off: RAM only"
    assert not (tmp_path / "c").exists()
