"""Bodies that have lately arrived with wrong bytes: ranges of them are answered with the whole.

A client that was cut off has wrong bytes on its disk and asks for the rest. A 206 from the good body
would complete the wrong one; a 200 makes it begin again."""

from __future__ import annotations

from cachetools import LRUCache

from edgeproxy.message import Clock

NAMES_MAX = 1_000
SECONDS = 600.0


class Distrust:
    """Remembers cache keys and digests for ten minutes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: LRUCache[str, float] = LRUCache(NAMES_MAX)

    def add(self, *names: str) -> None:
        for name in names:
            if name:
                self._until[name] = self._clock() + SECONDS

    def holds(self, *names: str) -> bool:
        """Whether one of `names` was added a short while ago."""
        if not self._until:
            return False
        now = self._clock()
        return any(self._until.get(name, 0.0) > now for name in names)
