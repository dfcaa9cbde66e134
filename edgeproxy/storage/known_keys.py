"""Under which keys responses may be stored, and bodies with which digests: most misses are of what was never
here, and need not ask the index, which is a thread away.

A Bloom filter (B. Bloom, 1970): it may think that something is here that is not, never the other way round.
What has left stays in it until the next start, so a store that has taken in millions asks the index again."""

from __future__ import annotations

import threading
import time

from edgeproxy.storage.index import Index
from edgeproxy.storage.record import key_number

FILTER_BYTES = 1 << 20  # one in a hundred is asked for in vain at 600 000 names, a half at four million
PLACES = 4
_PLACE_BITS = 15  # between two places of a name, which are 63 bits of a digest
_MASK = FILTER_BYTES * 8 - 1
ROWS_AT_ONCE = 1024
REST_SECONDS = 0.005  # between two readings: others need the interpreter

_RESPONSES = "select id, key from responses where id > ? order by id limit ?"
_BODIES = "select id, digest from bodies where id > ? order by id limit ?"


class KnownKeys:
    """Everything may be there until `load` has been to its end. Used in any thread."""

    def __init__(self) -> None:
        self._bits = bytearray(FILTER_BYTES)
        self._lock = threading.Lock()
        self._is_loaded = self._is_stopped = False

    def load(self, index: Index) -> None:
        """Take in what was stored before. Blocks, for a while if that is much. Raises StorageError."""
        if index.is_unfilled:  # digests are filled in behind our back
            return
        for sql, after in ((_RESPONSES, 0), (_BODIES, "")):
            last: object = after
            while not self._is_stopped and (rows := index.read(sql, (last, ROWS_AT_ONCE))):
                for _, name in rows:
                    if isinstance(name, int):
                        self._add(name)
                    elif isinstance(name, str):
                        self._add(key_number(name))
                last = rows[-1][0]
                if len(rows) == ROWS_AT_ONCE:
                    time.sleep(REST_SECONDS)
        self._is_loaded = not self._is_stopped

    def stop(self) -> None:
        """End a running `load` soon."""
        self._is_stopped = True

    def note(self, key: str, digest: str) -> None:
        """A row about them is about to be written."""
        self._add(key_number(key))
        if digest:
            self._add(key_number(digest))

    def may_have(self, name: str) -> bool:
        """Whether there may be something under a key, or with a digest."""
        if not self._is_loaded:
            return True
        number, bits = key_number(name), self._bits
        for _ in range(PLACES):
            place = number & _MASK
            if not bits[place >> 3] & 1 << (place & 7):
                return False
            number >>= _PLACE_BITS
        return True

    def _add(self, number: int) -> None:
        bits = self._bits
        with self._lock:
            for _ in range(PLACES):
                place = number & _MASK
                bits[place >> 3] |= 1 << (place & 7)
                number >>= _PLACE_BITS
