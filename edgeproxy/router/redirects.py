"""A decision as an answer to a client. Clients are sent to nodes of the configuration, or to a site's own
origin: never to a place that came with the request."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgeproxy.message import BytesBody, CacheOutcome, Headers, Outcome, Pair, Response
from edgeproxy.router.choice import Candidate
from edgeproxy.router.decide import Decision
from edgeproxy.router.file_facts import FileFacts
from edgeproxy.router.hop import Signer, with_parameter
from edgeproxy.router.ranked_list import described_by, link_fields

SITE = "route"  # what answers of the router are counted under
_NO_STORE: Pair = ("Cache-Control", "no-store")
_TEXT: Pair = ("Content-Type", "text/plain; charset=utf-8")


class Redirects:
    """`signer` is None where nodes know no marks. `endpoint` is "" where no lists are given."""

    def __init__(self, signer: Signer | None, *, duplicates: int, endpoint: str, retry_after: float) -> None:
        self._signer = signer
        self._duplicates = duplicates
        self._endpoint = endpoint
        self._retry_after = str(max(1, math.ceil(retry_after)))

    def places(self, ranked: Sequence[Candidate], target: str) -> list[tuple[Candidate, str]]:
        """Nodes with the URL of `target` there."""
        return [(one, self._place(one, target)) for one in ranked]

    def _place(self, one: Candidate, target: str) -> str:
        signer = self._signer
        marked = target if signer is None else with_parameter(target, signer.mark(one.name))
        return f"{one.node.url}{marked}"

    def to_node(
        self, decision: Decision, target: str, facts: FileFacts, *, status: int = 302, map_age: float = 0.0
    ) -> Response:
        """To the first of `decision`, which has one; the others are named beside it."""
        few = self.places(decision.ranked[: 1 + self._duplicates], target)
        pairs = [("Location", few[0][1]), _NO_STORE, *facts.fields]
        if self._duplicates and facts.size >= 0:
            pairs += link_fields(few, self._duplicates, facts.sha256)
            if self._endpoint:
                pairs.append(described_by(self._endpoint, target))
        if decision.is_old:
            pairs.append(("X-Edge-Map", f"old; age={map_age:.0f}"))
        return self._answer(status, pairs, decision.ranked[0].name, decision.reason)

    def signed(self, one: Candidate, target: str, facts: FileFacts, client: str, expires: float) -> Response:
        """To a node that gives a private file to who comes so."""
        assert self._signer is not None
        key = self._signer.key(target, one.name, client, expires)
        pairs = [("Location", f"{one.node.url}{with_parameter(target, key)}"), _NO_STORE, *facts.fields]
        return self._answer(302, pairs, one.name, "with a signed URL")

    def to_origin(self, url: str, reason: str, *, status: int = 302) -> Response:
        return self._answer(status, [("Location", url), _NO_STORE], "origin", reason)

    def _answer(self, status: int, pairs: list[Pair], where: str, reason: str) -> Response:
        outcome = Outcome(CacheOutcome.LOCAL, SITE, source=where, detail=reason)
        return Response(status, Headers(pairs), outcome=outcome)

    def nobody(self, decision: Decision) -> Response:
        """No node may serve."""
        return self.refusal(503, f"{decision.reason}; ask again", (("Retry-After", self._retry_after),))

    def refusal(self, status: int, line: str, fields: Sequence[Pair] = ()) -> Response:
        outcome = Outcome(CacheOutcome.REFUSED, SITE, detail=line)
        body = BytesBody(f"{line}\n".encode())
        return Response(status, Headers((_TEXT, _NO_STORE, *fields)), body, outcome)
