"""The descriptor of a partial body is closed once nobody uses it any more."""

from __future__ import annotations

import os

import pytest
from storage_stand import opened

from edgeproxy.errors import StorageError
from edgeproxy.storage.extents import Extent
from edgeproxy.storage.partial_file import PartialFile


async def test_a_closed_file_is_used_no_more_but_by_whoever_is_at_it(tmp_path):
    async with opened(tmp_path / "c") as stand:
        file = PartialFile(stand.store.disk, "ab" * 16)
        with file.use() as fd:
            file.close()
            os.fstat(fd)  # EBADF if it has been closed
            with pytest.raises(StorageError), file.use():
                pass
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
        with pytest.raises(ValueError, match="closed"):
            file.fileno()


async def test_the_file_is_made_by_who_first_uses_it_and_by_nobody_once_it_is_closed(tmp_path):
    async with opened(tmp_path / "c") as stand:
        folder = tmp_path / "c" / "partial"
        file = PartialFile(stand.store.disk, "ab" * 16)
        with pytest.raises(ValueError, match="closed"):
            file.fileno()
        assert list(folder.iterdir()) == []
        file.write(0, [b"abc"], 0)
        assert [made.name for made in folder.iterdir()] == ["ab" * 16]
        assert file.read(0, 3) == b"abc"
        file.close()
        never = PartialFile(stand.store.disk, "cd" * 16)
        never.close()
        with pytest.raises(StorageError):
            never.write(0, [b"abc"], 0)
        assert [made.name for made in folder.iterdir()] == ["ab" * 16]


async def test_bytes_that_are_not_in_the_file_are_not_proven(tmp_path):
    async with opened(tmp_path / "c") as stand:
        file = PartialFile(stand.store.disk, "ab" * 16)
        ((start, end, crc),) = file.write(10, [b"abc", b"def"], 0)
        assert file.prove(Extent(start, end, crc))
        assert not file.prove(Extent(start, end, crc ^ 1))
        assert not file.prove(Extent(start + 10, end + 10, crc))
        with pytest.raises(StorageError):
            file.read(0, 100)
        file.close()
