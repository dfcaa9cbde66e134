"""The disk tier: body files, how many bytes they take, what leaves for others, and the index.

Everything here blocks and runs in the tier's own threads; the loop sees none of it. Order of every
removal: first the file, then the index row, so that a crash between leaves a row that finds nothing
rather than a file that comes back."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from edgeproxy.errors import StorageError
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.storage import body_file, index, record
from edgeproxy.storage.crash import reach
from edgeproxy.storage.directory import Directory
from edgeproxy.storage.index import Index
from edgeproxy.storage.integrity import SEGMENT_BYTES, Proven, identity
from edgeproxy.storage.record import Damaged
from edgeproxy.storage.trouble import ErrorBudget

T = TypeVar("T")
WHOLE_CHECK_BYTES = 64 << 20
EVICT_BATCH = 64
FREE_CHECK_BYTES = 16 << 20
ROOM_BYTES = 1 << 20  # freed beyond what is lacking when the file system is full
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
NOT_THE_DISK = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # the process lacks them
TEMPORARY_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class DiskLimits:
    """Bytes and counts that bound the tier; see config.Cache."""

    bytes_max: int
    free_bytes_min: int
    errors_max: int
    rest_seconds: float
    sync: bool


@dataclass(frozen=True, slots=True)
class OpenedBody:
    """A body file open for reading, its footer read. `data` is all of it if that was asked for."""

    fd: int
    footer: body_file.Footer
    data: bytes | None


class DiskTier:
    """`event` (any thread) is told (kind, label, text) of what should be counted and reported;
    `dropped` (any thread) which bodies have left."""

    def __init__(
        self,
        directory: Directory,
        limits: DiskLimits,
        known: Index,
        *,
        event: Callable[[str, str, str], None],
        dropped: Callable[[list[str]], None],
    ) -> None:
        self.directory = directory
        self.limits = limits
        self.index = known
        self.writes = ErrorBudget(limits.errors_max, limits.rest_seconds)
        self.reads = ErrorBudget(limits.errors_max, limits.rest_seconds)
        self.publishing: set[str] = set()  # renamed or about to be, not in the index yet
        self.used = 0
        self.is_full = False
        self._event = event
        self._dropped = dropped
        self._lock = threading.Lock()
        self._evicting = threading.Lock()
        self._since_free_check = FREE_CHECK_BYTES
        self._proven = Proven()

    @property
    def state(self) -> str:
        for budget in (self.writes, self.reads):
            if budget.reason:
                return f"off: {budget.reason}"
        return "full" if self.is_full else "ok"

    # -- accounting ----------------------------------------------------------------------------

    def account(self, size: int) -> None:
        with self._lock:
            self.used += size

    def reserve(self, size: int) -> None:
        """Make room for `size` more bytes, evicting if need be. Raises StorageError."""
        with self._lock:
            self.used += size
            self._since_free_check += size
            excess = self.used - self.limits.bytes_max
            look = self._since_free_check >= FREE_CHECK_BYTES or self.is_full
            if look:
                self._since_free_check = 0
        try:
            if excess > 0 and self.evict(excess) < excess and self.used > self.limits.bytes_max:
                raise StorageError("the disk tier is full of bodies being written")
            if look:
                self._keep_free(size)
        except StorageError:
            self.account(-size)
            raise

    def _keep_free(self, size: int) -> None:
        try:
            lacking = self.limits.free_bytes_min + size - self.directory.free_bytes()
        except OSError as error:
            raise self.failed("write", error) from error
        if lacking > 0:
            self.evict(lacking)
            if self.limits.free_bytes_min + size > self.directory.free_bytes():
                self.is_full = True
                raise StorageError("the file system has too little free space")
        self.is_full = False

    def evict(self, size: int) -> int:
        """Remove the least recently used bodies until `size` bytes are free; gives the bytes freed."""
        freed = 0
        with self._evicting:
            while freed < size:
                rows = self.index.read(
                    "select id, allocated from bodies order by last_used limit ?", (EVICT_BATCH,)
                )
                victims: list[str] = []
                for body, allocated in rows:
                    if freed >= size:
                        break
                    victims.append(str(body))
                    freed += allocated if isinstance(allocated, int) else 0
                if not victims:
                    break
                reach("evicting")
                self.drop(victims, must_go=False)
                self._event("evictions_total", "disk", "")
        return freed

    def drop(self, bodies: Iterable[str], *, must_go: bool = True) -> None:
        """Remove bodies and all responses that need them. Raises StorageError when they may still be
        there; without `must_go` one that cannot be removed is forgotten all the same, so that it does
        not stand in the way of the others (a later start sweeps it)."""
        bodies = list(bodies)
        freed = 0
        for body in bodies:
            try:
                self.unlink(body)
            except StorageError:
                if must_go:
                    raise
        reach("body-unlinked")

        def forget(connection: index.Connection) -> int:
            released = sum(index.allocated(connection, body) for body in bodies)
            index.drop_bodies(connection, bodies)
            return released

        freed = self.index.submit(forget).result()
        self.account(-freed)
        self._dropped(bodies)

    def unlink(self, body: str) -> None:
        """Remove a body's file if it is there. Raises StorageError."""
        with self._lock:
            self._proven.forget(body)
        if not body_file.is_body_id(body):
            return
        try:
            os.unlink(body_file.path_of(body), dir_fd=self.directory.bodies)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return
        except OSError as error:
            raise self.failed("remove", error) from error

    # -- trouble -------------------------------------------------------------------------------

    def failed(self, operation: str, error: OSError) -> StorageError:
        """Count an error of the disk; gives what to raise."""
        why = errno.errorcode.get(error.errno or 0, "error")
        if error.errno in NO_ROOM:
            self.is_full = True
        if error.errno not in NOT_THE_DISK:
            (self.reads if operation == "read" else self.writes).failed(why)
        self._event("storage_errors_total", operation, f"disk: {operation}: {error.strerror or error}")
        return StorageError(f"disk: {operation}: {error.strerror or error}")

    # -- writing -------------------------------------------------------------------------------

    def _with_room(self, size: int, work: Callable[[], T]) -> T:
        """Do `work`; where it finds the file system full, evict and do it once more. Raises OSError,
        StorageError."""
        try:
            return work()
        except OSError as error:
            if error.errno not in NO_ROOM or not self.evict(size + ROOM_BYTES):
                raise
        return work()

    def create(self, body: str) -> int:
        """A new temporary file for a body. Raises StorageError."""
        if not self.writes.is_usable:
            raise StorageError(f"the disk is out of use: {self.writes.reason}")
        try:
            fd = self._with_room(
                0, lambda: os.open(body, TEMPORARY_FLAGS, 0o600, dir_fd=self.directory.temporary)
            )
        except OSError as error:
            raise self.failed("write", error) from error
        reach("body-opened")
        return fd

    def append(self, fd: int, chunks: Sequence[bytes | memoryview], offset: int) -> int:
        """Raises StorageError; bytes are reserved before they are written."""
        size = sum(len(chunk) for chunk in chunks)
        self.reserve(size)
        try:
            end = self._with_room(size, lambda: body_file.write_all(fd, chunks, offset))
        except OSError as error:
            self.account(-size)
            raise self.failed("write", error) from error
        except StorageError:
            self.account(-size)
            raise
        reach("body-data")
        return end

    def publish(self, fd: int, stored: StoredResponse, sums: Sequence[int]) -> int:
        """Footer and final name; gives the bytes allocated. The reserved bytes of the body become
        those. Raises StorageError, and then the temporary file is gone."""
        body, size = stored.body, stored.body_bytes
        self.publishing.add(body)
        try:
            self._with_room(0, lambda: body_file.finish(fd, body, stored, size, sums, self.limits.sync))
            self._with_room(0, lambda: self._rename(body))
            reach("body-renamed")
            status = os.fstat(fd)
            allocated = status.st_blocks * 512 or status.st_size
        except (OSError, StorageError) as error:
            self.discard(body)
            with contextlib.suppress(StorageError):
                self.unlink(body)
            self.publishing.discard(body)
            self.account(-size)
            if isinstance(error, OSError):
                raise self.failed("write", error) from error
            raise
        self.account(allocated - size)
        self.writes.succeeded()
        return allocated

    def _rename(self, body: str) -> None:
        bodies, path = self.directory.bodies, body_file.path_of(body)
        try:
            os.rename(body, path, src_dir_fd=self.directory.temporary, dst_dir_fd=bodies)
        except FileNotFoundError:
            for folder in (path[:2], path[:5]):
                with contextlib.suppress(FileExistsError):
                    os.mkdir(folder, 0o700, dir_fd=bodies)
            os.rename(body, path, src_dir_fd=self.directory.temporary, dst_dir_fd=bodies)
        if self.limits.sync:
            for folder in (path[:5], path[:2], "."):
                fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY, dir_fd=bodies)
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)

    def discard(self, body: str) -> None:
        """Remove a temporary file."""
        with contextlib.suppress(OSError):
            os.unlink(body, dir_fd=self.directory.temporary)

    def insert(self, stored: StoredResponse, allocated: int, now: float) -> None:
        """Make a published body findable and free what it replaces. Raises StorageError."""
        data = record.encode(stored)

        def work(connection: index.Connection) -> tuple[list[str], int]:
            return index.put(connection, stored, data, allocated, now)

        try:
            try:
                replaced, freed = self.index.submit(work).result()
            except StorageError as error:
                if "is full" not in str(error) or not self.evict(ROOM_BYTES):
                    raise
                replaced, freed = self.index.submit(work).result()
        except StorageError:
            with contextlib.suppress(StorageError):
                self.unlink(stored.body)
            self.account(-allocated)
            raise
        finally:
            self.publishing.discard(stored.body)
        self.account(-freed)
        for body in replaced:
            with contextlib.suppress(StorageError):
                self.unlink(body)

    # -- reading -------------------------------------------------------------------------------

    def find(self, key: str) -> list[StoredResponse]:
        """What the index knows under `key`, records verified, most recently used first. Raises
        StorageError."""
        found: list[StoredResponse] = []
        damaged: list[str] = []
        for _, body, data in self.index.records(key):
            try:
                stored = record.decode(data)
            except Damaged:
                damaged.append(body)
                continue
            if stored.body != body:
                damaged.append(body)
            elif stored.key == key:
                found.append(stored)
        if damaged:
            self._event("corrupt_total", "record", "a record of the index is damaged")
            self.drop(damaged)
        return found

    def open(self, stored: StoredResponse, *, whole_bytes_max: int) -> OpenedBody:
        """Open and verify a body; bodies up to `whole_bytes_max` are read. Raises Damaged if it is
        not what was stored, StorageError if the disk fails."""
        if not self.reads.is_usable:
            raise StorageError(f"the disk is out of use: {self.reads.reason}")
        if not body_file.is_body_id(stored.body):
            raise Damaged("not the name of a body")
        fd = -1
        try:
            fd = body_file.open_regular(body_file.path_of(stored.body), self.directory.bodies)
            footer = body_file.read_footer(fd, stored.body)
            first = footer.stored
            if footer.size != stored.body_bytes or first.key != stored.key:
                raise Damaged("a body file is about another response")
            if footer.size <= WHOLE_CHECK_BYTES:
                self.prove(fd, footer, 0, footer.size)
            data = None
            if footer.size <= whole_bytes_max:
                data = body_file.read_exactly(fd, footer.size, 0)
        except OSError as error:
            if fd >= 0:
                os.close(fd)
            raise self.failed("read", error) from error
        except StorageError:
            if fd >= 0:
                os.close(fd)
            raise
        self.reads.succeeded()
        return OpenedBody(fd, footer, data)

    def prove(self, fd: int, footer: body_file.Footer, start: int, end: int) -> None:
        """Prove [start, end) by checksums where that has not been done since the file last changed.
        Raises Damaged, OSError."""
        file = identity(os.fstat(fd))
        if file[1] != footer.file[1]:
            raise Damaged("a body file has changed its length")
        with self._lock:
            pieces = self._proven.pieces(footer.stored.body, file, len(footer.sums))
        if end <= start:
            return
        for number in range(start // SEGMENT_BYTES, -(-end // SEGMENT_BYTES)):
            if not pieces[number]:
                body_file.prove_piece(fd, footer, number)
                pieces[number] = 1
