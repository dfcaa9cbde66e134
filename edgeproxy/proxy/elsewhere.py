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
    """Without `rules` nothing is passed on but what belongs to a host that sites know. `reach_of` tells how
    such a host is reached, None where no site tells; then, and for all other hosts, it is `reach`."""

    rules: Rules | None
    reach: Reach
    reach_of: Callable[[Origin], Reach | None]
    welcome: Welcome
    metrics: Metrics

    def plan(self, request: Request) -> Plan | Response | None:
        """None where the client does not mean another host. It has gone through CONNECT if it `is_named`:
        that it may go there has been judged."""
        scheme = request.target_scheme or (request.scheme if request.is_named else "")
        if not scheme:
            return None
        parsed = parse_url(f"{scheme}://{request.authority}/")
        if parsed is None:
            return None
        origin, reach = parsed[0], self.reach
        if request.is_named:
            reach = self.reach_of(origin) or reach
        elif self.rules is None or scheme != "http":
            return None
        elif refusal := judged(self.rules, request, origin.host, origin.port, self.metrics, close=False):
            return refusal
        return Plan(origin, request.target, CacheRules(), reach, keep_authorization=True)

    def own(self, request: Request) -> Response | None:
        return self.welcome.answer(request)
