"""Tags by which many stored responses are purged at once, as upstreams name them."""

from __future__ import annotations

import re

from edgeproxy.message import Headers
from edgeproxy.policy.structured import split_list

_TAGS_MAX = 128
_TAG_CHARACTERS_MAX = 256
_SPACES = re.compile(r"[ \t]+")


def tags_of(headers: Headers) -> tuple[str, ...]:
    """Surrogate-Key (separated by spaces) and Cache-Tag (by commas), in order, each once."""
    found: dict[str, None] = {}
    listed = _SPACES.sub(",", ",".join(headers.all("Surrogate-Key")))
    for tag in split_list(f"{listed},{headers.get('Cache-Tag')}"):
        if len(tag) <= _TAG_CHARACTERS_MAX:
            found[tag] = None
    return tuple(found)[:_TAGS_MAX]
