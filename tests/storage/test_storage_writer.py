"""A body on its way in: cancelled, late, and at its limits."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest
from storage_stand import NOW, body_files, opened, response, until

from edgeproxy.errors import StorageError
from edgeproxy.storage import publishing


def fill(stand, key="k"):
    return stand.store.writer(key, sequence=stand.store.sequence, expected_bytes=None, memory_only=False)


async def test_a_cancelled_commit_ends_before_its_descriptor_is_closed(tmp_path, monkeypatch):
    async with opened(tmp_path / "c") as stand:
        gate, began = threading.Event(), threading.Event()
        publish, fds = publishing.publish, []

        def slow(disk, fd, stored, sums):
            began.set()
            gate.wait(10)
            fds.append(os.fstat(fd).st_ino)  # EBADF if it has been closed
            return publish(disk, fd, stored, sums)

        monkeypatch.setattr(publishing, "publish", slow)
        writer = fill(stand)
        await writer.write([b"x" * 100_000])
        inode = os.fstat(writer.fileno()).st_ino
        commit = asyncio.ensure_future(writer.commit(response("k"), ""))
        await until(began.is_set)
        commit.cancel()
        with pytest.raises(asyncio.CancelledError):
            await commit
        writer.close()
        for _ in range(8):  # were the close under way, these would come behind it
            await stand.store._threads.run(int)
        gate.set()
        await until(lambda: len(body_files(tmp_path / "c")) == 1 and not stand.store._writers)
        assert fds == [inode]
        assert await stand.get("k") == b"x" * 100_000


@pytest.mark.parametrize("size", [10, 100_000])
async def test_a_late_commit_does_not_replace_a_younger_response(tmp_path, size):
    async with opened(tmp_path / "c") as stand:
        await stand.put("k", b"n" * size, response_time=NOW)
        assert await stand.put("k", b"o" * size, response_time=NOW - 9) is None
        assert await stand.get("k") == b"n" * size
        await until(lambda: not list((tmp_path / "c" / "tmp").iterdir()))


async def test_a_response_from_the_future_does_not_keep_others_out(tmp_path):
    async with opened(tmp_path / "c") as stand:
        await stand.put("k", b"future", response_time=NOW + 10_000)
        assert await stand.put("k", b"now")
        assert await stand.get("k") == b"now"


async def test_an_aborted_file_gives_its_bytes_back(tmp_path):
    async with opened(tmp_path / "c") as stand:
        writer = fill(stand)
        await writer.write([b"x" * 100_000])
        assert stand.store.disk.used == 100_000
        await writer.abort()
        writer.close()
        assert stand.store.disk.used == 0


async def test_a_body_larger_than_the_disk_tier_is_refused_and_nothing_leaves_for_it(tmp_path):
    async with opened(tmp_path / "c", disk=300_000) as stand:
        await stand.put("kept", b"k" * 20_000)
        writer = fill(stand)
        with pytest.raises(StorageError, match="larger"):
            await writer.write([b"x" * 300_001])
        writer.close()
        assert await stand.get("kept") == b"k" * 20_000
