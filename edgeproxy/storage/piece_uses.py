"""Which pieces (4 MiB) of large bodies were read last, as far as is remembered. In RAM only, bounded."""

from __future__ import annotations

from collections import OrderedDict

from edgeproxy.storage.integrity import SEGMENT_BYTES

REMEMBERED_MAX = 65_536
SLICE_PIECES_MAX = 64  # a longer slice tells nothing about its pieces


class PieceUses:
    """`used` on the loop, the rest in any thread."""

    def __init__(self) -> None:
        self._uses: OrderedDict[tuple[str, int], int] = OrderedDict()
        self._number = 0

    def used(self, body: str, start: int, end: int) -> None:
        first, last = start // SEGMENT_BYTES, -(-end // SEGMENT_BYTES)
        if last - first > SLICE_PIECES_MAX:
            return
        self._number += 1
        for piece in range(first, last):
            self._uses[body, piece] = self._number
            self._uses.move_to_end((body, piece))
        while len(self._uses) > REMEMBERED_MAX:
            self._uses.popitem(last=False)

    def least_recent(self, body: str, pieces: list[int]) -> list[int]:
        """`pieces` in the order in which they should go: unknown ones are the oldest, and of two alike
        the one nearer to the end goes first."""
        return sorted(pieces, key=lambda piece: (self._uses.get((body, piece), 0), -piece))
