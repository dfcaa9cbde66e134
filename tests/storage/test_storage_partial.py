"""A body in parts: many writers, proofs, restarts, and what it becomes."""

from __future__ import annotations

import asyncio
import errno
import os
import random

import pytest
from storage_stand import body_files, lose_index, opened, part_bytes, response, until

from edgeproxy.errors import StorageError
from edgeproxy.storage import extents, partial
from edgeproxy.storage.store import Purge, PurgeScope

PIECE = 4 << 20
KEY = "https://o.example/model.bin"


def data_of(size, seed=1):
    return random.Random(seed).randbytes(size)


async def create(stand, size, key=KEY, **changes):
    return await stand.store.create_partial(
        response(key, body_bytes=size, **changes), sequence=stand.store.sequence
    )


def partial_files(directory):
    return sorted((directory / "partial").iterdir())


def blocks(directory):
    paths = [*partial_files(directory), *body_files(directory)]
    return sum(path.stat().st_blocks * 512 for path in paths)


async def reopened(stand, key=KEY, digest=""):
    (found,) = await stand.store.lookup_partial(key, digest)
    body = await stand.store.open_partial(found)
    assert body is not None
    return body


async def test_bytes_can_be_read_once_the_write_returns_and_only_those(tmp_path):
    async with opened(tmp_path / "c") as stand:
        data = data_of(3 * PIECE + 77)
        body = await create(stand, len(data))
        await body.write(PIECE - 5, [data[PIECE - 5 : PIECE], data[PIECE : PIECE + 9]])
        assert list(body.spans) == [(PIECE - 5, PIECE + 9)]
        assert part_bytes(body.slice(PIECE - 2, PIECE + 4)) == data[PIECE - 2 : PIECE + 4]
        assert await asyncio.to_thread(body.read, PIECE, PIECE + 3) == data[PIECE : PIECE + 3]
        with pytest.raises(StorageError):
            body.slice(PIECE - 6, PIECE)
        with pytest.raises(StorageError):
            await body.write(len(data) - 1, [b"ab"])
        body.close()


async def test_many_writers_of_overlapping_ranges_write_and_count_each_byte_once(tmp_path):
    async with opened(tmp_path / "c") as stand:
        data = data_of(2 * PIECE + 1000)
        body = await create(stand, len(data))
        dice = random.Random(3)
        spans = [(s, min(len(data), s + 300_000)) for s in range(0, len(data), 200_000)] * 2
        dice.shuffle(spans)

        async def write(start, end):
            await body.write(start, [data[start : start + 1000], data[start + 1000 : end]])
            assert body.spans.holds(start, end)

        await asyncio.gather(*(write(*span) for span in spans))
        assert stand.store.disk.used == len(data)
        stored = await body.commit(response(KEY), "d" * 64)
        body.close()
        assert await stand.get(KEY) == data
        assert stored.body_bytes == len(data)
        assert await stand.store.lookup_partial(KEY) == ()
        await until(lambda: stand.store.disk.used == blocks(tmp_path / "c"))


async def test_what_is_there_survives_a_restart_to_the_byte(tmp_path):
    data = data_of(5 * PIECE + 123)
    async with opened(tmp_path / "c") as stand:
        body = await create(stand, len(data), digest="ab" * 32)
        await body.write(0, [data[: PIECE + 17]])
        await body.write(3 * PIECE - 1, [data[3 * PIECE - 1 : 4 * PIECE]])
        spans = list(body.spans)
        body.close()
    async with opened(tmp_path / "c") as stand:
        body = await reopened(stand, "another key", "ab" * 32)
        assert list(body.spans) == spans
        assert body.stored.digest == "ab" * 32
        for start, end in spans:
            await body.check(start, end)
            assert part_bytes(body.slice(start, end)) == data[start:end]
        for start, end in list(body.spans.holes(0, len(data))):
            await body.write(start, [data[start:end]])
        assert await body.commit(body.stored, "ab" * 32)
        body.close()
        assert await stand.get(KEY) == data


async def test_one_that_is_left_open_is_written_down_when_the_store_closes(tmp_path):
    async with opened(tmp_path / "c") as stand:
        body = await create(stand, PIECE)
        await body.write(5, [b"x" * 10])
    with pytest.raises(StorageError):
        await body.write(50, [b"x"])
    async with opened(tmp_path / "c") as stand:
        assert list((await reopened(stand)).spans) == [(5, 15)]


@pytest.mark.parametrize("synced", [True, False])
async def test_a_flipped_bit_from_an_earlier_life_costs_its_piece_only(tmp_path, synced):
    data = data_of(3 * PIECE)
    async with opened(tmp_path / "c") as stand:
        body = await create(stand, len(data))
        await body.write(0, [data])
        if synced:
            await body.sync()
        body.close()
    (path,) = partial_files(tmp_path / "c")
    with path.open("r+b") as file:
        file.seek(PIECE + 1000)
        file.write(bytes([data[PIECE + 1000] ^ 4]))
    async with opened(tmp_path / "c") as stand:
        body = await reopened(stand)
        await body.check(0, PIECE)
        results = await asyncio.gather(
            *(body.check(PIECE, 2 * PIECE) for _ in range(5)), return_exceptions=True
        )
        assert all(isinstance(result, StorageError) for result in results)
        assert list(body.spans) == [(0, PIECE), (2 * PIECE, 3 * PIECE)]
        assert stand.metrics.value("corrupt_total", "partial") == 1
        await body.write(PIECE, [data[PIECE : 2 * PIECE]])
        await body.check(0, 3 * PIECE)
        assert await body.commit(body.stored, "")
        body.close()
        assert await stand.get(KEY) == data


async def test_a_partial_body_has_one_owner_at_a_time(tmp_path):
    async with opened(tmp_path / "c") as stand:
        body = await create(stand, PIECE)
        await body.write(0, [b"x"])
        await body.sync()
        (found,) = await stand.store.lookup_partial(KEY)
        assert await stand.store.open_partial(found) is None
        body.close()
        again = await reopened(stand)
        assert list(again.spans) == [(0, 1)]
        again.close()


async def test_an_empty_one_leaves_nothing(tmp_path):
    async with opened(tmp_path / "c") as stand:
        body = await create(stand, PIECE)
        body.close()
        assert await stand.store.lookup_partial(KEY) == ()
        await until(lambda: partial_files(tmp_path / "c") == [])


@pytest.mark.parametrize("opened_first", [True, False])
async def test_a_hard_purge_makes_it_a_miss_and_a_soft_one_stale(tmp_path, opened_first):
    async with opened(tmp_path / "c") as stand:
        for key, tag in (("hard", "h"), ("soft", "s")):
            body = await create(stand, PIECE, key=key, tags=(tag,))
            await body.write(0, [b"x"])
            body.close()
        (held,) = await stand.store.lookup_partial("hard")
        await stand.store.purge(Purge(PurgeScope.TAG, "h"))
        await stand.store.purge(Purge(PurgeScope.TAG, "s", soft=True))
        assert await stand.store.lookup_partial("hard") == ()
        assert [s.fresh_until for s in await stand.store.lookup_partial("soft")] == [0.0]
        if opened_first:
            assert await stand.store.open_partial(held) is None
        else:
            await stand.store._purging.reclaim()
        await until(lambda: len(partial_files(tmp_path / "c")) == 1)
        await until(lambda: stand.store.disk.used == blocks(tmp_path / "c"))


async def test_a_purge_while_it_is_written_supersedes_it(tmp_path):
    async with opened(tmp_path / "c") as stand:
        body = await create(stand, 10)
        await stand.store.purge(Purge(PurgeScope.URL, KEY))
        await body.write(0, [b"0123456789"])
        assert await body.commit(body.stored, "") is None
        assert part_bytes(body.slice(2, 4)) == b"23"
        body.close()
        assert await stand.store.lookup_partial(KEY) == ()
        assert await stand.get(KEY) is None
        await until(lambda: stand.store.disk.used == 0)


async def test_a_reopened_one_commits_after_purges_of_others_were_forgotten(tmp_path):
    async with opened(tmp_path / "c") as stand:
        body = await create(stand, 10)
        await body.write(0, [b"01234"])
        body.close()
        await stand.store.purge(Purge(PurgeScope.URL, "other"))
        await stand.store._purging.reclaim()
        await stand.store._purging._compact(stand.store.sequence)
        body = await reopened(stand)
        await body.write(5, [b"56789"])
        assert await body.commit(body.stored, "") is not None
        body.close()


async def test_discarded_it_is_gone_and_stays_readable_until_closed(tmp_path):
    async with opened(tmp_path / "c") as stand:
        body = await create(stand, PIECE)
        await body.write(0, [b"abc"])
        await body.sync()
        await body.discard()
        assert part_bytes(body.slice(0, 3)) == b"abc"
        with pytest.raises(StorageError):
            await body.write(3, [b"d"])
        body.close()
        assert await stand.store.lookup_partial(KEY) == ()
        assert (partial_files(tmp_path / "c"), stand.store.disk.used) == ([], 0)


async def test_a_failed_write_ends_it_and_keeps_what_was_there(tmp_path, monkeypatch):
    async with opened(tmp_path / "c", errors=100) as stand:
        body = await create(stand, PIECE)
        await body.write(0, [b"abc"])

        def fail(*arguments):
            raise OSError(errno.EIO, "bad")

        with monkeypatch.context() as patch:
            patch.setattr(os, "pwritev", fail)
            with pytest.raises(StorageError):
                await body.write(3, [b"def"])
        with pytest.raises(StorageError):
            await body.write(6, [b"ghi"])
        assert part_bytes(body.slice(0, 3)) == b"abc"
        body.close()
        body = await reopened(stand)
        assert list(body.spans) == [(0, 3)]
        body.close()


async def test_pieces_are_written_down_once_a_period_not_once_a_write(tmp_path, monkeypatch):
    monkeypatch.setattr(partial, "SYNC_SECONDS", 0.2)
    async with opened(tmp_path / "c") as stand:
        body = await create(stand, 8 * PIECE)
        put, seen = partial.partial_rows.put, []
        monkeypatch.setattr(partial.partial_rows, "put", lambda *a: (seen.append(1), put(*a))[1])
        for start in range(0, 8 * PIECE, PIECE // 4):
            await body.write(start, [bytes(PIECE // 4)])
        await until(lambda: bool(seen))
        assert len(seen) <= 3
        body.close()


async def test_a_lost_index_loses_the_parts_and_not_the_whole(tmp_path):
    async with opened(tmp_path / "c") as stand:
        await stand.put("whole", b"w" * 20_000)
        body = await create(stand, PIECE)
        await body.write(0, [b"x" * 5000])
        body.close()
    lose_index(tmp_path / "c")
    async with opened(tmp_path / "c") as stand:
        await until(lambda: not stand.store.disk.index.is_partial)
        assert await stand.get("whole") == b"w" * 20_000
        assert await stand.store.lookup_partial(KEY) == ()
        assert partial_files(tmp_path / "c") == []
        await until(lambda: stand.store.disk.used == blocks(tmp_path / "c"))


async def test_one_larger_than_the_disk_tier_is_refused(tmp_path):
    async with opened(tmp_path / "c") as stand:
        with pytest.raises(StorageError, match="larger"):
            await create(stand, 65 << 20)


async def test_a_store_in_ram_only_has_none(tmp_path):
    async with opened(tmp_path / "c", on_disk=False) as stand:
        assert await stand.store.lookup_partial(KEY) == ()
        with pytest.raises(StorageError):
            await create(stand, 10)


async def test_a_cancelled_write_lands_all_the_same(tmp_path):
    async with opened(tmp_path / "c") as stand:
        body = await create(stand, PIECE)
        writing = asyncio.ensure_future(body.write(0, [b"x" * 100_000]))
        await asyncio.sleep(0)
        writing.cancel()
        await asyncio.wait([writing])
        await body.settle()
        assert list(body.spans) == [(0, 100_000)]
        body.close()


async def test_scattered_bytes_are_kept_in_mind_up_to_a_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(extents, "EXTENTS_MAX", 64)
    async with opened(tmp_path / "c") as stand:
        data = data_of(2 * PIECE)
        body = await create(stand, len(data))
        await body.write(0, [data[:10]])
        starts = random.Random(3).sample(range(100, len(data) - 100, 50), 1000)
        for batch in range(0, 1000, 8):
            writes = [body.write(s, [data[s : s + 7]]) for s in starts[batch : batch + 8]]
            await asyncio.gather(*writes)
            assert body.extents.incomplete <= 64 + 8
            assert body.spans == body._taken
            assert body.spans.holds(0, 10)
        for start, end in list(body.spans):
            await body.check(start, end)
            assert part_bytes(body.slice(start, end)) == data[start:end]
        for start in range(0, len(data), PIECE // 2):  # nothing stands in the way of the whole
            await body.write(start, [data[start : start + PIECE // 2]])
        await body.sync()
        assert stand.store.disk.used == blocks(tmp_path / "c")
        assert await body.commit(body.stored, "") is not None
        body.close()
        assert await stand.get(KEY) == data


async def test_bytes_dropped_during_a_check_do_not_pass_it(tmp_path):
    async with opened(tmp_path / "c") as stand:
        body = await create(stand, PIECE)
        await body.write(0, [b"abcdef"])
        body.close()
    async with opened(tmp_path / "c") as stand:
        body = await reopened(stand)
        checking = asyncio.ensure_future(body.check(0, 6))
        await asyncio.sleep(0)
        (extent,) = body.extents
        assert body.extents.drop(extent)
        with pytest.raises(StorageError):
            await checking
        body.close()
