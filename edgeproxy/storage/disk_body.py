"""A body on disk, held open for one answer: a store.StoredBody."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from edgeproxy.errors import StorageError
from edgeproxy.message import FileSlice, Part
from edgeproxy.storage.disk import WHOLE_CHECK_BYTES, DiskTier
from edgeproxy.storage.open_file import OpenedBody, OpenFile
from edgeproxy.storage.record import Damaged


class DiskBody:
    """`run` does blocking work in the disk's threads; `damaged` is told once when a check fails."""

    __slots__ = ("_damaged", "_disk", "_file", "_run", "data", "size")

    def __init__(
        self,
        disk: DiskTier,
        file: OpenFile,
        *,
        run: Callable[..., Awaitable[Any]],
        damaged: Callable[[str], Awaitable[None]],
    ) -> None:
        self._disk = disk
        self._file: OpenFile | None = file
        self._run, self._damaged = run, damaged
        self.size = file.opened.footer.size
        self.data: bytes | None = None

    def _open(self) -> tuple[OpenFile, OpenedBody]:
        if self._file is None:
            raise StorageError("the body is closed")
        return self._file, self._file.opened

    async def check(self, start: int, end: int) -> None:
        _, opened = self._open()
        if not 0 <= start <= end <= self.size:
            raise StorageError("bytes that are not there")
        if self.size <= WHOLE_CHECK_BYTES:
            return  # proven when it was opened
        try:
            await self._run(self._disk.prove, opened.fd, opened.footer, start, end)
        except Damaged as error:
            await self._damaged(str(error))
            raise
        except OSError as error:
            raise self._disk.failed("read", error) from error

    def slice(self, start: int, end: int) -> Part:
        file, opened = self._open()
        if self.size > WHOLE_CHECK_BYTES:
            self._disk.uses.used(opened.body, start, end)
        return FileSlice(file, start, end - start)

    def close(self) -> None:
        self._file = None
