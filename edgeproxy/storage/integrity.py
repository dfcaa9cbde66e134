"""Checksums of body segments, and what has already been proven in this process.

A body is divided in segments (4 MiB, doubled until there are at most 4096), each with a CRC-32. A
segment proven once stays proven while the file's identity (inode, size, mtime, ctime) is the same."""

from __future__ import annotations

import os
from collections import OrderedDict

from edgeproxy.storage.crc32 import crc32

SEGMENT_BYTES = 4 << 20
SEGMENTS_MAX = 4096
PROVEN_MAX = 32_768  # bodies remembered as proven; about 300 bytes each

Identity = tuple[int, int, int, int]


def segment_bytes(size: int) -> int:
    """The length of the segments of a body of `size` bytes (the last may be shorter)."""
    length = SEGMENT_BYTES
    while length * SEGMENTS_MAX < size:
        length *= 2
    return length


def identity(status: os.stat_result) -> Identity:
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class RunningChecksums:
    """The CRC-32s of 4 MiB pieces of a body that arrives in order, of which `finish` makes those of
    its segments once the size is known."""

    def __init__(self) -> None:
        self._sums: list[int] = []
        self._current = 0
        self._filled = 0

    def add(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            piece = view[: SEGMENT_BYTES - self._filled]
            self._current = crc32(piece, self._current)
            self._filled += len(piece)
            view = view[len(piece) :]
            if self._filled == SEGMENT_BYTES:
                self._sums.append(self._current)
                self._current = self._filled = 0

    def finish(self) -> tuple[int, ...]:
        """Of each 4 MiB, the last possibly shorter; none for an empty body."""
        return (*self._sums, self._current) if self._filled else tuple(self._sums)


class Proven:
    """Which 4 MiB pieces of which bodies have been proven. Used under the lock of its owner."""

    def __init__(self) -> None:
        self._bodies: OrderedDict[str, tuple[Identity, bytearray]] = OrderedDict()

    def pieces(self, body: str, file: Identity, count: int) -> bytearray:
        """One byte for each piece, 1 if proven; shared, to be written to."""
        known = self._bodies.get(body)
        if known is None or known[0] != file or len(known[1]) != count:
            known = self._bodies[body] = (file, bytearray(count))
            while len(self._bodies) > PROVEN_MAX:
                self._bodies.popitem(last=False)
        self._bodies.move_to_end(body)
        return known[1]

    def forget(self, body: str) -> None:
        self._bodies.pop(body, None)
