"""Bodies are shared by digest, and go with the last response that needs them."""

from __future__ import annotations

import asyncio
import hashlib

import pytest
from storage_stand import body_files, lose_index, opened, part_bytes, response, until

from edgeproxy.storage import body_file
from edgeproxy.storage.store import Purge, PurgeScope

SIZES = [3000, 90_000]  # written behind; in a file at once


def sha(data):
    return hashlib.sha256(data).hexdigest()


async def put(stand, key, data, **changes):
    store = stand.store
    writer = store.writer(key, sequence=store.sequence, expected_bytes=None, memory_only=False)
    await writer.write([data])
    stored = await writer.commit(response(key, **changes), sha(data))
    writer.close()
    await stand.on_disk()
    return stored


async def link(stand, key, data, **changes):
    stored = response(key, digest=sha(data), sequence=stand.store.sequence, **changes)
    return await stand.store.link(stored)


@pytest.mark.parametrize("size", SIZES)
async def test_a_link_is_a_hit_under_another_name_also_after_a_restart(tmp_path, size):
    data = b"d" * size
    async with opened(tmp_path / "c") as stand:
        first = await put(stand, "a", data)
        second = await link(stand, "b", data)
        assert (second.body, second.body_bytes, second.key) == (first.body, size, "b")
        assert await stand.get("b") == data
        assert await link(stand, "c", b"other") is None
        assert len(body_files(tmp_path / "c")) == 1
    async with opened(tmp_path / "c") as stand:
        assert await stand.get("b") == data
        assert await stand.get("a") == data


@pytest.mark.parametrize("size", SIZES)
async def test_the_same_bytes_stored_again_share_the_body(tmp_path, size):
    data = b"e" * size
    async with opened(tmp_path / "c") as stand:
        first = await put(stand, "a", data)
        used = stand.store.disk.used
        second = await put(stand, "b", data)
        assert first.body == second.body
        assert len(body_files(tmp_path / "c")) == 1
        assert list((tmp_path / "c" / "tmp").iterdir()) == []
        assert stand.store.disk.used == used
        assert await stand.get("a") == await stand.get("b") == data


async def test_a_partial_body_that_becomes_a_known_one_is_dropped_for_it(tmp_path):
    data = b"f" * 90_000
    async with opened(tmp_path / "c") as stand:
        first = await put(stand, "a", data)
        used = stand.store.disk.used
        body = await stand.store.create_partial(response("b", body_bytes=len(data)), sequence=0)
        await body.write(0, [data])
        kept = await body.commit(body.stored, sha(data))
        assert kept.body == first.body
        assert part_bytes(body.slice(5, 9)) == b"ffff"
        body.close()
        assert await stand.get("b") == data
        assert list((tmp_path / "c" / "partial").iterdir()) == []
        assert stand.store.disk.used == used


@pytest.mark.parametrize("order", ["ab", "ba"])
async def test_the_body_goes_with_its_last_response(tmp_path, order):
    data = b"g" * 90_000
    async with opened(tmp_path / "c") as stand:
        stored = {"a": await put(stand, "a", data), "b": await link(stand, "b", data)}
        await stand.forget_memory()
        await stand.store.remove(stored[order[0]])
        assert await stand.get(order[0]) is None
        assert await stand.get(order[1]) == data
        assert len(body_files(tmp_path / "c")) == 1
        await stand.store.remove(stored[order[1]])
        assert await stand.get(order[1]) is None
        assert body_files(tmp_path / "c") == []
        assert stand.store.disk.used == 0


async def test_a_purge_of_one_name_leaves_the_other_and_a_lost_index_brings_none_back(tmp_path):
    data = b"h" * 90_000
    async with opened(tmp_path / "c") as stand:
        await put(stand, "a", data, tags=("first",))
        await link(stand, "b", data, tags=("second",))
        await stand.store.purge(Purge(PurgeScope.TAG, "first"))
        await stand.store._purging.reclaim()
        await stand.store._purging._compact(stand.store.sequence)
        assert await stand.get("a") is None
        assert await stand.get("b") == data
    lose_index(tmp_path / "c")
    async with opened(tmp_path / "c") as stand:
        await until(lambda: not stand.store.disk.index.is_partial)
        assert await stand.get("a") is None
        assert await stand.get("b") == data


async def test_an_open_reader_is_not_disturbed_when_a_shared_body_changes_owner(tmp_path):
    data = bytes(range(256)) * 1000
    async with opened(tmp_path / "c") as stand:
        first = await put(stand, "a", data)
        await link(stand, "b", data, name="a much longer name " * 50)
        body = await stand.store.open(first)
        await stand.store.remove(first)
        await body.check(0, len(data))
        assert part_bytes(body.slice(0, len(data))) == data
        body.close()
        assert await stand.get("b") == data


async def test_damage_makes_every_name_of_a_body_a_miss(tmp_path):
    data = b"i" * 90_000
    async with opened(tmp_path / "c") as stand:
        await put(stand, "a", data)
        await link(stand, "b", data)
        (path,) = body_files(tmp_path / "c")
        with path.open("r+b") as file:
            file.seek(1000)
            file.write(b"!")
        assert await stand.get("a") is None
        await until(lambda: stand.store.lookup_memory("b") == ())
        assert await stand.get("b") is None
        assert stand.store.disk.used == 0


async def test_what_the_index_says_of_a_digest_is_proven_by_the_body(tmp_path):
    async with opened(tmp_path / "c") as stand:
        await put(stand, "a", b"j" * 90_000)
        wrong = sha(b"k")
        stand.store.disk.index.submit(
            lambda c: c.execute("update bodies set digest = ?", (wrong,)) and None
        ).result()
        assert await stand.store.link(response("b", digest=wrong)) is None
        assert await stand.get("b") is None


async def test_two_variants_of_one_key_never_share_a_body(tmp_path):
    data = b"l" * 90_000
    async with opened(tmp_path / "c") as stand:
        await put(stand, "a", data, selecting=(("x", "1"),))
        assert await link(stand, "a", data, selecting=(("x", "2"),)) is None
        second = await put(stand, "a", data, selecting=(("x", "2"),))
        first = next(s for s in await stand.store.lookup("a") if s.selecting == (("x", "1"),))
        assert first.body != second.body
        await stand.store.remove(second)
        assert await stand.get("a", x="1") == data


async def test_linking_a_name_again_renews_its_fields(tmp_path):
    data = b"m" * 90_000
    async with opened(tmp_path / "c") as stand:
        await put(stand, "a", data)
        again = await link(stand, "a", data, fields=(("New", "1"),))
        assert again.fields == (("New", "1"),)
        assert await stand.store.lookup("a") == (again,)
        assert await stand.get("a") == data
        assert len(body_files(tmp_path / "c")) == 1


async def test_a_purge_while_linking_supersedes_it(tmp_path):
    data = b"n" * 90_000
    async with opened(tmp_path / "c") as stand:
        await put(stand, "a", data)
        stored = response("b", digest=sha(data), sequence=stand.store.sequence)
        await stand.store.purge(Purge(PurgeScope.URL, "b"))
        assert await stand.store.link(stored) is None
        assert await stand.get("b") is None


async def test_a_freshened_response_that_waits_to_be_written_is_written_as_freshened(tmp_path):
    async with opened(tmp_path / "c") as stand:
        old = await stand.put("a", b"x" * 100)
        new = await stand.store.freshen(old, response("a", fresh_until=5e9))
        await stand.on_disk()
    async with opened(tmp_path / "c") as stand:
        assert await stand.store.lookup("a") == (new,)


async def test_statistics_tell_held_from_logical_bytes(tmp_path):
    data = b"o" * 90_000
    async with opened(tmp_path / "c") as stand:
        await put(stand, "a", data)
        await link(stand, "b", data)
        await stand.store._upkeep.count()
        figures = stand.store.statistics()
        assert (figures.disk_bodies, figures.disk_responses) == (1, 2)
        assert figures.logical_bytes == 180_000


async def test_handing_a_footer_over_keeps_it_when_its_response_stays(tmp_path):
    data = b"p" * 90_000
    async with opened(tmp_path / "c") as stand:
        await put(stand, "a", data)
        second = await link(stand, "b", data)
        before = body_files(tmp_path / "c")[0].read_bytes()
        await stand.store.remove(second)
        assert body_files(tmp_path / "c")[0].read_bytes() == before
        heirs = [response("c", digest=sha(data), body=second.body, body_bytes=len(data))]
        await asyncio.to_thread(
            body_file.hand_over, second.body, stand.store.disk.directory.bodies, heirs, False
        )
        assert b'"key":"c"' in body_files(tmp_path / "c")[0].read_bytes()


@pytest.mark.parametrize("round_", range(5))
async def test_two_that_are_kept_at_a_time_leave_one_that_can_be_read(tmp_path, round_):
    """What the disk has replaced last is what the loop holds last."""
    data = [bytes([number]) * 300_000 for number in range(6)]
    async with opened(tmp_path / "c") as stand:
        await asyncio.gather(*(put(stand, "a", one) for one in data))
        assert await stand.get("a") in data
        assert len(body_files(tmp_path / "c")) == 1
