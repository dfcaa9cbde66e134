"""Which bytes of a body are there: sorted, disjoint, never touching ranges [start, end).

A bitmap of segments says the same more coarsely; this is exact to the byte, so a frontier inside a
segment needs no second notion, and a body fetched in order is one range however large it is."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

Span = tuple[int, int]


class Spans:
    """Mutable; owned by one body. Offsets in bytes, ends exclusive."""

    __slots__ = ("_ends", "_starts", "total")

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self.total = 0
        for start, end in spans:
            self.add(start, end)

    def __repr__(self) -> str:
        return f"Spans({list(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spans) and self._starts == other._starts and self._ends == other._ends

    __hash__ = None  # type: ignore[assignment]

    def __iter__(self) -> Iterator[Span]:
        return iter(list(zip(self._starts, self._ends, strict=True)))

    def __len__(self) -> int:
        return len(self._starts)

    def add(self, start: int, end: int) -> None:
        """[start, end) is there now."""
        if start >= end:
            return
        first = bisect_left(self._ends, start)  # the first that touches or follows
        last = bisect_right(self._starts, end)  # one beyond the last that touches
        if first < last:
            start = min(start, self._starts[first])
            end = max(end, self._ends[last - 1])
            self.total -= sum(self._ends[first:last]) - sum(self._starts[first:last])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]
        self.total += end - start

    def remove(self, start: int, end: int) -> None:
        """[start, end) is not there any more."""
        if start >= end:
            return
        first = bisect_right(self._ends, start)
        last = bisect_left(self._starts, end)
        if first >= last:
            return
        left, right = self._starts[first], self._ends[last - 1]
        self.total -= sum(self._ends[first:last]) - sum(self._starts[first:last])
        kept = [span for span in ((left, start), (end, right)) if span[0] < span[1]]
        self._starts[first:last] = [span[0] for span in kept]
        self._ends[first:last] = [span[1] for span in kept]
        self.total += sum(span[1] - span[0] for span in kept)

    def upto(self, offset: int) -> int:
        """The end of the run of present bytes that begins at `offset`; `offset` if it is absent."""
        place = bisect_right(self._starts, offset) - 1
        return max(offset, self._ends[place]) if place >= 0 else offset

    def next(self, offset: int) -> int | None:
        """The first present byte at or after `offset`; None if there is none."""
        if self.upto(offset) > offset:
            return offset
        place = bisect_left(self._starts, offset)
        return self._starts[place] if place < len(self._starts) else None

    def holds(self, start: int, end: int) -> bool:
        """Whether all of [start, end) is there."""
        return start >= end or self.upto(start) >= end

    def holes(self, start: int, end: int) -> Iterator[Span]:
        """What of [start, end) is absent, in order."""
        while start < end:
            start = self.upto(start)
            if start >= end:
                return
            stop = self.next(start)
            stop = end if stop is None else min(stop, end)
            yield start, stop
            start = stop

    def copy(self) -> Spans:
        twin = Spans()
        twin._starts, twin._ends, twin.total = self._starts[:], self._ends[:], self.total
        return twin
