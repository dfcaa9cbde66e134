"""The disk tier: body files, how many bytes they take, what leaves for others, and the index.

Everything here blocks and runs in the tier's own threads. A body goes file first, then index row: a crash
between leaves a row that finds nothing rather than a file that comes back, and a full file system gets the
room the index needs. A response whose body others need goes by its row alone; if the body's footer was about
it, another takes its place. A partial body belongs to whoever has claimed its id: a fill, or eviction."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from sqlite3 import Connection
from typing import Protocol, TypeVar

from edgeproxy.errors import StorageError
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.storage import body_file, partial_rows, record, tables
from edgeproxy.storage.crash import reach
from edgeproxy.storage.directory import Directory
from edgeproxy.storage.index import Index
from edgeproxy.storage.integrity import SEGMENT_BYTES, Proven, identity
from edgeproxy.storage.known_keys import KnownKeys
from edgeproxy.storage.open_file import OpenedBody
from edgeproxy.storage.partial_claims import PartialClaims
from edgeproxy.storage.partial_keys import PartialKeys
from edgeproxy.storage.piece_uses import PieceUses
from edgeproxy.storage.record import Damaged
from edgeproxy.storage.trouble import ErrorBudget

T = TypeVar("T")
WHOLE_CHECK_BYTES = 64 << 20
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


class Room(Protocol):
    """What keeps the account of the bytes; disk_room.DiskRoom."""

    used: int
    is_full: bool

    def account(self, size: int) -> None: ...

    def reserve(self, size: int) -> None: ...

    def evict(self, size: int) -> int: ...

    def still(self) -> contextlib.AbstractContextManager[object]: ...


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
        self.room: Room  # set by whoever opens the tier
        self.event = event
        self.left = dropped
        self._lock = threading.Lock()
        self._proven = Proven()
        self.claims = PartialClaims()
        self.partial_keys = PartialKeys()
        self.known_keys = KnownKeys()
        self.uses = PieceUses()
        self._open: dict[str, int] = {}  # bodies held open, and how often
        self._shrinking: set[str] = set()
        self._footers = threading.Lock()
        self._footers_changed = 0

    @property
    def state(self) -> str:
        for budget in (self.writes, self.reads):
            if budget.reason:
                return f"off: {budget.reason}"
        return "full" if self.room.is_full else "ok"

    # -- accounting ----------------------------------------------------------------------------

    @property
    def used(self) -> int:
        """Bytes taken by bodies whole, in part, and on their way."""
        return self.room.used

    def account(self, size: int) -> None:
        self.room.account(size)

    def reserve(self, size: int) -> None:
        """Make room for `size` more bytes, evicting if need be. Raises StorageError."""
        self.room.reserve(size)

    def evict(self, size: int) -> int:
        """Free `size` bytes, least recently used first; gives the bytes freed. Raises StorageError."""
        return self.room.evict(size)

    @contextlib.contextmanager
    def kept_closed(self, body: str) -> Iterator[bool]:
        """Nobody opens the body inside the block; false if a reader holds it open."""
        with self._lock:
            is_closed = body not in self._open and body not in self._shrinking
            if is_closed:
                self._shrinking.add(body)
        try:
            yield is_closed
        finally:
            if is_closed:
                with self._lock:
                    self._shrinking.discard(body)

    # -- removing ------------------------------------------------------------------------------

    def drop(self, bodies: Iterable[str], *, must_go: bool = True) -> int:
        """Remove bodies and all responses that need them; gives the bytes freed. Raises StorageError when
        they may still be there; without `must_go` one that cannot be removed is forgotten all the same, so
        that it does not stand in the way of the others (a later start sweeps it)."""
        bodies = list(bodies)
        for body in bodies:
            try:
                self.unlink(body)
            except StorageError:
                if must_go:
                    raise
        reach("body-unlinked")

        def forget(connection: Connection) -> int:
            released = sum(tables.allocated(connection, body) for body in bodies)
            tables.drop_bodies(connection, bodies)
            return released

        freed = self.index.submit(forget).result()
        self.account(-freed)
        self.left(bodies)
        return freed

    def forget_partials(self, bodies: Sequence[str], *, must_go: bool = True) -> int:
        """Remove partial bodies the caller has claimed; gives the bytes their rows account for, which
        stay accounted. Raises StorageError."""
        for body in filter(body_file.is_body_id, bodies):
            try:
                os.unlink(body, dir_fd=self.directory.partial)
            except (FileNotFoundError, IsADirectoryError):
                continue
            except OSError as error:
                failure = self.failed("remove", error)
                if must_go:
                    raise failure from error
        reach("partial-unlinked")
        return self.index.submit(lambda c: partial_rows.drop(c, bodies)).result()

    def release(self, responses: Iterable[tuple[str, str]]) -> None:
        """Remove responses by key and body; a body goes with the last one that needs it. Raises
        StorageError when something may still be there."""
        self.release_rows([(record.key_number(key), body) for key, body in responses])

    def release_rows(self, rows: Sequence[tuple[int, str]]) -> None:
        """`release` by key numbers."""
        alone: list[str] = []
        shared: list[tuple[int, str]] = []
        for key, body in rows:
            others = self.index.read(
                "select 1 from responses where body = ? and key <> ? limit 1", (body, key)
            )
            if others:
                shared.append((key, body))
            else:
                alone.append(body)
        if alone:
            self.drop(alone)
        if not shared:
            return
        unused, freed = self.index.submit(lambda c: tables.release(c, shared)).result()
        self.account(-freed)
        for body in unused:
            self.unlink(body)
        for _, body in shared:
            if body not in unused:
                self._hand_over(body)

    def _hand_over(self, body: str) -> None:
        """Let the footer of a shared body be about a response that is still there: should the index be
        lost, it is what is read in again. If that cannot be written, the body goes."""
        try:
            heirs = [
                record.decode(data)
                for (data,) in self.index.read("select record from responses where body = ?", (body,))
                if isinstance(data, bytes)
            ]
            with self._footers:
                self._footers_changed += 1
                try:
                    body_file.hand_over(body, self.directory.bodies, heirs, self.limits.sync)
                finally:
                    self._footers_changed += 1
        except (OSError, StorageError) as error:
            self.event("storage_errors_total", "write", f"disk: the owner of a body cannot change: {error}")
            self.drop([body])

    def unlink(self, body: str) -> None:
        """Remove a body's file if it is there. Raises StorageError."""
        with self._lock:
            self._proven.forget(body)
        if not body_file.is_body_id(body):
            return
        path = body_file.path_of(body)
        try:
            os.unlink(path, dir_fd=self.directory.bodies)
            for folder in (path[:5], path[:2]):  # as far as they are empty; whoever needs one makes it
                os.rmdir(folder, dir_fd=self.directory.bodies)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise self.failed("remove", error) from error

    # -- trouble -------------------------------------------------------------------------------

    def failed(self, operation: str, error: OSError) -> StorageError:
        """Count an error of the disk; gives what to raise."""
        if error.errno in NO_ROOM:
            self.room.is_full = True
        if error.errno not in NOT_THE_DISK:
            budget = self.reads if operation == "read" else self.writes
            budget.failed(errno.errorcode.get(error.errno or 0, "error"))
        self.event("storage_errors_total", operation, f"disk: {operation}: {error.strerror or error}")
        return StorageError(f"disk: {operation}: {error.strerror or error}")

    # -- writing -------------------------------------------------------------------------------

    def with_room(self, size: int, work: Callable[[], T]) -> T:
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
            fd = self.with_room(
                0, lambda: os.open(body, TEMPORARY_FLAGS, 0o600, dir_fd=self.directory.temporary)
            )
        except OSError as error:
            raise self.failed("write", error) from error
        body_file.hold(fd)
        reach("body-opened")
        return fd

    def append(self, fd: int, chunks: Sequence[bytes | memoryview], offset: int) -> int:
        """Raises StorageError; bytes are reserved before they are written."""
        size = sum(len(chunk) for chunk in chunks)
        self.reserve(size)
        try:
            end = self.with_room(size, lambda: body_file.write_all(fd, chunks, offset))
        except OSError as error:
            self.account(-size)
            raise self.failed("write", error) from error
        except StorageError:
            self.account(-size)
            raise
        reach("body-data")
        return end

    def discard(self, body: str) -> None:
        """Remove a temporary file."""
        with contextlib.suppress(OSError):
            os.unlink(body, dir_fd=self.directory.temporary)

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
            self.event("corrupt_total", "record", "a record of the index is damaged")
            self.drop(damaged)
        return found

    def open(self, stored: StoredResponse, *, whole_bytes_max: int) -> OpenedBody:
        """Open and verify a body; bodies up to `whole_bytes_max` are read. Raises Damaged if it is
        not what was stored, StorageError if the disk fails."""
        if not self.reads.is_usable:
            raise StorageError(f"the disk is out of use: {self.reads.reason}")
        if not body_file.is_body_id(stored.body):
            raise Damaged("not the name of a body")
        with self._lock:
            if stored.body in self._shrinking:
                raise StorageError("the body is leaving")
            self._open[stored.body] = self._open.get(stored.body, 0) + 1
        fd = -1
        try:
            fd = body_file.open_regular(body_file.path_of(stored.body), self.directory.bodies)
            body_file.hold(fd)
            footer = self._read_footer(fd, stored.body)
            if footer.size != stored.body_bytes or not body_file.is_about(footer.stored, stored):
                raise Damaged("a body file is about another response")
            if footer.size <= WHOLE_CHECK_BYTES:
                self.prove(fd, footer, 0, footer.size)
            data = None
            if footer.size <= whole_bytes_max:
                data = body_file.read_exactly(fd, footer.size, 0)
        except OSError as error:
            self._shut(stored.body, fd)
            raise self.failed("read", error) from error
        except StorageError:
            self._shut(stored.body, fd)
            raise
        self.reads.succeeded()
        return OpenedBody(stored.body, fd, footer, data)

    def shut(self, opened: OpenedBody) -> None:
        """End what `open` began."""
        self._shut(opened.body, opened.fd)

    def _shut(self, body: str, fd: int) -> None:
        with self._lock:
            left = self._open.get(body, 0) - 1
            if left > 0:
                self._open[body] = left
            else:
                self._open.pop(body, None)
        if fd >= 0:
            os.close(fd)

    def _read_footer(self, fd: int, body: str) -> body_file.Footer:
        """Once more where it may have been read while it was being replaced."""
        before = self._footers_changed
        try:
            return body_file.read_footer(fd, body)
        except Damaged:
            with self._footers:
                if before == self._footers_changed and before % 2 == 0:
                    raise
                return body_file.read_footer(fd, body)

    def prove(self, fd: int, footer: body_file.Footer, start: int, end: int) -> None:
        """Prove [start, end) by checksums where that has not been done since the file last changed.
        Raises Damaged, OSError."""
        file = identity(os.fstat(fd))
        if file[1] < footer.size:
            raise Damaged("a body file has changed its length")
        with self._lock:
            pieces = self._proven.pieces(footer.stored.body, file, len(footer.sums))
        if end <= start:
            return
        for number in range(start // SEGMENT_BYTES, -(-end // SEGMENT_BYTES)):
            if not pieces[number]:
                body_file.prove_piece(fd, footer, number)
                pieces[number] = 1
