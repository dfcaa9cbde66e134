"""Until when something holds, by name, in memory that all processes forked after it was made share.

    mark | until | mark | until | ...        (8 bytes each; ways of one name lie side by side)

A mark is a keyed hash of a name, so nobody outside can make up two names with the same one. Processes do
not wait for each other: of two that note at the same moment in the same place one may be forgotten."""

from __future__ import annotations

import mmap
import os
import struct
from hashlib import blake2b

NAMES_MAX = 4096
_WAYS = 8
_ENTRY = struct.Struct("=Qd")


class SharedUntil:
    """Bounded: of those that fall into one place, the one that ends first gives way."""

    def __init__(self, names_max: int = NAMES_MAX) -> None:
        self._places = max(1, names_max // _WAYS)
        self._map = mmap.mmap(-1, self._places * _WAYS * _ENTRY.size)
        self._key = os.urandom(16)

    def note(self, name: str, until: float) -> None:
        """`name` holds until then (seconds of a clock that all processes share)."""
        mark, at = self._mark(name)
        ways = [_ENTRY.unpack_from(self._map, at + way * _ENTRY.size) for way in range(_WAYS)]
        known = next((way for way, (other, _) in enumerate(ways) if other == mark), None)
        way = min(range(_WAYS), key=lambda way: ways[way][1]) if known is None else known
        _ENTRY.pack_into(self._map, at + way * _ENTRY.size, mark, until)

    def until(self, name: str) -> float:
        """0.0 for a name that is not known."""
        mark, at = self._mark(name)
        for way in range(_WAYS):
            other, until = _ENTRY.unpack_from(self._map, at + way * _ENTRY.size)
            if other == mark:
                return float(until)
        return 0.0

    def _mark(self, name: str) -> tuple[int, int]:
        """The mark of a name, and where its place begins."""
        digest = blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8, key=self._key).digest()
        mark = int.from_bytes(digest) or 1
        return mark, mark % self._places * _WAYS * _ENTRY.size
