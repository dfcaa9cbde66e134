"""The map from addresses to answers, and for how much of the address space each holds (RFC 7871's scope).

Every address belongs to one of a list of ranges that follow each other without a gap, neighbours always with
different answers. The scope of an address is the largest aligned block around it within its range: exactly
the leaf that a radix tree has after all equal siblings have been merged upwards. Two such blocks are equal,
or apart, or in one range; so scopes that nest never contradict each other."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import compress
from operator import is_not
from typing import Generic, TypeVar

V = TypeVar("V")

MERGED_AT_ONCE = 10_000  # between two steps of whoever makes a map: about a millisecond
LAID_AT_ONCE = 200

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


def merging(
    width: int, starts: Sequence[int], indexes: Sequence[int], kinds: Sequence[V]
) -> Generator[None, None, Ranges[V]]:
    """Ranges that begin at `starts` with the kinds of that index; equal neighbours (the same object) become
    one."""
    kept_starts: list[int] = []
    kept_values: list[V] = []
    for at in range(0, len(starts), MERGED_AT_ONCE):
        values = [kinds[index] for index in indexes[at : at + MERGED_AT_ONCE]]
        keep = [not kept_values or kept_values[-1] is not values[0], *map(is_not, values[1:], values)]
        kept_starts.extend(compress(starts[at : at + MERGED_AT_ONCE], keep))
        kept_values.extend(compress(values, keep))
        yield
    return Ranges(width, kept_starts, kept_values)


def overlaying(ranges: Ranges[V], blocks: Iterable[tuple[int, int, V]]) -> Generator[None, None, Ranges[V]]:
    """With `blocks` (first address, prefix length, value) on top, longer ones over shorter ones."""
    ordered = sorted(blocks, key=lambda block: block[0] << 8 | block[1])
    if not ordered:
        return ranges
    laid = _Overlay(ranges)
    for number, (first, bits, value) in enumerate(ordered):
        laid.put_block(first, first + (1 << (ranges.width - bits)), value)
        if number % LAID_AT_ONCE == LAID_AT_ONCE - 1:
            yield
    return laid.finished()


class _Overlay(Generic[V]):
    """Blocks come by their first address, the longer of two behind the other."""

    def __init__(self, under: Ranges[V]) -> None:
        self._under = under
        self._starts: list[int] = []
        self._values: list[V] = []
        self._copied = 0  # how many of the ranges below are done with
        self._within: list[
            tuple[int, V]
        ] = []  # the blocks around the present address: their ends, outer first

    def put_block(self, first: int, end: int, value: V) -> None:
        self._leave(first)
        if not self._within:
            self._copy(bisect_left(self._under.starts, first, self._copied))
        self._within.append((end, value))
        self._put(first, value)

    def finished(self) -> Ranges[V]:
        self._leave(1 << self._under.width)
        self._copy(len(self._under.starts))
        return Ranges(self._under.width, self._starts, self._values)

    def _put(self, at: int, value: V) -> None:
        starts, values = self._starts, self._values
        if starts and starts[-1] == at:
            starts.pop()
            values.pop()
        if not values or values[-1] is not value:
            starts.append(at)
            values.append(value)

    def _copy(self, to: int) -> None:
        """The ranges below as far as the `to`-th."""
        under, at = self._under, self._copied
        if at < to:
            self._put(under.starts[at], under.values[at])
            self._starts.extend(under.starts[at + 1 : to])
            self._values.extend(under.values[at + 1 : to])
            self._copied = to

    def _leave(self, to: int) -> None:
        """Every block that ends before or at `to`."""
        within, under = self._within, self._under
        while within and within[-1][0] <= to:
            end, _ = within.pop()
            if within:
                self._put(end, within[-1][1])
            elif end < 1 << under.width:
                self._copied = bisect_right(under.starts, end)
                self._put(end, under.values[self._copied - 1])
            else:
                self._copied = len(under.starts)


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
