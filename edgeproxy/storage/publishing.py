"""How a body that is all there becomes one that can be found: footer, name, row; or, where a body with
the same digest is here already, a row that shares that one. Blocks; runs in the disk's threads."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from concurrent.futures import Future
from sqlite3 import Connection

from msgspec.structs import replace

from edgeproxy.errors import StorageError
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.storage import body_file, record, tables
from edgeproxy.storage.crash import reach
from edgeproxy.storage.disk import ROOM_BYTES, DiskTier
from edgeproxy.storage.record import Damaged

SAME_DIGEST_MAX = 4  # bodies looked at that the index says have one digest


def publish(
    disk: DiskTier, fd: int, stored: StoredResponse, sums: Sequence[int], held: int | None = None
) -> int:
    """Footer and final name for a temporary file; gives the bytes allocated. The `held` bytes it has
    reserved, its size unless told, become those. Raises StorageError, and then the file is gone."""
    held = stored.body_bytes if held is None else held
    disk.publishing.add(stored.body)
    try:
        return name_body(disk, fd, stored, sums, held, disk.directory.temporary)
    except StorageError:
        disk.discard(stored.body)
        with contextlib.suppress(StorageError):
            disk.unlink(stored.body)
        disk.publishing.discard(stored.body)
        disk.account(-held)
        raise


def name_body(
    disk: DiskTier, fd: int, stored: StoredResponse, sums: Sequence[int], held: int, folder: int
) -> int:
    """`publish` for a file in `folder`, which stays where it is, or with its final name, on StorageError."""
    body, size = stored.body, stored.body_bytes
    try:
        disk.with_room(0, lambda: body_file.finish(fd, body, stored, size, sums, disk.limits.sync))
        disk.with_room(0, lambda: _rename(disk, body, folder))
        reach("body-renamed")
        status = os.fstat(fd)
    except OSError as error:
        raise disk.failed("write", error) from error
    allocated = status.st_blocks * 512 or status.st_size
    disk.account(allocated - held)
    disk.writes.succeeded()
    return allocated


def _rename(disk: DiskTier, body: str, folder: int) -> None:
    bodies, path = disk.directory.bodies, body_file.path_of(body)
    for attempt in range(3):  # a folder may be removed by whoever took its last file
        try:
            os.rename(body, path, src_dir_fd=folder, dst_dir_fd=bodies)
            break
        except FileNotFoundError:
            if attempt == 2:
                raise
            for name in (path[:2], path[:5]):
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, 0o700, dir_fd=bodies)
    if disk.limits.sync:
        for name in (path[:5], path[:2], "."):
            with contextlib.suppress(FileNotFoundError):  # the body may have been evicted already
                fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=bodies)
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)


def insert(disk: DiskTier, stored: StoredResponse, allocated: int, now: float) -> None:
    """Make a published body findable and free what it replaces. Raises StorageError, and then the body
    is gone."""
    Insert(disk, stored, allocated, now).finish()


class Insert:
    """`insert` in two steps: begun when made, so that many of them may share a transaction."""

    def __init__(self, disk: DiskTier, stored: StoredResponse, allocated: int, now: float) -> None:
        self._disk, self._stored, self._allocated = disk, stored, allocated
        data = record.encode(stored)
        disk.known_keys.note(stored.key, stored.digest)

        def work(connection: Connection) -> tuple[list[str], int]:
            return tables.put(connection, stored, data, allocated, now)

        self._work = work
        self._begun: Future[tuple[list[str], int]] | StorageError
        try:
            self._begun = disk.index.submit(work)
        except StorageError as error:
            self._begun = error

    def finish(self) -> None:
        """Wait for the end. Raises StorageError, and then the body is gone."""
        disk, body = self._disk, self._stored.body
        try:
            replaced, freed = self._result()
        except StorageError:
            with contextlib.suppress(StorageError):
                disk.unlink(body)
            disk.account(-self._allocated)
            raise
        finally:
            disk.publishing.discard(body)
        disk.account(-freed)
        for gone in replaced:
            with contextlib.suppress(StorageError):
                disk.unlink(gone)

    def _result(self) -> tuple[list[str], int]:
        disk, begun = self._disk, self._begun
        try:
            if isinstance(begun, StorageError):
                raise begun
            return begun.result()
        except StorageError as error:
            if "is full" not in str(error) or not disk.evict(ROOM_BYTES):
                raise
        return disk.index.submit(self._work).result()


def keep(disk: DiskTier, fd: int, stored: StoredResponse, sums: Sequence[int], now: float) -> StoredResponse:
    """Publish and insert a temporary file, or share a body with its digest; gives what is stored. Raises
    StorageError; the file is then gone."""
    linked = link(disk, stored, now)
    if linked is not None:
        disk.discard(stored.body)
        disk.account(-stored.body_bytes)
        return linked
    insert(disk, stored, publish(disk, fd, stored, sums), now)
    return stored


def link(disk: DiskTier, stored: StoredResponse, now: float) -> StoredResponse | None:
    """Let `stored` share the body that has its digest; None if there is none. What the index says is
    proven by the body's own footer."""
    if not stored.digest:
        return None
    with contextlib.suppress(StorageError):
        for body, size in disk.index.read(
            "select id, size from bodies where digest = ? limit ?", (stored.digest, SAME_DIGEST_MAX)
        ):
            if not isinstance(size, int) or stored.body_bytes not in (0, size):
                continue
            linked = replace(stored, body=str(body), body_bytes=size)
            if _has_digest(disk, linked) and _share(disk, linked, now):
                return linked
    return None


def _has_digest(disk: DiskTier, linked: StoredResponse) -> bool:
    try:
        fd = body_file.open_regular(body_file.path_of(linked.body), disk.directory.bodies)
    except (OSError, Damaged):
        return False
    try:
        footer = body_file.read_footer(fd, linked.body)
        return footer.size == linked.body_bytes and footer.stored.digest == linked.digest
    except (OSError, Damaged):
        return False
    finally:
        os.close(fd)


def _share(disk: DiskTier, linked: StoredResponse, now: float) -> bool:
    data = record.encode(linked)
    disk.known_keys.note(linked.key, linked.digest)
    found = disk.index.submit(lambda c: tables.link(c, linked, data, now)).result()
    if found is None:
        return False
    replaced, freed = found
    disk.account(-freed)
    for body in replaced:
        with contextlib.suppress(StorageError):
            disk.unlink(body)
    return True
