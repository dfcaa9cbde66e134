"""Requests for hosts that no site knows, which a client sends as to a proxy: how they are passed on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgeproxy.message import Request, Response
from edgeproxy.metrics import Metrics
from edgeproxy.policy.rules import Rules as CacheRules
from edgeproxy.proxy.access import Rules
from edgeproxy.proxy.refusing import judged
from edgeproxy.proxy.welcome import Welcome
from edgeproxy.sites.site import Plan
from edgeproxy.sites.urls import parse_url
from edgeproxy.upstream.upstream import Origin, Reach


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Without `rules` nothing is passed on but what belongs to a host that sites `knows`. `reach_of` tells
    how such a host is reached, None where no site tells; then, and for all other hosts, it is `reach`."""

    rules: Rules | None
    reach: Reach
    knows: Callable[[str, str, int], bool]
    reach_of: Callable[[Origin], Reach | None]
    welcome: Welcome
    metrics: Metrics

    def plan(self, request: Request) -> Plan | Response | None:
        """None where the client does not mean another host. It has gone through CONNECT if it `is_named`:
        that it may go there has been judged, and it may name another host now than it did then."""
        scheme = request.target_scheme or (request.scheme if request.is_named else "")
        if not scheme:
            return None
        parsed = parse_url(f"{scheme}://{request.authority}/")
        if parsed is None:
            return None
        origin = parsed[0]
        if request.is_named and self.knows(origin.scheme, origin.host, origin.port):
            reach = self.reach_of(origin) or self.reach
            return Plan(origin, request.target, CacheRules(), reach, keep_authorization=True)
        if self.rules is None or (scheme != "http" and not request.is_named):
            return None
        rules = self.rules.of_named() if request.is_named else self.rules
        refusal = judged(rules, request, origin.host, origin.port, self.metrics, close=False)
        return refusal or Plan(origin, request.target, CacheRules(), self.reach, keep_authorization=True)

    def own(self, request: Request) -> Response | None:
        return self.welcome.answer(request)
