"""One body as one file: the body, then a footer.

    0               size                                                        end of file
    +---------------+---------------------------+-----------------+-------------+
    | body          | record (record.py)        | CRC-32 of each  | trailer     |
    |               | of one response           | 4 MiB, 4 bytes  | 52 bytes    |
    +---------------+---------------------------+-----------------+-------------+

    trailer, little endian: size u64, record length u32, number of CRCs u32, body id 16 bytes,
                            BLAKE2b (8 bytes) over record, CRCs and the fields so far,
                            version u32, magic "EDGEBODY"

The body starts at offset 0, so `sendfile` needs no offset and any tool can read it. Identity: the
id in the trailer is the file's name, and the record names key, variant, size and body. Integrity:
the footer's checksum covers the footer, the CRCs cover the body. Compatibility: a file of another
version is not read, and is swept. File names are the id in hex: aa/bb/<32 hex digits>; a file being
written is called tmp/<id>.

Everything here blocks and runs in the disk's threads."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from edgeproxy.policy.stored import StoredResponse
from edgeproxy.storage import record
from edgeproxy.storage.crash import reach
from edgeproxy.storage.crc32 import crc32
from edgeproxy.storage.integrity import SEGMENT_BYTES, Identity, identity
from edgeproxy.storage.record import Damaged

VERSION = 1
MAGIC = b"EDGEBODY"
_FIELDS = struct.Struct("<QII16s")
_END = struct.Struct("<8sI8s")
TRAILER_BYTES = _FIELDS.size + _END.size
FOOTER_BYTES_MAX = 24 << 20
IOV_MAX = 512
READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Footer:
    """What a body file says about itself."""

    stored: StoredResponse
    size: int
    sums: tuple[int, ...]
    file: Identity
    allocated: int


def is_body_id(name: str) -> bool:
    return len(name) == 32 and all(c in "0123456789abcdef" for c in name)


def path_of(body: str) -> str:
    return f"{body[:2]}/{body[2:4]}/{body}"


def write_all(fd: int, chunks: Sequence[bytes | memoryview], offset: int) -> int:
    """Write `chunks` at `offset`, however short the kernel's writes; gives the offset behind them.
    Raises OSError."""
    views = [memoryview(chunk) for chunk in chunks if len(chunk)]
    while views:
        done = os.pwritev(fd, views[:IOV_MAX], offset)
        if done <= 0:
            raise OSError(errno.EIO, "a write made no progress")
        offset += done
        while views and done >= len(views[0]):
            done -= len(views.pop(0))
        if done:
            views[0] = views[0][done:]
    return offset


def footer_bytes(body: str, stored: StoredResponse, size: int, sums: Sequence[int]) -> bytes:
    """The footer of a body. Raises StorageError."""
    head = record.encode(stored)
    checks = struct.pack(f"<{len(sums)}I", *sums)
    fields = _FIELDS.pack(size, len(head), len(sums), bytes.fromhex(body))
    content = head + checks + fields
    return content + _END.pack(_sum(content), VERSION, MAGIC)


def _sum(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=8).digest()


def open_regular(path: str, directory: int, access: int = os.O_RDONLY) -> int:
    """A descriptor of a regular file of ours; nothing is followed and nothing blocks.
    Raises Damaged for anything else, OSError if it cannot be opened."""
    try:
        fd = os.open(path, access | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.ENOENT, errno.ENOTDIR, errno.EACCES):
            raise Damaged(f"not a body file: {error.strerror}") from error
        raise
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
        os.close(fd)
        raise Damaged("not a regular file of this user")
    return fd


def hold(fd: int) -> None:
    """Keep holes from being punched into an open file, by whatever process: the lock lasts while this
    descriptor or a copy of it is open anywhere, also in a process it was passed to and after a crash."""
    with contextlib.suppress(OSError):  # where files cannot be locked, only this process is careful
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)


def is_held(fd: int) -> bool:
    """Whether somebody else holds the file, by another opening of it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def read_footer(fd: int, body: str) -> Footer:
    """The footer of an open body file whose name is `body`. Raises Damaged, OSError."""
    status = os.fstat(fd)
    end = status.st_size
    if end < TRAILER_BYTES:
        raise Damaged("a body file is too short")
    trailer = read_exactly(fd, TRAILER_BYTES, end - TRAILER_BYTES)
    size, record_bytes, count, name = _FIELDS.unpack_from(trailer)
    check, version, magic = _END.unpack_from(trailer, _FIELDS.size)
    footer = record_bytes + 4 * count
    if magic != MAGIC or version != VERSION:
        raise Damaged("not a body file of this version")
    if footer > FOOTER_BYTES_MAX or size + footer + TRAILER_BYTES != end or name.hex() != body:
        raise Damaged("a body file's trailer does not fit the file")
    content = read_exactly(fd, footer, size)
    if _sum(content + trailer[: _FIELDS.size]) != check or count != -(-size // SEGMENT_BYTES):
        raise Damaged("a body file's footer is damaged")
    stored = record.decode(content[:record_bytes])
    if stored.body != body or stored.body_bytes != size:
        raise Damaged("a body file's record is about another body")
    sums = struct.unpack(f"<{count}I", content[record_bytes:])
    return Footer(stored, size, sums, identity(status), status.st_blocks * 512)


def read_exactly(fd: int, length: int, offset: int) -> bytes:
    """Raises Damaged when the file ends early, OSError."""
    data = os.pread(fd, length, offset)
    while len(data) < length:
        more = os.pread(fd, length - len(data), offset + len(data))
        if not more:
            raise Damaged("a body file ends early")
        data += more
    return data


def prove_piece(fd: int, footer: Footer, index: int) -> None:
    """Compare one 4 MiB piece with its checksum. Raises Damaged, OSError."""
    offset = index * SEGMENT_BYTES
    end = min(offset + SEGMENT_BYTES, footer.size)
    check = 0
    while offset < end:
        data = read_exactly(fd, min(READ_BYTES, end - offset), offset)
        check = crc32(data, check)
        offset += len(data)
    if check != footer.sums[index]:
        raise Damaged("the checksum of a body is wrong")


def finish(fd: int, body: str, stored: StoredResponse, size: int, sums: Sequence[int], sync: bool) -> None:
    """Put the footer behind the body. Raises StorageError, OSError."""
    footer = footer_bytes(body, stored, size, sums)
    os.ftruncate(fd, size)  # a failed write may have left bytes behind
    write_all(fd, [footer], size)
    reach("body-footer")
    if sync:
        os.fsync(fd)


def hand_over(body: str, directory: int, heirs: Sequence[StoredResponse], sync: bool) -> None:
    """Let the footer be about one of `heirs`, unless it is about one of them already. A crash in between
    costs the body. Raises Damaged, StorageError, OSError."""
    fd = open_regular(path_of(body), directory, os.O_RDWR)
    try:
        footer = read_footer(fd, body)
        first = footer.stored
        same = [heir for heir in heirs if (heir.key, heir.selecting) == (first.key, first.selecting)]
        if heirs and not same:
            data = footer_bytes(body, heirs[0], footer.size, footer.sums)
            os.ftruncate(fd, footer.size)
            write_all(fd, [data], footer.size)
            if sync:
                os.fsync(fd)
    finally:
        os.close(fd)


def is_about(first: StoredResponse, stored: StoredResponse) -> bool:
    """Whether a body whose footer names `first` is that of `stored`: the same key, or the same digest."""
    return first.key == stored.key or bool(stored.digest and first.digest == stored.digest)
