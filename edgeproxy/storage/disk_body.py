"""A body on disk, held open for one answer: a store.StoredBody."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from edgeproxy.errors import StorageError
from edgeproxy.message import FileSlice, Part
from edgeproxy.storage.disk import WHOLE_CHECK_BYTES, DiskTier, OpenedBody
from edgeproxy.storage.record import Damaged


class DiskBody:
    """`run` does blocking work in the disk's threads, `later` without waiting; `damaged` is told
    once when a check fails."""

    __slots__ = ("_damaged", "_disk", "_later", "_opened", "_run", "data", "size")

    def __init__(
        self,
        disk: DiskTier,
        opened: OpenedBody,
        *,
        run: Callable[..., Awaitable[Any]],
        later: Callable[..., None],
        damaged: Callable[[str], Awaitable[None]],
    ) -> None:
        self._disk = disk
        self._opened: OpenedBody | None = opened
        self._run, self._later, self._damaged = run, later, damaged
        self.size = opened.footer.size
        self.data: bytes | None = None

    def _open(self) -> OpenedBody:
        if self._opened is None:
            raise StorageError("the body is closed")
        return self._opened

    def fileno(self) -> int:
        return self._open().fd

    async def check(self, start: int, end: int) -> None:
        opened = self._open()
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
        opened = self._open()
        if self.size > WHOLE_CHECK_BYTES:
            self._disk.uses.used(opened.body, start, end)
        return FileSlice(self, start, end - start)

    def close(self) -> None:
        if self._opened is not None:
            self._later(self._disk.shut, self._opened)
            self._opened = None
