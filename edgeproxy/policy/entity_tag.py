"""Entity tags (RFC 9110 section 8.8.3): parsing lists of them, and the two comparisons.

A tag without quotes is not one, but servers send them; it is kept as it came and is equal only to
the very same text, which can never make two representations look alike."""

from __future__ import annotations

import re

_TAG = re.compile(r'(?:W/)?"[!\x23-\x7e\x80-\xff]*"')
_LISTED = re.compile(r'[ \t]*((?:W/)?"[!\x23-\x7e\x80-\xff]*"|[^,"]*)[ \t]*(?:,|\Z)')


def is_strong(tag: str) -> bool:
    return tag.startswith('"') and _TAG.fullmatch(tag) is not None


def weakly_equal(one: str, other: str) -> bool:
    """Equal but for weakness: enough for If-None-Match."""
    return one != "" and one.removeprefix("W/") == other.removeprefix("W/")


def strongly_equal(one: str, other: str) -> bool:
    """Byte-for-byte the same representation: If-Match, If-Range, joining of parts."""
    return one == other and is_strong(one)


def parse_list(text: str) -> tuple[str, ...]:
    """The tags of a list; what follows something unreadable is ignored."""
    tags: list[str] = []
    at = 0
    while at < len(text):
        match = _LISTED.match(text, at)
        if match is None or match.end() == at:
            break
        tag = match[1].rstrip(" \t")
        if tag:
            tags.append(tag)
        at = match.end()
    return tuple(tags)
