"""How a parent or a sibling is asked: for the upstream's own URL under the origin's name, or as a mirror
under its own name."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from edgeproxy.message import Headers
from edgeproxy.upstream.candidate import Candidate, Role
from edgeproxy.upstream.upstream import Origin, Reach, UpstreamRequest

ASKED_BY_SIBLING = "X-Edge-Sibling"  # tells a node that it is asked as the owner


@dataclass(slots=True)
class Remote:
    """`origin` is where it is, `prefix` the path before every target of a mirror (no slash at its end).
    `http2` is "auto", "prior-knowledge" or "off". `speaks_http1` and `speaks_http2` (the latter without TLS,
    None while nobody knows) are found out by probing."""

    candidate: Candidate
    origin: Origin
    reach: Reach
    prefix: str = ""
    token: str = ""
    http2: str = "auto"
    speaks_http1: bool = True
    speaks_http2: bool | None = None
    _reaches: dict[bool, Reach] = field(default_factory=dict)  # by prior knowledge; asked for all the time

    @property
    def may_speak_http2(self) -> bool:
        """Whether it is worth finding out."""
        return self.http2 == "auto" and self.origin.scheme == "http"

    def reached(self, *, bulk: bool = False) -> Reach:
        """The reach for the next request, in the version of HTTP that it is known to speak."""
        prior = self.http2 == "prior-knowledge" or (self.may_speak_http2 and self.speaks_http2 is True)
        if bulk and self.http2 == "auto" and self.speaks_http1:
            prior = False
        reach = self._reaches.get(prior)
        if reach is None:
            reach = replace(self.reach, prior_knowledge=prior, http2=self.http2 != "off")
            self._reaches[prior] = reach
        return reach

    def addressed(self, request: UpstreamRequest) -> UpstreamRequest:
        """`request` as it is sent to this candidate."""
        mirror, sibling = self.candidate.is_mirror, self.candidate.role is Role.SIBLING
        fields: list[tuple[str, str]] = []
        if self.token:
            fields.append(("Proxy-Authorization", f"Bearer {self.token}"))
        if sibling:
            fields.append((ASKED_BY_SIBLING, "1"))
        return replace(
            request,
            origin=self.origin,
            target=f"{self.prefix}{request.target}" if mirror else request.target,
            host=None if mirror else request.host or request.origin.authority,
            headers=request.headers.adding(fields) if fields else request.headers,
            reach=self.reached(bulk=request.bulk),
        )

    def probe(self, reach: Reach) -> UpstreamRequest:
        """HEAD of its root under its own name; a cache need not bother those above it for that."""
        fields = [("Cache-Control", "only-if-cached"), ("User-Agent", "edgeproxy")]
        if self.token:
            fields.append(("Proxy-Authorization", f"Bearer {self.token}"))
        return UpstreamRequest("HEAD", self.origin, f"{self.prefix}/", Headers(fields), reach=reach)
