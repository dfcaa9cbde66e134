"""What a list of spans covers: `(start, end)` pairs of byte positions, `end` not included."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

Span = tuple[int, int]
SEGMENT = 4 << 20


def union(spans: Iterable[Span]) -> list[Span]:
    """The same bytes as ascending spans that neither overlap nor touch."""
    merged: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def length(spans: Iterable[Span]) -> int:
    """Bytes of all spans, a byte in two of them counted twice."""
    return sum(end - start for start, end in spans)


def repeated(spans: Sequence[Span]) -> int:
    """Bytes beyond the first time that each was sent."""
    return length(spans) - length(union(spans))


def repeated_spans(spans: Iterable[Span]) -> list[Span]:
    """The bytes that are in two spans or more."""
    edges = sorted(edge for start, end in spans if start < end for edge in ((start, 1), (end, -1)))
    found, depth = [], 0
    for (position, step), (following, _) in pairwise(edges):
        depth += step
        if depth > 1 and position < following:
            found.append((position, following))
    return union(found)


def segments(spans: Iterable[Span], size: int = SEGMENT) -> set[int]:
    """Numbers of the segments that the spans touch."""
    return {
        number
        for start, end in spans
        if start < end
        for number in range(start // size, (end - 1) // size + 1)
    }


def segment_bytes(numbers: Iterable[int], body_bytes: int, size: int = SEGMENT) -> int:
    """Bytes of these segments of a body; the last may be short."""
    return sum(min(body_bytes, (number + 1) * size) - number * size for number in numbers)
