"""A large body that has to make room loses only as much as is needed: its least recently read pieces are
punched out of its file, and a whole body becomes a partial one. Blocks; runs in the disk's threads.

Readers of a hole would read zeros, so no body is shrunk that is open, here or in another process of the
node. What a crash in between leaves is
never believed: extents are proven by their checksums, and a file without a row is swept."""

from __future__ import annotations

import contextlib
import os
from sqlite3 import Connection

from edgeproxy.errors import StorageError
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.storage import body_file, partial_rows, record, tables
from edgeproxy.storage.crash import reach
from edgeproxy.storage.disk import DiskTier
from edgeproxy.storage.extents import Extent, Extents
from edgeproxy.storage.integrity import SEGMENT_BYTES
from edgeproxy.storage.partial_rows import PartialRow
from edgeproxy.storage.punch import punch

LARGE_BYTES = 64 << 20


def shrink_partial(disk: DiskTier, body: str, size: int, last_used: float) -> int:
    """Free about `size` bytes of a partial body the caller has claimed; gives the bytes freed, 0 if that
    is not possible. Raises StorageError."""
    found = partial_rows.read(disk.index, body)
    if found is None:
        return 0
    stored, allocated, extents = found
    victims = _victims(disk, body, extents, size)
    if not victims or len(victims) == len(extents):
        return 0
    fd = body_file.open_regular(body, disk.directory.partial, os.O_RDWR)
    try:
        if body_file.is_held(fd):
            return 0
        return _write_and_punch(disk, fd, stored, allocated, extents, victims, last_used)
    except OSError as error:
        raise disk.failed("write", error) from error
    finally:
        os.close(fd)


def shrink_body(disk: DiskTier, body: str, size: int, last_used: float) -> int:
    """Let a whole body become a partial one of about `size` bytes less; gives the bytes freed, 0 if that
    is not possible, because it is open or holes are not. Raises StorageError."""
    try:
        with disk.claims.briefly(body) as is_mine, disk.kept_closed(body) as is_closed:
            return _shrink_body(disk, body, size, last_used) if is_mine and is_closed else 0
    except OSError as error:
        raise disk.failed("write", error) from error


def _shrink_body(disk: DiskTier, body: str, size: int, last_used: float) -> int:
    path, bodies = body_file.path_of(body), disk.directory.bodies
    rows = disk.index.read("select allocated from bodies where id = ?", (body,))
    allocated = rows[0][0] if rows and isinstance(rows[0][0], int) else 0
    fd = body_file.open_regular(path, bodies, os.O_RDWR)
    try:
        if body_file.is_held(fd):
            return 0
        footer = body_file.read_footer(fd, body)
        extents = _extents_of(footer)
        victims = _victims(disk, body, extents, size)
        # Whether holes are possible is tried where they harm nothing: in the last victim.
        if not victims or len(victims) == len(extents):
            return 0
        if not punch(fd, victims[-1].start, victims[-1].end):
            return 0
        os.rename(path, body, src_dir_fd=bodies, dst_dir_fd=disk.directory.partial)
        reach("shrinking")
        try:
            os.ftruncate(fd, footer.size)
            freed = _write_and_punch(disk, fd, footer.stored, allocated, extents, victims, last_used)
        except (OSError, StorageError):
            os.unlink(body, dir_fd=disk.directory.partial)
            raise
    finally:
        os.close(fd)
    disk.left([body])
    return freed


def _extents_of(footer: body_file.Footer) -> Extents:
    found = [
        Extent(n * SEGMENT_BYTES, min((n + 1) * SEGMENT_BYTES, footer.size), crc, is_proven=False)
        for n, crc in enumerate(footer.sums)
    ]
    return Extents.of(footer.size, found)


def _victims(disk: DiskTier, body: str, extents: Extents, size: int) -> list[Extent]:
    """Extents of whole pieces' worth that together have about `size` bytes, those to go first first."""
    of_piece: dict[int, list[Extent]] = {}
    for extent in extents:
        of_piece.setdefault(extent.start // SEGMENT_BYTES, []).append(extent)
    victims: list[Extent] = []
    for piece in disk.uses.least_recent(body, list(of_piece)):
        if size <= 0:
            break
        victims += of_piece[piece]
        size -= sum(extent.end - extent.start for extent in of_piece[piece])
    return victims


def _write_and_punch(
    disk: DiskTier,
    fd: int,
    stored: StoredResponse,
    allocated: int,
    extents: Extents,
    victims: list[Extent],
    last_used: float,
) -> int:
    """First the index, so that nobody believes in what goes. Raises StorageError, OSError."""
    for extent in victims:
        extents.drop(extent)
    data = record.encode(stored)

    def work(connection: Connection, allocated: int) -> None:
        tables.drop_bodies(connection, [stored.body])
        row = PartialRow(stored, allocated, extents.encode())
        partial_rows.put(connection, row, data, last_used)

    disk.partial_keys.note(stored)
    disk.index.submit(lambda c: work(c, allocated)).result()
    reach("shrunk")
    for extent in victims:
        punch(fd, extent.start, extent.end)
    real = os.fstat(fd).st_blocks * 512
    if real != allocated:
        disk.account(real - allocated)
        with contextlib.suppress(StorageError):  # the sweep corrects it
            disk.index.submit(lambda c: work(c, real)).result()
    return max(0, allocated - real)
