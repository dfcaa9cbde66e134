"""Tags by which many stored responses are purged at once, as upstreams name them."""

from __future__ import annotations

import re

from edgeproxy.message import Headers

_TAGS_MAX = 128
_TAG_CHARACTERS_MAX = 256
_SEPARATORS = {"Surrogate-Key": re.compile(r"[ \t,]+"), "Cache-Tag": re.compile(r"[ \t]*,[ \t]*")}


def tags_of(headers: Headers) -> tuple[str, ...]:
    """Surrogate-Key (separated by spaces) and Cache-Tag (by commas), in order, each once."""
    found: dict[str, None] = {}
    for field, separator in _SEPARATORS.items():
        for line in headers.all(field):
            for tag in separator.split(line.strip(" \t")):
                if tag and len(tag) <= _TAG_CHARACTERS_MAX:
                    found[tag] = None
    return tuple(found)[:_TAGS_MAX]
