"""Who has lately sent wrong bytes of what: they are not asked for it again while others can be."""

from __future__ import annotations

from collections.abc import Iterable

from cachetools import LRUCache

from edgeproxy.message import Clock

NAMES_MAX = 1_000
SECONDS = 600.0
NOBODY: frozenset[str] = frozenset()


def is_avoidable(source: str) -> bool:
    """Whether others may have what this source of responses has: it is a parent or a sibling."""
    return source not in ("", "origin")


def told(sources: Iterable[str]) -> str:
    """ " from a, b" for a log line; "" where there was only an origin."""
    names = ", ".join(sorted(filter(is_avoidable, sources)))
    return f" from {names}" if names else ""


class Blame:
    """Remembers sources by cache key and by digest, for ten minutes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: LRUCache[str, tuple[float, frozenset[str]]] = LRUCache(NAMES_MAX)

    def add(self, sources: Iterable[str], *names: str) -> bool:
        """`sources` took part in a body of `names` (keys, digests) that was wrong. Whether there is anything
        to be gained by asking again: one of them can be avoided, and was not yet. An origin cannot be."""
        avoidable = frozenset(source for source in sources if is_avoidable(source))
        is_new = bool(avoidable - self.of(*names))
        for name in names:
            if name and avoidable:
                self._known[name] = (self._clock() + SECONDS, self.of(name) | avoidable)
        return is_new

    def of(self, *names: str) -> frozenset[str]:
        """Whom not to ask for what has one of `names`."""
        if not self._known:
            return NOBODY
        now, found = self._clock(), NOBODY
        for name in names:
            until, sources = self._known.get(name, (0.0, NOBODY))
            if now < until:
                found |= sources
        return found
