"""The router's part of the control plane: what it knows, what it would do for a client, a page to look at."""

from __future__ import annotations

from typing import Any, Protocol

from aiohttp import web

from edgeproxy.admin.api import Unusable, json
from edgeproxy.admin.route_page import page

URL_LENGTH_MAX = 16 << 10
# The page holds everything it shows: whatever asks for more was put there by somebody else.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


class RoutingViews(Protocol):
    """A router as the control plane sees it. Dictionaries hold what JSON can hold; never waits."""

    def routing_status(self) -> dict[str, Any]:
        """ "nodes", "flows", "refusals", "complaints", "map" and "countries"."""
        ...

    def routing_explain(self, ip: str, url: str) -> dict[str, Any]:
        """What a client at `ip` would get for `url` ("" for any). Raises RequestError."""
        ...


class RoutingApi:
    """The handlers, over the views of one router."""

    def __init__(self, views: RoutingViews) -> None:
        self._views = views

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/route/status", self.page),
            web.get("/route/explain", self.explain),
            web.get("/api/v1/routing", self.status),
        ]

    async def status(self, _: web.Request) -> web.Response:
        status = self._views.routing_status()
        del status["countries"]  # they are for the drawing
        return json(status)

    async def explain(self, request: web.Request) -> web.Response:
        if set(request.query) - {"ip", "url"}:
            raise Unusable(400, "parameters are ip and url")
        ip, url = request.query.get("ip", ""), request.query.get("url", "")
        if not ip or len(ip) > 64 or len(url) > URL_LENGTH_MAX:
            raise Unusable(400, "ip is needed: the address of a client; url may be a path or a URL of ours")
        return json(self._views.routing_explain(ip, url))

    async def page(self, _: web.Request) -> web.Response:
        return web.Response(
            text=page(self._views.routing_status()),
            content_type="text/html",
            charset="utf-8",
            headers={"Cache-Control": "no-store", "Content-Security-Policy": _POLICY},
        )
