"""What caches tell one another about a response, and clients are not told.

An origin names tags (Surrogate-Key, Cache-Tag) for the caches in front of it. A parent passes to its
children all that it knows itself: tags, the digest of the representation (RFC 9530), and how far its
purges have come, so that a child knows when to ask for them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from edgeproxy.message import Headers
from edgeproxy.policy import repr_digest
from edgeproxy.policy.tags import tags_of

NODE = "Edge-Node"  # in a request: the name of the node that asks its parent
PURGES = "Edge-Purges"  # in an answer to a node: a Position

_FOR_CACHES = frozenset({"surrogate-key", "cache-tag", "surrogate-control", PURGES.lower()})
_POSITION = re.compile(r"([0-9]{1,18});[ \t]*epoch=([0-9a-f]{1,64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a node's log of purges: `number` of the last one in `epoch`, which is another whenever
    numbers do not go on from those before."""

    epoch: str
    number: int

    def __str__(self) -> str:
        return f"{self.number}; epoch={self.epoch}"


def position_of(text: str) -> Position | None:
    """The value of Edge-Purges; None for anything else."""
    matched = _POSITION.fullmatch(text.strip(" \t"))
    return None if matched is None else Position(matched[2], int(matched[1]))


def for_clients(headers: Headers) -> Headers:
    """Without what only caches are told; the same value if there is nothing of that."""
    if headers.has_any(_FOR_CACHES):
        return headers.without(_FOR_CACHES)
    return headers


def for_children(headers: Headers, tags: Iterable[str], sha256: str, position: Position) -> Headers:
    """With the tags of the plan beside those of the response, the digest if it is known (lower-case hex,
    "" if not), and the position. Cache-Tag is the field that can hold any tag."""
    known = dict.fromkeys((*tags_of(headers), *(tag for tag in tags if "," not in tag)))
    changes: dict[str, str | None] = {
        "Surrogate-Key": None,
        "Cache-Tag": ", ".join(known) or None,
        PURGES: str(position),
    }
    if sha256 and "Repr-Digest" not in headers:
        changes["Repr-Digest"] = repr_digest.field(sha256)
    return headers.replacing(changes)
