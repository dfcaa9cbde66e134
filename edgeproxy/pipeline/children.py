"""What this node owes to those who ask it under the names of its upstreams: nodes of which it is the
parent, and clients that do not know about it.

A node that asks its parent says so (Edge-Node), and gets what a cache needs to know beside the answer.
Where tokens are configured, only who brings one, or a certificate that has been verified, may ask by name."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec

from edgeproxy.message import (
    BytesBody,
    CacheOutcome,
    Headers,
    HeadOnly,
    Held,
    KeptFile,
    Outcome,
    Request,
    Response,
    Reuse,
)
from edgeproxy.pipeline.prefetch import OURS
from edgeproxy.pipeline.purges import Purges
from edgeproxy.policy import repr_digest
from edgeproxy.policy.surrogates import NODE, PURGES, Position, for_children, for_clients, position_of
from edgeproxy.policy.timed_fields import TimedFields
from edgeproxy.sites.site import Plan

PURGES_PATH = "/.well-known/edgeproxy/purges"
NAME_LENGTH_MAX = 64

_TOKEN_FIELD = "Proxy-Authorization"
_PLACE = re.compile(r"epoch=([0-9a-f]{1,64})&after=([0-9]{1,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks. `request` is what may be seen of it further on: nothing that concerns only the way from
    there to here. `node` is what the asker calls itself, "" for a client; `is_admitted`: it may ask by
    name. `purged`: how far its own purges are, which a sibling tells."""

    request: Request
    node: str
    is_admitted: bool
    purged: Position | None = None

    @property
    def is_node(self) -> bool:
        return bool(self.node)


@dataclass(frozen=True, slots=True)
class _Retold:
    """A Reuse whose fields are changed."""

    reuse: Reuse
    change: Callable[[Headers], Headers]

    @property
    def held(self) -> Held:
        return self.reuse.held

    @property
    def source(self) -> Held | None:
        return self.reuse.source

    @property
    def data(self) -> bytes:
        return self.reuse.data

    @property
    def file(self) -> KeptFile | None:
        return self.reuse.file

    @property
    def size(self) -> int:
        return self.reuse.size

    def fields(self, now: float) -> Headers:
        return self.change(self.reuse.fields(now))

    def timed(self, now: float, *, is_proven: bool = False) -> TimedFields | None:
        fields = self.reuse.timed(now, is_proven=is_proven)
        return fields.changed(self.change, now) if isinstance(fields, TimedFields) else None

    def used(self) -> None:
        self.reuse.used()


class Children:
    """`tokens` are those of nodes below this one; none: whoever may ask may ask by name."""

    def __init__(self, tokens: Sequence[str], purges: Purges) -> None:
        self._tokens = tuple(token.encode() for token in tokens)
        self._purges = purges

    def asker(self, request: Request) -> Asker:
        headers = request.headers
        named, authorized = NODE in headers, _TOKEN_FIELD in headers
        if not named and not authorized:
            return Asker(request, "", self._admits(request))
        node = (headers.get(NODE).strip(" \t") or "node")[:NAME_LENGTH_MAX] if named else ""
        is_admitted = self._admits(request)
        purged = position_of(headers.get(PURGES)) if node and is_admitted else None
        headers = headers.without((NODE, _TOKEN_FIELD, PURGES))
        if node and not repr_digest.is_wanted(headers):
            headers = headers.replacing({"Want-Repr-Digest": "sha-256=10"})
        has_proven = is_admitted and (bool(self._tokens) or request.certified is not None)
        request = replace(request, headers=headers, node=node if has_proven else "")
        return Asker(request, node, is_admitted, purged)

    def _admits(self, request: Request) -> bool:
        if not self._tokens or request.certified is not None or request.listener == OURS:
            return True
        return self._has_token(request.headers.all(_TOKEN_FIELD))

    def _has_token(self, lines: Sequence[str]) -> bool:
        """In constant time for tokens of one length: each is compared, whether or not one has fitted."""
        scheme, _, given = lines[0].partition(" ") if len(lines) == 1 else ("", "", "")
        token = given.strip(" ").encode("latin-1", "replace")
        matches = [hmac.compare_digest(token, known) for known in self._tokens]
        return scheme.lower() == "bearer" and any(matches)

    # -- answers -------------------------------------------------------------------------------

    def refused(self, asker: Asker, site: str = "") -> Response:
        """Who asks by name must be a node that is known (RFC 9110 section 11.7)."""
        fields = (
            ("Proxy-Authenticate", 'Bearer realm="edgeproxy"'),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Cache-Control", "no-store"),
        )
        line = b"asking under an upstream's own name takes a token of this node\n"
        outcome = Outcome(CacheOutcome.REFUSED, site, detail="no token of a node")
        return Response(407, Headers(fields), _content(asker, line), outcome)

    async def outdated(self, asker: Asker) -> Response | None:
        """The answer to a sibling that has purged what is still here: it must ask somebody else."""
        if asker.purged is None or await self._purges.has_followed(asker.purged):
            return None
        fields = (
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Cache-Control", "no-store"),
            ("Retry-After", "1"),
            ("Proxy-Status", "edgeproxy; error=destination_unavailable"),
        )
        content = _content(asker, b"purges of who asks have not been taken over yet\n")
        return Response(
            503, Headers(fields), content, Outcome(CacheOutcome.REFUSED, detail="behind with purges")
        )

    def purges(self, asker: Asker) -> Response:
        """The log of purges after a place, or where it is now."""
        if not asker.is_admitted:
            return self.refused(asker)
        if asker.request.method not in ("GET", "HEAD"):
            fields = Headers((("Allow", "GET, HEAD"),))
            return Response(405, fields, outcome=Outcome(CacheOutcome.LOCAL, detail="purges"))
        place = _PLACE.fullmatch(asker.request.query or "")
        page = self._purges.after(Position(place[1], int(place[2])) if place else None)
        fields = Headers((("Content-Type", "application/json"), ("Cache-Control", "no-store")))
        content = _content(asker, msgspec.json.encode(page))
        return Response(200, fields, content, Outcome(CacheOutcome.LOCAL, detail="purges"))

    def told(self, asker: Asker, response: Response, plan: Plan | None, *, is_named: bool) -> Response:
        """The answer with what this asker is told beside it. What asking by name takes is asked of every
        request, so none of them is answered from the memo, which knows nothing of it."""
        if not asker.is_node:
            headers = for_clients(response.headers)
            reuse = None if is_named and self._tokens else response.reuse
            if headers is not response.headers and reuse is not None:
                reuse = _Retold(reuse, for_clients)
            if headers is response.headers and reuse is response.reuse:
                return response
            return replace(response, headers=headers, reuse=reuse)
        tags, sha256 = ((), "") if plan is None else (plan.tags, self._digest(response, plan))
        headers = for_children(response.headers, tags, sha256, self._purges.position)
        return replace(response, headers=headers, reuse=None)

    @staticmethod
    def _digest(response: Response, plan: Plan) -> str:
        """The digest that the bytes will have: their end is held back until they do."""
        is_plain = plan.view is None and plan.layout is None and response.status in (200, 206)
        return plan.expected.sha256 if is_plain else ""


def _content(asker: Asker, data: bytes) -> BytesBody | HeadOnly:
    return HeadOnly(len(data)) if asker.request.method == "HEAD" else BytesBody(data)
