"""What a router puts into a URL, and what the node behind it makes of that: one hop only, and private files.

A mark says that a client has been sent already: whoever gets it serves, or refuses, and sends nobody on. A
signed URL says besides that the client may have this file, from this node, for a while. Both are the last
parameter of the query, added so that the target before can be had back byte for byte; both are HMACs
(RFC 2104, SHA-256, 132 bits of it) under a secret that routers and nodes share."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from enum import StrEnum

MARK = "edgeproxy-hop"
KEY = "edgeproxy-key"

_NAMES = (f"{MARK}=", f"{KEY}=")
_MARK = re.compile(r"([A-Za-z0-9_-]{1,63})\.([A-Za-z0-9_-]{22})", re.ASCII)
_KEY = re.compile(r"([A-Za-z0-9_-]{1,63})\.([0-9a-f]{1,12})\.([A-Za-z0-9_-]{22})", re.ASCII)


class Came(StrEnum):
    """How a request came."""

    PLAIN = "plain"
    MARKED = "marked"  # sent here by a router
    SIGNED = "signed"  # and permitted to have what it asks for
    FORGED = "forged"  # what it bears was not made for this


@dataclass(frozen=True, slots=True)
class Arrival:
    """`target` is without what a router added. `node` is whom it was sent to, `why` says what is wrong."""

    target: str
    came: Came = Came.PLAIN
    node: str = ""
    why: str = ""


def with_parameter(target: str, parameter: str) -> str:
    """`target` with a parameter at the end of its query."""
    return f"{target}{'&' if '?' in target else '?'}{parameter}"


class Signer:
    """Makes marks and signed URLs, and knows them again."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self._marks: dict[str, str] = {}  # by node; those of the configuration

    def mark(self, node: str) -> str:
        """The parameter that tells `node` that a client was sent to it. The same for all time: it permits
        nothing."""
        held = self._marks.get(node)
        if held is None:
            held = self._marks[node] = f"{MARK}={node}.{self._sign('hop', node)}"
        return held

    def key(self, target: str, node: str, client: str, expires: float) -> str:
        """The parameter that permits clients of the network `client` to have `target` from `node` until
        `expires` (wall-clock seconds)."""
        until = f"{int(expires):x}"
        return f"{KEY}={node}.{until}.{self._sign('key', target, node, client, until)}"

    def is_signed(self, target: str) -> bool:
        """Whether there may be something of ours in it."""
        return _NAMES[0] in target or _NAMES[1] in target

    def arrived(self, target: str, client: str, now: float) -> Arrival:
        """What a request for `target` from the network `client` bears."""
        if not self.is_signed(target):
            return Arrival(target)
        path, _, query = target.partition("?")
        parts = query.split("&")
        found = [part for part in parts if part.startswith(_NAMES)]
        if not found:
            return Arrival(target)
        kept = [part for part in parts if not part.startswith(_NAMES)]
        bare = f"{path}?{'&'.join(kept)}" if kept else path
        if len(found) > 1:
            return Arrival(bare, Came.FORGED, why="there is more than one mark")
        name, _, value = found[0].partition("=")
        return self._marked(bare, value) if name == MARK else self._keyed(bare, value, client, now)

    def _marked(self, target: str, value: str) -> Arrival:
        found = _MARK.fullmatch(value)
        if found is None or not hmac.compare_digest(found[2], self._sign("hop", found[1])):
            return Arrival(target, Came.FORGED, why="the mark is not one of ours")
        return Arrival(target, Came.MARKED, found[1])

    def _keyed(self, target: str, value: str, client: str, now: float) -> Arrival:
        found = _KEY.fullmatch(value)
        if found is None:
            return Arrival(target, Came.FORGED, why="the signature is not one of ours")
        node, until, signature = found.groups()
        if not hmac.compare_digest(signature, self._sign("key", target, node, client, until)):
            return Arrival(target, Came.FORGED, node, "the signature is for another file, node or client")
        if now > int(until, 16):
            return Arrival(target, Came.FORGED, node, "the signed URL has expired")
        return Arrival(target, Came.SIGNED, node)

    def _sign(self, *parts: str) -> str:
        """Parts cannot run into one another: none but the first of a target's holds a NUL."""
        told = "\0".join(parts).encode("latin-1", "replace")
        digest = hmac.new(self._secret, told, hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest)[:22].decode()
