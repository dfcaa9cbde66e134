"""Entity tags (RFC 9110 section 8.8.3): parsing lists of them, and the two comparisons.

A tag without quotes is not one, but servers send them; it is kept as it came and is equal only to
the very same text, which can never make two representations look alike."""

from __future__ import annotations

import re

_TAG = re.compile(r'(?:W/)?"[!\x23-\x7e\x80-\xff]*"')


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
        if text[at] in ", \t":
            at += 1
            continue
        match = _TAG.match(text, at)
        if match is not None:
            end = match.end()
        else:
            comma = text.find(",", at)
            end = len(text) if comma < 0 else comma
            if '"' in text[at:end]:
                break
        tags.append(text[at:end].rstrip(" \t"))
        at = end
    return tuple(tags)
