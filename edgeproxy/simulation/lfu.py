"""LFU, to compare with: least frequently used first, of those the least recently used.

Uses count while a key is held. What was once asked for often never leaves, which is why no tier has it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator


class Lfu:
    """A storage.eviction.Eviction."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._uses: dict[str, int] = {}
        self._by_uses: dict[int, OrderedDict[str, None]] = {}
        self._newest = ""

    def admit(self, key: str, size: int) -> None:
        if key not in self._sizes:
            self._put(key, 1)
            self._newest = key
        self._sizes[key] = size

    def touch(self, key: str) -> None:
        if key in self._sizes:
            self._put(key, self._take(key) + 1)

    def remove(self, key: str) -> None:
        if self._sizes.pop(key, None) is not None:
            self._take(key)

    def _put(self, key: str, uses: int) -> None:
        self._uses[key] = uses
        self._by_uses.setdefault(uses, OrderedDict())[key] = None

    def _take(self, key: str) -> int:
        uses = self._uses.pop(key)
        queue = self._by_uses[uses]
        del queue[key]
        if not queue:
            del self._by_uses[uses]
        return uses

    def victims(self, size: int) -> list[str]:
        """Room is made for the newcomer: it goes last, however seldom it was used."""
        named: list[str] = []
        for key in self._in_order():
            if size <= 0:
                return named
            if key != self._newest:
                named.append(key)
                size -= self._sizes[key]
        if size > 0 and self._newest in self._sizes:
            named.append(self._newest)
        return named

    def _in_order(self) -> Iterator[str]:
        yield from self._by_uses.get(1, ())  # there is nearly always enough; to sort is for when there is not
        for uses in sorted(uses for uses in self._by_uses if uses > 1):
            yield from self._by_uses[uses]
