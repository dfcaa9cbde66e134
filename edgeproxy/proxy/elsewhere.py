"""Requests for hosts that no site knows, which a client sends as to a proxy: how they are passed on."""

from __future__ import annotations

from dataclasses import dataclass

from edgeproxy.message import BytesBody, CacheOutcome, Headers, Outcome, Request, Response
from edgeproxy.policy.rules import Rules as CacheRules
from edgeproxy.proxy.access import Rules, judge
from edgeproxy.proxy.welcome import Welcome
from edgeproxy.sites.site import Plan
from edgeproxy.sites.urls import parse_url
from edgeproxy.upstream.upstream import Reach

SITE = "proxy"


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Without `rules` nothing is passed on but what belongs to a host that sites know."""

    rules: Rules | None
    reach: Reach
    welcome: Welcome

    def plan(self, request: Request) -> Plan | Response | None:
        """None where the client does not mean another host. It has gone through CONNECT if it `is_named`:
        that it may go there has been judged."""
        scheme = request.target_scheme or (request.scheme if request.is_named else "")
        if not scheme:
            return None
        parsed = parse_url(f"{scheme}://{request.authority}/")
        if parsed is None:
            return None
        origin = parsed[0]
        if not request.is_named:
            if self.rules is None or scheme != "http":
                return None
            shown = request.headers.get("Proxy-Authorization")
            refusal = judge(self.rules, request.client, origin.host, origin.port, shown)
            if refusal is not None:
                return Response(
                    refusal.status,
                    Headers((("Content-Type", "text/plain; charset=utf-8"), *refusal.fields)),
                    BytesBody(f"{refusal.line}\n".encode()),
                    Outcome(CacheOutcome.REFUSED, SITE, detail=refusal.rule),
                )
        return Plan(origin, request.target, CacheRules(), self.reach, keep_authorization=True)

    def own(self, request: Request) -> Response | None:
        return self.welcome.answer(request)
