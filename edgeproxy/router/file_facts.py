"""What is known of a file before it is asked for: its size, its digest, and the fields that tell of it.

The hub's clients read such fields off the first answer, whatever its status; so they go onto the redirect."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from edgeproxy.message import Clock, Headers, Pair, Response
from edgeproxy.router.crowding import crowded_out
from edgeproxy.router.holdings import digest_of
from edgeproxy.router.snapshot import RouteObject

LARGE_BYTES = 8 << 20  # what an object's own node is worth a way for

_SHA256 = re.compile(r'(?:W/)?"(?:sha256-)?([0-9a-f]{64})"', re.ASCII)
_CARRIED = frozenset(
    {
        *("accept-ranges", "etag", "last-modified", "x-linked-etag", "x-linked-size", "x-repo-commit"),
    }
)
_PAGES = ("text/html", "application/json", "application/vnd.pypi.")


@dataclass(frozen=True, slots=True)
class FileFacts:
    """`size` is -1 where it is not known. `sha256` in lower-case hexadecimal, "" if unknown. `fields` go onto
    a redirect."""

    size: int = -1
    sha256: str = ""
    fields: tuple[Pair, ...] = field(default=())

    def asked(self, path: str, *, is_private: bool = False) -> RouteObject:
        """The object for a decision: a digest is the same everywhere, a path only where mounts are."""
        digest = digest_of(self.sha256) if self.sha256 else 0
        return RouteObject(self.sha256 or path, digest, self.size >= LARGE_BYTES, is_private)


NOTHING = FileFacts()


def facts_of(response: Response) -> FileFacts:
    """What the answer to HEAD, or to the whole of a GET, tells; NOTHING where it is no file's."""
    headers = response.headers
    if response.status != 200 or headers.get("Content-Type").lower().startswith(_PAGES):
        return NOTHING
    size = response.body.length
    linked = headers.get("X-Linked-Size")
    if linked.isascii() and linked.isdecimal() and len(linked) <= 18:
        size = int(linked)
    fields = tuple(pair for pair in headers if pair[0].lower() in _CARRIED)
    return FileFacts(-1 if size is None else size, _digest(headers), fields)


def _digest(headers: Headers) -> str:
    for name in ("X-Linked-Etag", "ETag"):
        found = _SHA256.fullmatch(headers.get(name))
        if found is not None:
            return found[1]
    return ""


class KnownFiles:
    """Facts by target, for a while; at most `entries_max`, the longest known leave first."""

    def __init__(self, entries_max: int, seconds: float, clock: Clock) -> None:
        self._entries_max = entries_max
        self._seconds = seconds
        self._clock = clock
        self._known: dict[str, tuple[FileFacts, float]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def get(self, target: str) -> FileFacts | None:
        held = self._known.get(target)
        if held is None or self._clock() > held[1]:
            return None
        return held[0]

    def put(self, target: str, facts: FileFacts) -> None:
        if not self._entries_max:
            return
        self._known.pop(target, None)
        self._known[target] = (facts, self._clock() + self._seconds)
        crowded_out(self._known, self._entries_max)
