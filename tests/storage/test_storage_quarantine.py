"""Wrong bytes are set aside, within bounds."""

from __future__ import annotations

import json

import pytest
from storage_stand import NOW, opened, response, until


async def set_aside(stand, key, size, why="another digest"):
    body = await stand.store.create_partial(response(key, body_bytes=size, digest="ab" * 32), sequence=0)
    await body.write(0, [key[:1].encode() * size])
    await body.sync()
    await body.quarantine(why)
    body.close()
    return body.stored.body


def names(directory):
    return {path.name for path in (directory / "quarantine").iterdir()}


async def test_wrong_bytes_leave_the_store_and_stay_for_a_look(tmp_path):
    async with opened(tmp_path / "c") as stand:
        body = await set_aside(stand, "k", 50_000)
        assert names(tmp_path / "c") == {body, f"{body}.json"}
        assert (tmp_path / "c" / "quarantine" / body).read_bytes() == b"k" * 50_000
        facts = json.loads((tmp_path / "c" / "quarantine" / f"{body}.json").read_bytes())
        assert facts["key"] == "k"
        assert facts["why"] == "another digest"
        assert facts["expected"] == "ab" * 32
        assert facts["when"] >= NOW
        assert await stand.store.lookup_partial("k") == ()
        assert stand.store.disk.used == 0
        assert stand.metrics.value("quarantined_total") == 1


async def test_the_oldest_leave_for_the_youngest(tmp_path):
    async with opened(tmp_path / "c", quarantine=130_000) as stand:
        bodies = [await set_aside(stand, f"{n}", 49_152) for n in range(4)]
        assert names(tmp_path / "c") == {f"{b}{end}" for b in bodies[2:] for end in ("", ".json")}


@pytest.mark.parametrize("changes", [{"quarantine": 0}, {"quarantine": 40_000}, {"free_space": 1 << 50}])
async def test_without_room_they_are_removed(tmp_path, changes):
    async with opened(tmp_path / "c", **{**changes, "free_space": 0}) as stand:
        if "free_space" in changes:
            limits = stand.store.disk.limits
            body = await stand.store.create_partial(response("k", body_bytes=10), sequence=0)
            await body.write(0, [b"0123456789"])
            object.__setattr__(limits, "free_bytes_min", 1 << 50)
            await body.quarantine("why")
            body.close()
        else:
            await set_aside(stand, "k", 50_000)
        assert names(tmp_path / "c") == set()
        assert list((tmp_path / "c" / "partial").iterdir()) == []


@pytest.mark.parametrize("size", [100, 700_000])
async def test_a_body_on_its_way_in_is_set_aside_whether_in_ram_or_in_a_file(tmp_path, size):
    async with opened(tmp_path / "c") as stand:
        writer = stand.store.writer("k", sequence=0, expected_bytes=size, memory_only=False)
        await writer.write([b"w" * size])
        await writer.quarantine(response("k", digest="ab" * 32), "another digest")
        assert await writer.commit(response("k"), "") is None
        writer.close()
        assert names(tmp_path / "c") == {writer.body, f"{writer.body}.json"}
        assert (tmp_path / "c" / "quarantine" / writer.body).read_bytes() == b"w" * size
        facts = json.loads((tmp_path / "c" / "quarantine" / f"{writer.body}.json").read_bytes())
        assert (facts["bytes"], facts["expected"]) == (size, "ab" * 32)
        await until(lambda: not list((tmp_path / "c" / "tmp").iterdir()))
        assert stand.store.disk.used == 0
        assert await stand.store.lookup("k") == ()


async def test_what_is_kept_in_ram_only_is_not_set_aside(tmp_path):
    async with opened(tmp_path / "c") as stand:
        writer = stand.store.writer("k", sequence=0, expected_bytes=5, memory_only=True)
        await writer.write([b"wrong"])
        await writer.quarantine(response("k"), "another digest")
        writer.close()
        assert names(tmp_path / "c") == set()


@pytest.mark.parametrize("size", [100, 700_000])
async def test_wrong_bytes_without_room_are_removed_and_cost_nothing(tmp_path, size):
    async with opened(tmp_path / "c", quarantine=0) as stand:
        writer = stand.store.writer("k", sequence=0, expected_bytes=size, memory_only=False)
        await writer.write([b"w" * size])
        await writer.quarantine(response("k"), "another digest")
        writer.close()
        assert names(tmp_path / "c") == set()
        await until(lambda: not list((tmp_path / "c" / "tmp").iterdir()))
        assert stand.store.disk.used == 0
