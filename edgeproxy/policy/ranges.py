"""Byte ranges (RFC 9110 section 14): from the Range field to slices, and the frame of a
multipart/byteranges body. Slices are (start, end), end exclusive."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

Slice = tuple[int, int]

_FIELD = re.compile(r"[ \t]*bytes=(.*)", re.ASCII | re.IGNORECASE | re.DOTALL)
_SPEC = re.compile(r"(?:([0-9]+)-([0-9]*)|-([0-9]+))", re.ASCII)
_DIGITS_MAX = 18
_FIELD_MAX = 4096


@dataclass(frozen=True, slots=True)
class Whole:
    """Send all of it with 200: the field is malformed, not worth it, or asks for too much."""


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """Answer 416: no range lies within the body."""


@dataclass(frozen=True, slots=True)
class Slices:
    """Answer 206 with these, which lie within the body and do not overlap."""

    slices: tuple[Slice, ...]


Parsed = Whole | Slices | Unsatisfiable


def parse(text: str, size: int, ranges_max: int) -> Parsed:
    """What a Range field asks of a body of `size` bytes.

    Overlapping and adjacent ranges become one, at the place of the first. Whole for more than
    `ranges_max` ranges and for several that together ask for more than there is, which only an
    attack does; the answer is never larger than the body."""
    specs = _specs(text, ranges_max)
    if specs is None:
        return Whole()
    asked = [found for spec in specs if (found := _resolve(spec, size)) is not None]
    if not asked:
        # A suffix of nothing is everything there is, which no Content-Range can say.
        nothing = size == 0 and any(length for first, _, length in specs if first is None)
        return Whole() if nothing else Unsatisfiable()
    if len(asked) > 1 and sum(end - start for start, end in asked) > size:
        return Whole()
    return Slices(_coalesced(asked))


_Spec = tuple[int | None, int | None, int]


def _specs(text: str, ranges_max: int) -> list[_Spec] | None:
    """(first, last or None, 0) or (None, None, suffix length) of each; None if malformed."""
    field = _FIELD.fullmatch(text) if len(text) <= _FIELD_MAX else None
    if field is None:
        return None
    specs: list[_Spec] = []
    for part in field[1].split(","):
        part = part.strip(" \t")
        if not part:
            continue
        match = _SPEC.fullmatch(part)
        if match is None or len(specs) == ranges_max:
            return None
        first, last, suffix = match.groups()
        if suffix is not None:
            specs.append((None, None, _number(suffix)))
            continue
        start, stop = _number(first), _number(last) if last else None
        if stop is not None and stop < start:
            return None
        specs.append((start, stop, 0))
    return specs or None


def _number(digits: str) -> int:
    significant = digits.lstrip("0")
    return 10**_DIGITS_MAX if len(significant) > _DIGITS_MAX else int(significant or "0")


def _resolve(spec: _Spec, size: int) -> Slice | None:
    first, last, suffix = spec
    if first is None:
        return (max(0, size - suffix), size) if suffix and size else None
    if first >= size:
        return None
    return first, size if last is None else min(last + 1, size)


def _coalesced(asked: Sequence[Slice]) -> tuple[Slice, ...]:
    """Disjoint slices with the same bytes, in the order in which they were first asked for."""
    merged: list[tuple[int, int, int]] = []  # start, end, place of the first range within
    for start, end, place in sorted((start, end, place) for place, (start, end) in enumerate(asked)):
        if merged and start <= merged[-1][1]:
            before_start, before_end, before_place = merged[-1]
            merged[-1] = (before_start, max(before_end, end), min(before_place, place))
        else:
            merged.append((start, end, place))
    return tuple((start, end) for start, end, _ in sorted(merged, key=lambda slice_: slice_[2]))


def content_range(slice_: Slice | None, size: int) -> str:
    """The Content-Range of one slice; None gives that of a 416."""
    return f"bytes */{size}" if slice_ is None else f"bytes {slice_[0]}-{slice_[1] - 1}/{size}"


def multipart_type(boundary: str) -> str:
    return f"multipart/byteranges; boundary={boundary}"


def part_head(boundary: str, content_type: str, slice_: Slice, size: int) -> bytes:
    """What precedes the bytes of one part; `content_type` may be empty."""
    kind = f"Content-Type: {content_type}\r\n" if content_type else ""
    head = f"\r\n--{boundary}\r\n{kind}Content-Range: {content_range(slice_, size)}\r\n\r\n"
    return head.encode("latin-1", "replace")


def multipart_end(boundary: str) -> bytes:
    return f"\r\n--{boundary}--\r\n".encode("ascii")
