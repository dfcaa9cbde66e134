"""What of a partial body is there, and the checksums by which that can be proven.

An extent is a run of present bytes inside one piece (4 MiB, the last one shorter) with its CRC-32.
Extents of a piece grow together as its bytes come, in whatever order, until one covers the piece: its
sum is then the one the footer of the whole body holds. Bytes from an earlier life of the process are
suspect until they have been read and compared; they do not grow together with proven ones.

As bytes, little endian:

    "EXT1", number of runs u32, number of extents u32
    each run of whole pieces: first piece u32, pieces u32, then the CRC-32 of each, u32
    each other extent: start u64, end u64, CRC-32 u32
    CRC-32 of what precedes, u32

Of more than EXTENTS_MAX incomplete extents the longest are written down, and the others have to be
fetched again in another life; their owner drops the shortest long before there are many more (`excess`)."""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from edgeproxy.policy.spans import Spans
from edgeproxy.storage.crc32 import crc32, joined, remainder
from edgeproxy.storage.integrity import SEGMENT_BYTES
from edgeproxy.storage.record import Damaged

MAGIC = b"EXT1"
EXTENTS_MAX = 4096
PIECES_MAX = 1 << 24  # 64 TiB
_HEAD = struct.Struct("<4sII")
_RUN = struct.Struct("<II")
_EXTENT = struct.Struct("<QQI")
_CHECK = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Extent:
    """Bytes [start, end) of one piece, all there."""

    start: int
    end: int
    crc: int
    is_proven: bool = True


class Extents:
    """Of a body of `size` bytes. `spans` says the same without sums, and is kept up to date in place."""

    __slots__ = ("_extents", "_starts", "incomplete", "pieces_filled", "size", "spans")

    def __init__(self, size: int) -> None:
        self.size = size
        self.spans = Spans()
        self.pieces_filled = 0  # grows when a piece becomes whole
        self.incomplete = 0  # extents that are no whole piece
        self._starts: list[int] = []
        self._extents: list[Extent] = []

    def __iter__(self) -> Iterator[Extent]:
        return iter(list(self._extents))

    def __len__(self) -> int:
        return len(self._extents)

    def crc_before(self, offset: int) -> int:
        """What a running CRC-32 goes on from at `offset`: that of the proven extent which ends there; 0
        if there is none or a piece begins."""
        if offset % SEGMENT_BYTES == 0:
            return 0
        place = bisect_left(self._starts, offset) - 1
        if place < 0:
            return 0
        before = self._extents[place]
        return before.crc if before.end == offset and before.is_proven else 0

    def add(self, start: int, end: int, crc: int, before: int = 0) -> None:
        """[start, end), absent so far and inside one piece, is there now. `crc` went on from `before`,
        which `crc_before` gave."""
        place = bisect_left(self._starts, start)
        first, last = place, place  # what grows together with it
        left = self._extents[place - 1] if place else None
        extent = Extent(start, end, crc)
        if left is not None and left.end == start and left.is_proven and start % SEGMENT_BYTES:
            first -= 1
            if left.crc != before or not before:
                own = remainder(crc, before, end - start) if before else crc
                crc = joined(left.crc, own, end - start)
            extent = Extent(left.start, end, crc)
        elif before:
            extent = Extent(start, end, remainder(crc, before, end - start))
        right = self._extents[place] if place < len(self._extents) else None
        if right is not None and right.start == end and right.is_proven and end % SEGMENT_BYTES:
            last += 1
            crc = joined(extent.crc, right.crc, right.end - right.start)
            extent = Extent(extent.start, right.end, crc)
        self.incomplete -= sum(not self._is_whole(part) for part in self._extents[first:last])
        self.incomplete += not self._is_whole(extent)
        self._starts[first:last] = [extent.start]
        self._extents[first:last] = [extent]
        self.spans.add(start, end)
        self.pieces_filled += self._is_whole(extent)

    def _is_whole(self, extent: Extent) -> bool:
        whole = min(SEGMENT_BYTES, self.size - extent.start)
        return extent.start % SEGMENT_BYTES == 0 and extent.end - extent.start == whole

    def within(self, start: int, end: int) -> list[Extent]:
        """Extents that have bytes of [start, end)."""
        first = max(0, bisect_right(self._starts, start) - 1)
        last = bisect_left(self._starts, end)
        return [extent for extent in self._extents[first:last] if extent.end > start]

    def prove(self, extent: Extent) -> None:
        """Note that the bytes of `extent` are those once written, if it is still there."""
        place = self._place(extent)
        if place is not None:
            self._extents[place] = replace(extent, is_proven=True)

    def drop(self, extent: Extent) -> bool:
        """Its bytes are not there any more. False if it has gone or changed since."""
        place = self._place(extent)
        if place is None:
            return False
        del self._starts[place], self._extents[place]
        self.incomplete -= not self._is_whole(extent)
        self.spans.remove(extent.start, extent.end)
        return True

    def excess(self, needed: Sequence[tuple[int, int]]) -> list[Extent]:
        """Extents to be dropped because there are too many: the shortest, some at a time. None of the run
        in which the body begins, which may have been hashed, and none that has bytes of `needed`."""
        if self.incomplete <= EXTENTS_MAX:
            return []
        begun = self.spans.upto(0)
        found = [
            extent
            for extent in self._extents
            if extent.start >= begun
            and not self._is_whole(extent)
            and not any(extent.start < end and start < extent.end for start, end in needed)
        ]
        found.sort(key=lambda extent: extent.end - extent.start)
        return found[: self.incomplete - EXTENTS_MAX + EXTENTS_MAX // 8]

    def _place(self, extent: Extent) -> int | None:
        place = bisect_left(self._starts, extent.start)
        if place < len(self._extents) and self._extents[place] == extent:
            return place
        return None

    def sums(self) -> tuple[int, ...]:
        """The CRC-32 of each piece of a body that is all there. Raises ValueError if it is not."""
        if self.spans.total != self.size:
            raise ValueError("bytes are missing")
        sums: list[int] = []
        for extent in self._extents:
            if extent.start % SEGMENT_BYTES == 0:
                sums.append(extent.crc)
            else:
                sums[-1] = joined(sums[-1], extent.crc, extent.end - extent.start)
        return tuple(sums)

    # -- as bytes ------------------------------------------------------------------------------

    def encode(self) -> bytes:
        runs: list[list[int]] = []
        others: list[Extent] = []
        follows = -1
        for extent in self._extents:
            if not self._is_whole(extent):
                others.append(extent)
                continue
            piece = extent.start // SEGMENT_BYTES
            if piece != follows:
                runs.append([piece])
            runs[-1].append(extent.crc)
            follows = piece + 1
        if len(others) > EXTENTS_MAX:
            others = sorted(others, key=lambda e: e.start - e.end)[:EXTENTS_MAX]
            others.sort(key=lambda e: e.start)
        parts = [_HEAD.pack(MAGIC, len(runs), len(others))]
        for piece, *sums in runs:
            parts += (_RUN.pack(piece, len(sums)), struct.pack(f"<{len(sums)}I", *sums))
        parts += (_EXTENT.pack(e.start, e.end, e.crc) for e in others)
        data = b"".join(parts)
        return data + _CHECK.pack(crc32(data))

    @classmethod
    def decode(cls, data: bytes, size: int) -> Extents:
        """Suspect, all of them. Raises Damaged."""
        if len(data) < _HEAD.size + _CHECK.size or _CHECK.unpack(data[-4:])[0] != crc32(data[:-4]):
            raise Damaged("the list of what a partial body holds is damaged")
        try:
            found = sorted(_unpack(data, size), key=lambda extent: extent.start)
        except struct.error as error:
            raise Damaged("the list of what a partial body holds is cut short") from error
        return cls.of(size, found)

    @classmethod
    def of(cls, size: int, found: Sequence[Extent]) -> Extents:
        """From extents in order. Raises Damaged if they cannot be those of one body."""
        extents, behind = cls(size), 0
        for extent in found:
            start, end = extent.start, extent.end
            one_piece = start // SEGMENT_BYTES == (end - 1) // SEGMENT_BYTES
            if not behind <= start < end <= size or not one_piece:
                raise Damaged("the list of what a partial body holds is not possible")
            behind = end
            extents._starts.append(start)
            extents._extents.append(extent)
            extents.incomplete += not extents._is_whole(extent)
            extents.spans.add(start, end)
        return extents


def _unpack(data: bytes, size: int) -> Iterator[Extent]:
    magic, runs, others = _HEAD.unpack_from(data)
    if magic != MAGIC:
        raise Damaged("not a list of extents of this version")
    offset = _HEAD.size
    for _ in range(runs):
        piece, count = _RUN.unpack_from(data, offset)
        if piece + count > PIECES_MAX:
            raise Damaged("the list of what a partial body holds is not possible")
        for number, crc in enumerate(struct.unpack_from(f"<{count}I", data, offset + _RUN.size), piece):
            start = number * SEGMENT_BYTES
            yield Extent(start, min(start + SEGMENT_BYTES, size), crc, is_proven=False)
        offset += _RUN.size + 4 * count
    for _ in range(others):
        start, end, crc = _EXTENT.unpack_from(data, offset)
        yield Extent(start, end, crc, is_proven=False)
        offset += _EXTENT.size


def checksums(
    start: int, chunks: Sequence[bytes | memoryview], before: int = 0
) -> list[tuple[int, int, int]]:
    """(start, end, CRC-32) of each part, cut at the pieces, of bytes that begin at `start`; the first
    goes on from `before`."""
    found: list[tuple[int, int, int]] = []
    begin, position, crc = start, start, before
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            part = view[: SEGMENT_BYTES - position % SEGMENT_BYTES]
            crc = crc32(part, crc)
            position += len(part)
            view = view[len(part) :]
            if position % SEGMENT_BYTES == 0:
                found.append((begin, position, crc))
                begin, crc = position, 0
    if position > begin:
        found.append((begin, position, crc))
    return found
