"""How a node takes clients in that a router has sent: what the router added is taken off, and who has been
sent is sent nowhere else.

A mark that is not right is answered 403 and not ignored: two routers with different secrets would otherwise
send a client to and fro. A private file is given to who brings credentials, which upstream judges, and to
whom a router has signed it for; nobody else's request for it gets as far as the store."""

from __future__ import annotations

from dataclasses import replace

from edgeproxy.message import (
    BytesBody,
    CacheOutcome,
    Clock,
    Handler,
    Headers,
    Outcome,
    Request,
    Response,
    at_once_of,
)
from edgeproxy.metrics import Metrics
from edgeproxy.router.client import folded, parse, prefix_of
from edgeproxy.router.hop import Arrival, Came, Signer
from edgeproxy.router.redirects import SITE


class Arrivals:
    """A Handler. `served` answers who was sent here, `routed` everybody else. `own` is this node's name among
    those of the router, `private` the path prefixes of what is not for everybody."""

    def __init__(
        self,
        served: Handler,
        routed: Handler,
        signer: Signer,
        *,
        own: str,
        private: tuple[str, ...],
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._served = served
        self._routed = routed
        self._routed_at_once = at_once_of(routed)
        self._signer = signer
        self._own = own
        self._private = private
        self._metrics = metrics
        self._clock = clock

    async def __call__(self, request: Request) -> Response:
        arrival = self._signer.arrived(request.target, _network(request), self._clock())
        if arrival.came is Came.PLAIN:
            if self._private and not self._is_open(request):
                return self._refused("this is given only to who has been permitted")
            return await self._routed(request)
        if arrival.came is Came.FORGED:
            return self._refused(arrival.why)
        return await self._arrived(replace(request, target=arrival.target), arrival)

    def at_once(self, request: Request) -> Response | None:
        """The answer, if whoever routes has one at once for who comes plainly."""
        if self._routed_at_once is None or self._signer.is_signed(request.target):
            return None
        if self._private and request.path.startswith(self._private):
            return None
        return self._routed_at_once(request)

    async def _arrived(self, request: Request, arrival: Arrival) -> Response:
        if arrival.came is Came.MARKED:
            if self._private and not self._is_open(request):
                return self._refused("this is given only to who has been permitted")
            return await self._served(request)
        if self._own and arrival.node != self._own:
            return self._refused("this URL was signed for another node")
        if request.method not in ("GET", "HEAD"):
            return self._refused("a signed URL permits to read")
        headers = request.headers.without(("Authorization", "Cookie"))
        response = await self._served(replace(request, headers=headers))
        # Whoever sends the same bytes later, or from elsewhere, has to be looked at again.
        return replace(response, reuse=None)

    def _is_open(self, request: Request) -> bool:
        headers = request.headers
        return not request.path.startswith(self._private) or "Authorization" in headers or "Cookie" in headers

    def _refused(self, line: str) -> Response:
        self._metrics.count("forged_total")
        fields = Headers((("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")))
        outcome = Outcome(CacheOutcome.REFUSED, SITE, detail=line)
        return Response(403, fields, BytesBody(f"{line}\n".encode()), outcome)


def _network(request: Request) -> str:
    """What a signature is bound to: the client's network, not its address, which may change."""
    address = parse(request.client)
    return "" if address is None else str(prefix_of(folded(address)))
