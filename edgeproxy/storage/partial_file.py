"""The sparse file of a partial body: partial/<id> in the cache directory. Blocks; runs in the disk's
threads, several at once in one file at different offsets."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence

from edgeproxy.errors import StorageError
from edgeproxy.storage import body_file
from edgeproxy.storage.body_file import READ_BYTES, read_exactly
from edgeproxy.storage.crash import reach
from edgeproxy.storage.crc32 import crc32
from edgeproxy.storage.disk import TEMPORARY_FLAGS, DiskTier
from edgeproxy.storage.extents import Extent, checksums
from edgeproxy.storage.record import Damaged

_NOT_MADE = -1


class PartialFile:
    """Made by the first thread that uses it, unless it was there before: whoever creates it need not wait for
    the disk. Open until `close` and until no thread is inside `use` any more: a descriptor closed before
    that may already be another file's."""

    def __init__(self, disk: DiskTier, body: str, fd: int = _NOT_MADE) -> None:
        self.body = body
        self._disk = disk
        self._fd = fd
        self._users = 0
        self._is_closed = False
        self._lock = threading.Lock()

    def _make(self) -> int:
        """Raises StorageError."""
        disk = self._disk
        if not disk.writes.is_usable:
            raise StorageError(f"the disk is out of use: {disk.writes.reason}")
        try:
            fd = disk.with_room(
                0, lambda: os.open(self.body, TEMPORARY_FLAGS, 0o600, dir_fd=disk.directory.partial)
            )
        except OSError as error:
            raise disk.failed("write", error) from error
        body_file.hold(fd)
        reach("partial-opened")
        return fd

    @classmethod
    def open(cls, disk: DiskTier, body: str) -> PartialFile:
        """Raises Damaged if there is no such file, StorageError if the disk fails."""
        if not disk.reads.is_usable:
            raise StorageError(f"the disk is out of use: {disk.reads.reason}")
        try:
            fd = body_file.open_regular(body, disk.directory.partial, os.O_RDWR)
        except OSError as error:
            raise disk.failed("read", error) from error
        body_file.hold(fd)
        return cls(disk, body, fd)

    def fileno(self) -> int:
        if self._is_closed or self._fd == _NOT_MADE:
            raise ValueError("the body is closed")
        return self._fd

    @contextlib.contextmanager
    def use(self) -> Iterator[int]:
        """The descriptor. Raises StorageError once it is closed, or if the file cannot be made."""
        with self._lock:
            if self._is_closed:
                raise StorageError("the body is closed")
            if self._fd == _NOT_MADE:
                self._fd = self._make()
            self._users += 1
        try:
            yield self._fd
        finally:
            with self._lock:
                self._users -= 1
                is_last = self._is_closed and not self._users
            if is_last:
                os.close(self._fd)

    def close(self) -> None:
        """Blocks while the blocks of a removed file are freed."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            if self._users or self._fd == _NOT_MADE:
                return
        os.close(self._fd)

    def write(
        self, start: int, chunks: Sequence[bytes | memoryview], before: int
    ) -> list[tuple[int, int, int]]:
        """Write at `start`, after reserving the bytes; gives the checksums as `extents.checksums` does.
        Raises StorageError."""
        with self.use() as fd:
            self._disk.append(fd, chunks, start)
        reach("partial-data")
        return checksums(start, chunks, before)

    def read(self, start: int, end: int) -> bytes:
        """Raises StorageError."""
        try:
            with self.use() as fd:
                return read_exactly(fd, end - start, start)
        except OSError as error:
            raise self._disk.failed("read", error) from error

    def prove(self, extent: Extent) -> bool:
        """Whether the bytes of `extent` are those once written. Raises StorageError."""
        try:
            with self.use() as fd:
                return _sum(fd, extent.start, extent.end) == extent.crc
        except OSError as error:
            raise self._disk.failed("read", error) from error

    def sync(self) -> None:
        """Raises StorageError."""
        try:
            with self.use() as fd:
                os.fsync(fd)
        except OSError as error:
            raise self._disk.failed("write", error) from error

    def allocated(self) -> int:
        """Bytes the file takes. Raises StorageError."""
        return self._status().st_blocks * 512

    def length(self) -> int:
        return self._status().st_size

    def _status(self) -> os.stat_result:
        try:
            with self.use() as fd:
                return os.fstat(fd)
        except OSError as error:
            raise self._disk.failed("read", error) from error


def _sum(fd: int, start: int, end: int) -> int | None:
    """The CRC-32 of bytes of a file, None if it ends before them. Raises OSError."""
    check = 0
    try:
        while start < end:
            data = read_exactly(fd, min(READ_BYTES, end - start), start)
            check = crc32(data, check)
            start += len(data)
    except Damaged:
        return None
    return check
