"""Which keys leave a bounded tier. An Eviction names victims and removes nothing: its caller does.

S3-FIFO (Yang and others, SOSP 2023) in short: newcomers wait in a small queue and most leave from
it unread; what was read there moves to the main queue, where each read buys another round; a ghost
list of names just thrown out lets those that come back go to the main queue at once. A scan of
keys that are never asked again passes through the small queue and harms nothing."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal, Protocol, assert_never

from edgeproxy.storage.sieve import Sieve
from edgeproxy.storage.tiny_lfu import TinyLfu

SMALL_SHARE = 10  # the small queue holds a tenth of the bytes
READS_MAX = 3


class Eviction(Protocol):
    """Sizes in bytes. Keys that were not admitted are ignored by `touch` and `remove`."""

    def admit(self, key: str, size: int) -> None:
        """Take in a key, or note its new size."""
        ...

    def touch(self, key: str) -> None:
        """Count a use. Called for every hit, so it is cheap."""
        ...

    def remove(self, key: str) -> None:
        """The key has left, for whatever reason."""
        ...

    def victims(self, size: int) -> list[str]:
        """Keys of together at least `size` bytes that should go (all keys if there is less), each
        once. They stay admitted until `remove`."""
        ...


class Lru:
    """Least recently used first."""

    def __init__(self) -> None:
        self._sizes: OrderedDict[str, int] = OrderedDict()

    def admit(self, key: str, size: int) -> None:
        self._sizes[key] = size
        self._sizes.move_to_end(key)

    def touch(self, key: str) -> None:
        if key in self._sizes:
            self._sizes.move_to_end(key)

    def remove(self, key: str) -> None:
        self._sizes.pop(key, None)

    def victims(self, size: int) -> list[str]:
        named: list[str] = []
        for key, held in self._sizes.items():
            if size <= 0:
                break
            named.append(key)
            size -= held
        return named


class _Place:
    """Where a key stands: its size, uses since it was last considered, and its queue."""

    __slots__ = ("is_small", "reads", "size")

    def __init__(self, size: int, is_small: bool) -> None:
        self.size = size
        self.reads = 0
        self.is_small = is_small


class S3Fifo:
    """Two queues and a ghost list, see the head of this file."""

    def __init__(self) -> None:
        self._places: dict[str, _Place] = {}
        self._small: OrderedDict[str, None] = OrderedDict()
        self._main: OrderedDict[str, None] = OrderedDict()
        self._ghosts: OrderedDict[int, None] = OrderedDict()
        self._small_bytes = 0
        self._bytes = 0

    def admit(self, key: str, size: int) -> None:
        place = self._places.get(key)
        if place is not None:
            self._resize(place, size)
            return
        # Ghosts are hashes: they outnumber what is held and must cost little.
        is_small = self._ghosts.pop(hash(key), self) is self
        place = self._places[key] = _Place(0, is_small)
        (self._small if is_small else self._main)[key] = None
        self._resize(place, size)

    def _resize(self, place: _Place, size: int) -> None:
        grown = size - place.size
        place.size = size
        self._bytes += grown
        if place.is_small:
            self._small_bytes += grown

    def touch(self, key: str) -> None:
        place = self._places.get(key)
        if place is not None and place.reads < READS_MAX:
            place.reads += 1

    def remove(self, key: str) -> None:
        place = self._places.pop(key, None)
        if place is None:
            return
        if place.is_small:
            del self._small[key]
            self._remember(key)
        else:
            del self._main[key]
        self._resize(place, 0)

    def _remember(self, key: str) -> None:
        self._ghosts[hash(key)] = None
        while len(self._ghosts) > max(16, len(self._main)):
            self._ghosts.popitem(last=False)

    def victims(self, size: int) -> list[str]:
        # Whoever is named leaves its queue meanwhile, so that each step looks at the front only.
        named: list[tuple[str, _Place]] = []
        while size > 0 and len(named) < len(self._places):
            is_crowded = self._small and self._small_bytes * SMALL_SHARE >= self._bytes
            key = self._next_small() if is_crowded else None
            key = key or self._next_main() or self._next_small()
            if key is None:
                break
            place = self._places[key]
            named.append((key, place))
            size -= place.size
            self._bytes -= place.size
            if place.is_small:
                self._small_bytes -= place.size
        for key, place in reversed(named):
            queue = self._small if place.is_small else self._main
            queue[key] = None
            queue.move_to_end(key, last=False)
            self._bytes += place.size
            if place.is_small:
                self._small_bytes += place.size
        return [key for key, _ in named]

    def _next_small(self) -> str | None:
        """Take out the oldest newcomer that nobody read again; who was read moves to the main queue."""
        while self._small:
            key, _ = self._small.popitem(last=False)
            place = self._places[key]
            if place.reads == 0:
                return key
            place.reads, place.is_small = 0, False
            self._small_bytes -= place.size
            self._main[key] = None
        return None

    def _next_main(self) -> str | None:
        """Take out the oldest without a use left; each that has one pays it for another round."""
        while self._main:
            key, _ = self._main.popitem(last=False)
            place = self._places[key]
            if place.reads == 0:
                return key
            place.reads -= 1
            self._main[key] = None
        return None


def build(kind: Literal["lru", "s3-fifo", "sieve", "w-tinylfu"]) -> Eviction:
    """The eviction named in the configuration."""
    match kind:
        case "lru":
            return Lru()
        case "s3-fifo":
            return S3Fifo()
        case "sieve":
            return Sieve()
        case "w-tinylfu":
            return TinyLfu()
        case _:
            assert_never(kind)
