"""The map from addresses to answers, and for how much of the address space each holds (RFC 7871's scope).

Every address belongs to one of a list of ranges that follow each other without a gap, neighbours always with
different answers. The scope of an address is the largest aligned block around it within its range: exactly
the leaf that a radix tree has after all equal siblings have been merged upwards. Two such blocks are equal,
or apart, or in one range; so scopes that nest never contradict each other."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, compress
from operator import is_not
from typing import Generic, TypeVar

V = TypeVar("V")

CLAMP = {4: 24, 6: 56}  # RFC 7871 section 11.1: no more of a client is used than this
WIDTH = {4: 32, 6: 128}


@dataclass(frozen=True, eq=False)
class AnswerSet:
    """Addresses to answer with, the best node first; compared by identity, so that it is cheap as a key.
    `is_elsewhere`: the client's country is not served. `ttl` in seconds."""

    nodes: tuple[str, ...] = ()
    v4: tuple[bytes, ...] = ()
    v6: tuple[bytes, ...] = ()
    ttl: int = 15
    is_elsewhere: bool = False

    @property
    def content(self) -> tuple[object, ...]:
        return self.nodes, self.v4, self.v6, self.ttl, self.is_elsewhere


@dataclass(frozen=True, slots=True)
class Ranges(Generic[V]):
    """`starts` ascend from 0; `values[i]` holds from `starts[i]` to the next, and is never the same object as
    its neighbour."""

    width: int
    starts: Sequence[int]
    values: Sequence[V]

    def find(self, address: int, most: int) -> tuple[V, int]:
        """The value for an address and the length of the prefix around it that has the same value throughout,
        `most` bits at most."""
        at = bisect_right(self.starts, address)
        width = self.width
        scope = 0
        if at > 1:
            scope = width + 1 - (address ^ (self.starts[at - 1] - 1)).bit_length()
        if at < len(self.starts):
            after = width + 1 - (address ^ self.starts[at]).bit_length()
            if after > scope:
                scope = after
        return self.values[at - 1], scope if scope < most else most


def merged(width: int, starts: Sequence[int], values: Sequence[V]) -> Ranges[V]:
    """Equal neighbours (the same object) become one."""
    keep = [True, *map(is_not, values[1:], values)]
    return Ranges(width, list(compress(starts, keep)), list(compress(values, keep)))


def overlaid(ranges: Ranges[V], blocks: Iterable[tuple[int, int, V]]) -> Ranges[V]:
    """With `blocks` (first address, prefix length, value) on top, longer ones over shorter ones."""
    under, width = ranges, ranges.width
    starts: list[int] = []
    values: list[V] = []
    copied = 0  # how many of the ranges below are done with
    within: list[tuple[int, V]] = []  # the blocks around the present address and their ends, outermost first

    def put(at: int, value: V) -> None:
        if starts and starts[-1] == at:
            starts.pop()
            values.pop()
        if not values or values[-1] is not value:
            starts.append(at)
            values.append(value)

    def copy(to: int) -> None:
        nonlocal copied
        if copied < to:
            put(under.starts[copied], under.values[copied])
            starts.extend(under.starts[copied + 1 : to])
            values.extend(under.values[copied + 1 : to])
            copied = to

    def leave(to: int) -> None:
        """Every block that ends before or at `to`."""
        nonlocal copied
        while within and within[-1][0] <= to:
            end, _ = within.pop()
            if within:
                put(end, within[-1][1])
            elif end < 1 << width:
                copied = bisect_right(under.starts, end)
                put(end, under.values[copied - 1])
            else:
                copied = len(under.starts)

    for first, bits, value in sorted(blocks, key=lambda block: (block[0], block[1])):
        leave(first)
        if not within:
            copy(bisect_left(under.starts, first, copied))
        within.append((first + (1 << (width - bits)), value))
        put(first, value)
    leave(1 << width)
    copy(len(under.starts))
    return Ranges(width, starts, values)


NOWHERE = AnswerSet()


def _everywhere(width: int) -> Ranges[AnswerSet]:
    return Ranges(width, [0], [NOWHERE])


@dataclass(frozen=True, slots=True)
class AnswerMap:
    """Of one snapshot (`generation`). An answer set without nodes means that no node may serve."""

    v4: Ranges[AnswerSet] = field(default_factory=lambda: _everywhere(32))
    v6: Ranges[AnswerSet] = field(default_factory=lambda: _everywhere(128))
    generation: int = -1
    made_at: float = 0.0

    def find(self, version: int, address: int) -> AnswerSet:
        """For a whole address: a resolver's own."""
        ranges = self.v4 if version == 4 else self.v6
        return ranges.find(address, ranges.width)[0]

    def find_subnet(self, version: int, address: int) -> tuple[AnswerSet, int]:
        """For a network that a resolver told of, and the scope. What is beyond CLAMP is not looked at."""
        ranges = self.v4 if version == 4 else self.v6
        most = CLAMP[version]
        drop = ranges.width - most
        return ranges.find(address >> drop << drop, most)

    def sets(self) -> list[AnswerSet]:
        """All that occur, each once."""
        return list(dict.fromkeys(chain(self.v4.values, self.v6.values)))
