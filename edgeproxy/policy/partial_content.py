"""What an upstream's answer to a request for a range is worth (RFC 9110 sections 14.4 and 15.3.7).

The bytes may be combined with others only if they belong to the same representation: the same strong
validator and length as those pinned at the start (RFC 9111 section 3.4), or a digest of the whole that
is known beforehand and will be compared."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgeproxy.message import Headers
from edgeproxy.policy import entity_tag

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Pinned:
    """The representation being put together: length in bytes, strong ETag or "". `is_fixed`: the name
    stands for these bytes for ever."""

    size: int
    tag: str
    digest_known: bool
    is_fixed: bool = False


@dataclass(frozen=True, slots=True)
class Bytes:
    """The content is [start, end) of the representation. `is_whole`: upstream sent all of it although a
    range was asked for."""

    start: int
    end: int
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class Changed:
    """There is another representation now."""

    detail: str


@dataclass(frozen=True, slots=True)
class Lie:
    """Not what was asked for, and not usable."""

    detail: str


Judged = Bytes | Changed | Lie


def strong_tag(headers: Headers) -> str:
    """The ETag if it is a strong one, else ""."""
    tag = headers.get("ETag")
    return tag if entity_tag.strongly_equal(tag, tag) else ""


def content_range(headers: Headers) -> tuple[int, int, int] | None:
    """(start, end, size), end exclusive, of a Content-Range that says all three and makes sense."""
    match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range"))
    if match is None:
        return None
    start, last, size = (int(group) for group in match.groups())
    return (start, last + 1, size) if start <= last < size else None


def judge(status: int, headers: Headers, content_length: int | None, offset: int, pinned: Pinned) -> Judged:
    """Whether a response brings bytes from `offset` on of what is pinned. What is fixed cannot change: an
    error page in its place says nothing about the bytes that are there."""
    judged = _judge(status, headers, content_length, offset, pinned)
    return Lie(judged.detail) if pinned.is_fixed and isinstance(judged, Changed) else judged


def _judge(status: int, headers: Headers, content_length: int | None, offset: int, pinned: Pinned) -> Judged:
    if status not in (200, 206):
        return Changed("the range is not there") if status == 416 else Lie(f"the upstream answered {status}")
    tag = strong_tag(headers)
    if not pinned.digest_known and (not pinned.tag or tag != pinned.tag):
        return Changed(f"its ETag is {tag or 'none'} where {pinned.tag or 'none'} was")
    if status == 200:
        if content_length not in (None, pinned.size):
            return Changed(f"it has {content_length} bytes where it had {pinned.size}")
        return Bytes(0, pinned.size, is_whole=True)
    said = content_range(headers)
    if said is None:
        return Lie("206 without a usable Content-Range")
    start, end, size = said
    if size != pinned.size:
        return Changed(f"it has {size} bytes where it had {pinned.size}")
    if not start <= offset < end:
        return Lie(f"bytes {start}-{end - 1} came where {offset} was asked for")
    if content_length not in (None, end - start):
        return Lie(f"{content_length} bytes announced for bytes {start}-{end - 1}")
    return Bytes(start, end)
