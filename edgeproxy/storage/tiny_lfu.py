"""W-TinyLFU (Einziger, Friedman, Manes, 2017): who is asked for more often stays.

Newcomers wait in a small window, least recently used first out. Who leaves it meets the least recently
used key of the main part, and the one asked for more often lately stays. How often is kept for far more
keys than are held, in a count-min sketch: a table of small counters, halved now and then so that old
fame fades. A scan of keys that are never asked again passes through the window and harms nothing."""

from __future__ import annotations

from collections import OrderedDict

WINDOW_SHARE = 100  # the window holds a hundredth of the bytes
SAMPLE_PER_KEY = 100  # counters are halved after this many uses for each key held
COUNTERS_PER_KEY = 16
COUNTERS_MIN = 1 << 10
COUNTERS_MAX = 1 << 22  # bytes of memory for each of the rows
_ROWS = 4
_HALVES = bytes(value >> 1 for value in range(256))
_SPREAD = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5)


class Sketch:
    """About how often each key was seen lately: never too little but for fading, seldom too much."""

    def __init__(self) -> None:
        self._width = COUNTERS_MIN
        self._rows = [bytearray(self._width) for _ in range(_ROWS)]
        self._seen = 0

    def _places(self, key: str) -> tuple[int, ...]:
        mixed = hash(key) & 0xFFFFFFFFFFFFFFFF
        mask = self._width - 1
        return tuple((mixed * factor >> 40) & mask for factor in _SPREAD)

    def add(self, key: str, keys_held: int) -> None:
        """See a key once; `keys_held` sets how much is remembered and for how long."""
        if keys_held * COUNTERS_PER_KEY > self._width < COUNTERS_MAX:
            self._grow()
        mixed, mask = hash(key) & 0xFFFFFFFFFFFFFFFF, self._width - 1
        for row, factor in zip(self._rows, _SPREAD):  # noqa: B905 - _places written out: this runs for every hit
            place = (mixed * factor >> 40) & mask
            if row[place] < 255:
                row[place] += 1
        self._seen += 1
        if self._seen >= SAMPLE_PER_KEY * max(keys_held, COUNTERS_MIN // COUNTERS_PER_KEY):
            self._rows = [row.translate(_HALVES) for row in self._rows]
            self._seen //= 2

    def estimate(self, key: str) -> int:
        return min(row[place] for row, place in zip(self._rows, self._places(key), strict=True))

    def _grow(self) -> None:
        # With twice the width a key's place is the old one or that plus the old width: copies fit both.
        self._rows = [row + row for row in self._rows]
        self._width *= 2


class TinyLfu:
    """An Eviction, see the head of this file."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._window: OrderedDict[str, None] = OrderedDict()
        self._main: OrderedDict[str, None] = OrderedDict()
        self._window_bytes = 0
        self._bytes = 0
        self._sketch = Sketch()

    def admit(self, key: str, size: int) -> None:
        held = self._sizes.get(key)
        if held is None:
            self._window[key] = None
            self._sketch.add(key, len(self._sizes))
        grown = size - (held or 0)
        self._sizes[key] = size
        self._bytes += grown
        if key in self._window:
            self._window_bytes += grown

    def touch(self, key: str) -> None:
        if key not in self._sizes:
            return
        self._sketch.add(key, len(self._sizes))
        (self._window if key in self._window else self._main).move_to_end(key)

    def remove(self, key: str) -> None:
        size = self._sizes.pop(key, None)
        if size is None:
            return
        self._bytes -= size
        if key in self._window:
            del self._window[key]
            self._window_bytes -= size
        else:
            del self._main[key]

    def victims(self, size: int) -> list[str]:
        self._fill_main(self._bytes - size)
        # Whoever is named leaves its queue meanwhile, so that each step looks at the front only.
        named: list[tuple[str, OrderedDict[str, None]]] = []
        left, left_window = self._bytes, self._window_bytes
        while size > 0 and (self._window or self._main):
            queue = self._main or self._window
            if self._window and left_window * WINDOW_SHARE > left:
                candidate, rival = next(iter(self._window)), next(iter(self._main), None)
                if rival is not None and self._is_wanted_more(candidate, rival):
                    self._promote(candidate)
                    left_window -= self._sizes[candidate]
                else:
                    queue = self._window
            victim, _ = queue.popitem(last=False)
            named.append((victim, queue))
            held = self._sizes[victim]
            size -= held
            left -= held
            if queue is self._window:
                left_window -= held
        for victim, queue in reversed(named):
            queue[victim] = None
            queue.move_to_end(victim, last=False)
        return [victim for victim, _ in named]

    def _fill_main(self, capacity: int) -> None:
        """While the main part has room in a tier of `capacity` bytes, who leaves the window need not
        meet a rival."""
        room = capacity - capacity // WINDOW_SHARE - (self._bytes - self._window_bytes)
        while self._window:
            key = next(iter(self._window))
            room -= self._sizes[key]
            if room < 0:
                return
            self._promote(key)

    def _is_wanted_more(self, candidate: str, rival: str) -> bool:
        return self._sketch.estimate(candidate) > self._sketch.estimate(rival)

    def _promote(self, key: str) -> None:
        del self._window[key]
        self._window_bytes -= self._sizes[key]
        self._main[key] = None
