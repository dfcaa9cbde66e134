"""Large bodies lose pieces, not all; what is left is right."""

from __future__ import annotations

import asyncio

import pytest
from storage_stand import body_files, opened, part_bytes, response, until

from edgeproxy.storage import disk_room, shrinking

MIB = 1 << 20
PIECE = 4 * MIB
LARGE = 6 * PIECE


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch):
    monkeypatch.setattr(disk_room, "LARGE_BYTES", PIECE)


def data_of(piece):
    return bytes([piece + 1]) * PIECE


async def whole(stand, key="k"):
    body = await stand.store.create_partial(response(key, body_bytes=LARGE), sequence=0)
    for piece in range(6):
        await body.write(piece * PIECE, [data_of(piece)])
    stored = await body.commit(body.stored, "ab" * 32)
    body.close()
    await until(lambda: is_free(stand, stored.body))
    return stored


def is_free(stand, body):
    """Whether whoever put the body together has let go of it."""
    with stand.store.disk.claims.briefly(body) as is_mine:
        return is_mine


def used_by(directory):
    paths = [*body_files(directory), *(directory / "partial").iterdir()]
    return sum(path.stat().st_blocks * 512 for path in paths)


async def test_a_whole_body_becomes_a_partial_one_and_keeps_what_was_read_last(tmp_path):
    async with opened(tmp_path / "c") as stand:
        stored, disk = await whole(stand), stand.store.disk
        disk.uses.used(stored.body, 5 * PIECE, LARGE)
        freed = await asyncio.to_thread(disk.evict, PIECE + 1)
        assert 2 * PIECE <= freed < 2 * PIECE + MIB
        await until(lambda: stand.store.lookup_memory("k") == ())
        (found,) = await stand.store.lookup_partial("k")
        body = await stand.store.open_partial(found)
        assert list(body.spans) == [(0, 3 * PIECE), (5 * PIECE, LARGE)]
        for piece in (0, 1, 2, 5):
            await body.check(piece * PIECE, (piece + 1) * PIECE)
            assert part_bytes(body.slice(piece * PIECE, (piece + 1) * PIECE)) == data_of(piece)
        assert disk.used == used_by(tmp_path / "c")
        for piece in (3, 4):
            await body.write(piece * PIECE, [data_of(piece)])
        assert await body.commit(body.stored, "ab" * 32)
        body.close()
        assert await stand.get("k") == b"".join(data_of(piece) for piece in range(6))


async def test_a_partial_body_loses_pieces_from_the_end_first(tmp_path):
    async with opened(tmp_path / "c") as stand:
        body = await stand.store.create_partial(response("k", body_bytes=LARGE), sequence=0)
        for piece in (0, 1, 3, 4):
            await body.write(piece * PIECE, [data_of(piece)])
        body.close()
        assert await stand.store.lookup_partial("k")
        await asyncio.to_thread(stand.store.disk.evict, 1)
        (found,) = await stand.store.lookup_partial("k")
        body = await stand.store.open_partial(found)
        assert list(body.spans) == [(0, 2 * PIECE), (3 * PIECE, 4 * PIECE)]
        body.close()
        await until(lambda: stand.store.disk.used == used_by(tmp_path / "c"))


async def test_a_body_that_is_open_is_never_punched(tmp_path):
    async with opened(tmp_path / "c") as stand:
        stored = await whole(stand)
        reader = await stand.store.open(stored)
        await asyncio.to_thread(stand.store.disk.evict, 1)
        await reader.check(0, LARGE)
        for piece in range(6):
            assert part_bytes(reader.slice(piece * PIECE, (piece + 1) * PIECE)) == data_of(piece)
        reader.close()


async def test_where_holes_are_not_possible_the_whole_body_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(shrinking, "punch", lambda fd, start, end: False)
    async with opened(tmp_path / "c") as stand:
        await whole(stand)
        await asyncio.to_thread(stand.store.disk.evict, 1)
        assert await stand.store.lookup_partial("k") == ()
        assert await stand.get("k") is None
        assert stand.store.disk.used == 0
