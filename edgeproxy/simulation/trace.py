"""A trace: requests as numbers, in their order.

Of a log however long the last requests are held, so that memory is bounded: 15 bytes for each request, and
for each object among them some 130 more. To keep all requests of some objects instead would hold more time,
but says little about bytes: the few largest objects, in the sample or not, decide there."""

from __future__ import annotations

import hashlib
from array import array
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

REQUESTS_MAX = 2_000_000
PART_GAP_SECONDS = 60.0
RUNNING_MAX = 65_536  # downloads in parts that are followed at a time


@dataclass(frozen=True, slots=True)
class Trace:
    """`numbers` are the objects asked for, in order; `bytes` what each request was sent; `sizes` of the
    objects, by number. `dropped` requests came before."""

    numbers: array[int]
    bytes: array[int]
    sizes: array[int]
    dropped: int = 0

    @property
    def objects(self) -> int:
        return len(self.sizes)

    @property
    def footprint(self) -> int:
        """Bytes of all objects."""
        return sum(self.sizes)


def made(requests: Iterable[tuple[int, int]]) -> Trace:
    """A trace of (object, bytes), whole, with objects numbered as they come."""
    gathering = Gathering(1 << 62)
    for number, size in requests:
        gathering.add(number, size)
    return gathering.trace()


def key_number(key: bytes) -> int:
    """64 bits that stand for a key; that two keys have the same is not to be expected."""
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")


class Gathering:
    """A trace in the making, of the last `requests_max` requests. An object is as large as the most that one
    request for it was sent. Parts (206) that one client takes of one object, with no more than a minute
    between two of them, are one request for the sum of their bytes: a log does not tell which parts."""

    def __init__(self, requests_max: int = REQUESTS_MAX) -> None:
        self._requests_max = max(1, requests_max)
        self._numbers: dict[int, int] = {}
        self._requests, self._bytes = array("I"), array("Q")
        self._running: OrderedDict[tuple[int, str], tuple[int, float]] = OrderedDict()
        self._dropped = 0

    def add(self, key: int, size: int) -> None:
        """A request for the object `key`, which was sent `size` bytes."""
        self._requests.append(self._numbers.setdefault(key, len(self._numbers)))
        self._bytes.append(size)
        if len(self._requests) - self._requests_max > self._requests_max // 4:
            self._drop_oldest()

    def add_part(self, key: int, size: int, client: str, at: float) -> None:
        """The same for a part of the object, sent to `client` at `at` seconds."""
        name = (key, client)
        place, last = self._running.pop(name, (-1, 0.0))
        if place < self._dropped or abs(at - last) > PART_GAP_SECONDS:
            self.add(key, size)
            place = self._dropped + len(self._requests) - 1
        else:
            self._bytes[place - self._dropped] += size
        self._running[name] = (place, at)
        if len(self._running) > RUNNING_MAX:
            self._running.popitem(last=False)

    def _drop_oldest(self) -> None:
        excess = len(self._requests) - self._requests_max
        if excess <= 0:
            return
        self._dropped += excess
        del self._requests[:excess], self._bytes[:excess]
        keys = list(self._numbers)
        self._numbers, renamed = {}, dict[int, int]()
        for place, old in enumerate(self._requests):
            new = renamed.get(old)
            if new is None:
                new = renamed[old] = self._numbers[keys[old]] = len(renamed)
            self._requests[place] = new

    def trace(self) -> Trace:
        self._drop_oldest()
        sizes = array("Q", bytes(8 * len(self._numbers)))
        for number, size in zip(self._requests, self._bytes, strict=True):
            if size > sizes[number]:
                sizes[number] = size
        return Trace(self._requests, self._bytes, sizes, self._dropped)
