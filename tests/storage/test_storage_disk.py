"""The disk tier under errors of the system, injected where it is called."""

from __future__ import annotations

import asyncio
import errno
import os

import pytest
from storage_stand import body_files, opened, until

from edgeproxy.errors import StorageError
from edgeproxy.storage import trouble

LARGE = b"x" * 100_000


def failing(patch, name, number, times=1 << 30):
    real, left = getattr(os, name), [times]

    def fail(*arguments, **names):
        if left[0]:
            left[0] -= 1
            raise OSError(number, os.strerror(number))
        return real(*arguments, **names)

    patch.setattr(os, name, fail)


@pytest.mark.parametrize("name", ["pwritev", "rename"])
async def test_a_full_disk_evicts_and_goes_on_without_counting_an_error(tmp_path, monkeypatch, name):
    async with opened(tmp_path / "c", errors=1) as stand:
        await stand.put("old", LARGE)
        with monkeypatch.context() as patch:
            failing(patch, name, errno.ENOSPC, times=1)
            assert await stand.put("new", LARGE)
        assert await stand.get("new") == LARGE
        assert stand.metrics.value("evictions_total", "disk") == 1
        assert stand.store.statistics().disk_state == "ok"


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.ENOSPC])
async def test_write_errors_rest_the_disk_and_it_recovers_after_the_rest(tmp_path, monkeypatch, number):
    async with opened(tmp_path / "c", errors=1, retry_disk=30) as stand:
        with monkeypatch.context() as patch:
            failing(patch, "pwritev", number)
            with pytest.raises(StorageError):
                await stand.put("k", LARGE)
        assert stand.store.statistics().disk_state == f"off: {errno.errorcode[number]}"
        with pytest.raises(StorageError):  # RAM only until the rest is over
            await stand.put("k", LARGE)
        assert stand.store.disk.used == 0
        later = trouble.time.monotonic() + 31
        monkeypatch.setattr(trouble, "time", type("Time", (), {"monotonic": lambda self: later})())
        assert await stand.put("k", LARGE)
        assert await stand.get("k") == LARGE
        assert stand.store.statistics().disk_state == "ok"


async def test_a_lack_of_descriptors_is_not_the_fault_of_the_disk(tmp_path):
    async with opened(tmp_path / "c", errors=1) as stand:
        stand.store.disk.failed("read", OSError(errno.EMFILE, "many"))
        assert stand.store.statistics().disk_state == "ok"


async def test_with_sync_data_is_synced_before_its_name_appears(tmp_path, monkeypatch):
    order, fsync, rename = [], os.fsync, os.rename
    async with opened(tmp_path / "c", sync=True) as stand:
        monkeypatch.setattr(os, "fsync", lambda fd: (order.append("fsync"), fsync(fd))[1])
        monkeypatch.setattr(os, "rename", lambda *a, **k: (rename(*a, **k), order.append("rename"))[0])
        await stand.put("k", LARGE)
    assert order[:3] == ["fsync", "rename", "fsync"]


async def test_what_is_used_is_what_the_files_take(tmp_path):
    async with opened(tmp_path / "c") as stand:
        for size in (0, 1, 4096, 100_000):
            await stand.put(f"k{size}", b"x" * size)
        await stand.on_disk()
        real = sum(path.stat().st_blocks * 512 for path in body_files(tmp_path / "c"))
        await until(lambda: stand.store.disk.used == real)


async def test_a_body_that_cannot_be_removed_does_not_stand_in_the_way_of_others(tmp_path, monkeypatch):
    async with opened(tmp_path / "c", errors=100) as stand:
        await stand.put("stuck", LARGE)
        await stand.put("old", LARGE)
        stuck = next(iter(body_files(tmp_path / "c")))
        real = os.unlink

        def unlink(path, *arguments, **names):
            if os.path.basename(os.fsdecode(path)) == stuck.name:
                raise OSError(errno.EPERM, "not permitted")
            return real(path, *arguments, **names)

        monkeypatch.setattr(os, "unlink", unlink)
        disk = stand.store.disk
        await asyncio.to_thread(disk.evict, disk.used)
        assert disk.used == 0
        assert await stand.get("stuck") is None
        assert await stand.get("old") is None
        assert await stand.put("new", LARGE)
        assert await stand.get("new") == LARGE


async def test_folders_go_with_their_last_file(tmp_path):
    async with opened(tmp_path / "c") as stand:
        stored = await stand.put("k", LARGE)
        assert list((tmp_path / "c" / "bodies").iterdir())
        await stand.store.remove(stored)
        assert list((tmp_path / "c" / "bodies").iterdir()) == []
        assert await stand.put("k", LARGE)
        assert await stand.get("k") == LARGE
