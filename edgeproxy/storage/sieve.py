"""SIEVE (Zhang and others, NSDI 2024): one queue in the order of arrival, and a hand that goes round it.

A use only marks a key. The hand goes from the oldest key towards the newest: it takes the mark off whoever
has one, and the first without a mark leaves. Survivors stay where they are, so newcomers are looked at soon
after they came, and those nobody asked for again leave first. When the hand has passed the newest it begins
again with the oldest."""

from __future__ import annotations

from collections import OrderedDict


class _Place:
    """A key's size, and whether it was used since the hand passed."""

    __slots__ = ("is_marked", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.is_marked = False


class Sieve:
    """An Eviction, see the head of this file. The queue is two: what the hand has passed on this round, and
    what it comes to; newcomers stand at the end of the second."""

    def __init__(self) -> None:
        self._passed: OrderedDict[str, _Place] = OrderedDict()
        self._ahead: OrderedDict[str, _Place] = OrderedDict()
        self._newest = ""

    def _find(self, key: str) -> _Place | None:
        return self._ahead.get(key) or self._passed.get(key)

    def admit(self, key: str, size: int) -> None:
        place = self._find(key)
        if place is None:
            self._ahead[key] = _Place(size)
            self._newest = key
        else:
            place.size = size

    def touch(self, key: str) -> None:
        place = self._find(key)
        if place is not None:
            place.is_marked = True

    def remove(self, key: str) -> None:
        if self._ahead.pop(key, None) is None:
            self._passed.pop(key, None)

    def victims(self, size: int) -> list[str]:
        named: list[tuple[str, _Place]] = []
        while size > 0 and (self._ahead or self._passed):
            if not self._ahead:
                self._ahead, self._passed = self._passed, self._ahead
            key, place = self._ahead.popitem(last=False)
            # Room is made for the newcomer, which has had no time to be asked for again.
            is_spared = key == self._newest and (self._ahead or self._passed)
            if place.is_marked or is_spared:
                place.is_marked = False
                self._passed[key] = place
            else:
                named.append((key, place))
                size -= place.size
        for key, place in reversed(named):  # they stay until `remove`, and the hand stands before them
            self._ahead[key] = place
            self._ahead.move_to_end(key, last=False)
        return [key for key, _ in named]
