"""Bodies come from where they are nearest: RAM, an open file, the disk."""

from __future__ import annotations

import pytest
from storage_stand import opened

from edgeproxy import config
from edgeproxy.storage.reading import open_bodies_max


@pytest.mark.parametrize(
    ("size", "open_bodies", "is_in_ram", "is_open"),
    [
        (10_000, 256, True, False),
        (20_000, 256, True, True),  # beyond small_body it leaves faster from the file, where it may
        (20_000, 0, True, False),
        (70_000, 256, False, True),  # beyond memory_body
        (70_000, 0, False, False),
    ],
)
async def test_who_reads_from_disk_has_it_at_hand_for_the_next(
    tmp_path, size, open_bodies, is_in_ram, is_open
):
    async with opened(tmp_path / "c", open_bodies=open_bodies) as stand:
        stored = await stand.put("k", b"x" * size)
        await stand.forget_memory()
        (stored,) = await stand.store.lookup("k")
        assert stand.store.open_memory(stored) is None
        body = await stand.store.open(stored)
        assert body is not None
        assert (body.data is not None) is is_in_ram
        body.close()
        assert (stand.store.open_memory(stored) is not None) is (is_in_ram or is_open)
        held = stand.store.reusable(stored)
        assert (held is not None and held.file is not None) is is_open
        assert stand.store.statistics().memory_responses == int(is_in_ram)


async def test_a_response_in_ram_only_is_read_from_there(tmp_path):
    async with opened(tmp_path / "c", on_disk=False) as stand:
        stored = await stand.put("k", b"x" * 50_000)
        assert await stand.read(stored) == b"x" * 50_000


def test_the_descriptors_of_the_process_bound_what_is_kept_open(monkeypatch):
    for soft, expected in [(64, 8), (1 << 20, 256), (-1, 256)]:
        monkeypatch.setattr("resource.getrlimit", lambda _, soft=soft: (soft, soft))
        assert open_bodies_max(config.Cache()) == expected
