"""What a router without a store does with everything it does not redirect: it passes it on to a node, and
the node's answer back."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import (
    Body,
    BytesBody,
    CacheOutcome,
    Clock,
    ForwardReason,
    Headers,
    Outcome,
    Request,
    Response,
)
from edgeproxy.metrics import Metrics
from edgeproxy.pipeline.content import HeadContent, PassingContent
from edgeproxy.policy import forwarding
from edgeproxy.router.choice import Candidate
from edgeproxy.router.client import Client, parse
from edgeproxy.router.crowding import crowded_out
from edgeproxy.router.decide import Asking, Decision, decide
from edgeproxy.router.file_facts import FileFacts
from edgeproxy.router.hop import Signer, with_parameter
from edgeproxy.router.nodes import RouteNode
from edgeproxy.router.redirects import SITE
from edgeproxy.router.routing import Routing
from edgeproxy.router.snapshot import RouteObject
from edgeproxy.upstream.place import place_of
from edgeproxy.upstream.upstream import Origin, Reach, Upstream, UpstreamRequest, UpstreamResponse

NODES_ASKED_MAX = 3
UNREACHABLE_SECONDS = 5.0
NODES_MAX = 1000
_AGAIN = frozenset({"GET", "HEAD", "OPTIONS"})
_UNREACHABLE = frozenset(
    {
        ProxyError.CONNECTION_REFUSED,
        ProxyError.CONNECTION_TIMEOUT,
        ProxyError.DESTINATION_IP_UNROUTABLE,
        ProxyError.TLS_PROTOCOL_ERROR,
        ProxyError.TLS_CERTIFICATE_ERROR,
    }
)
_OURS = frozenset(  # they say nothing of the node
    {
        ProxyError.CONNECTION_LIMIT_REACHED,
        ProxyError.DESTINATION_IP_PROHIBITED,
        ProxyError.PROXY_INTERNAL_ERROR,
    }
)


class Failed(Protocol):
    """A request of a client failed at a node; `unreachable`: before the node can have seen it."""

    def __call__(self, client: Client, node: str, *, unreachable: bool) -> None: ...


class PassOn:
    """A Handler. Requests keep the name they were asked under, so that what nodes say of themselves leads
    back here. `via` tells this router from others; `failed` is told of nodes that did not answer."""

    def __init__(
        self,
        routing: Routing,
        upstream: Upstream,
        *,
        via: str,
        reach: Reach,
        signer: Signer | None,
        retry_after: str,
        metrics: Metrics,
        clock: Clock,
        failed: Failed = lambda *_, **__: None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._routing = routing
        self._upstream = upstream
        self._via = via
        self._reach = reach
        self._signer = signer
        self._retry_after = retry_after
        self._metrics = metrics
        self._clock = clock
        self._failed = failed
        self._draw = draw
        self._unreachable: dict[str, float] = {}  # when, by name of a node
        self._places: dict[str, tuple[Origin, str]] = {}  # by URL of a node

    async def __call__(self, request: Request) -> Response:
        if forwarding.loops(request, self._via):
            return _refusal(508, f"this request has passed through {self._via} before")
        client = self._routing.client(parse(request.client))
        asked = FileFacts().asked(request.path)
        decision = self._decided(client, asked)
        if not decision.ranked:
            return _refusal(503, f"{decision.reason}; ask again", (("Retry-After", self._retry_after),))
        headers = forwarding.upstream_headers(request, self._via, shared=False)
        may_ask_others = request.method in _AGAIN and request.body is None
        error = UpstreamError(ProxyError.DESTINATION_UNAVAILABLE, "no node answered")
        for one in self._in_order(decision.ranked)[: NODES_ASKED_MAX if may_ask_others else 1]:
            try:
                response = await self._upstream.fetch(self._addressed(request, one.node, headers))
            except UpstreamError as found:
                error = found
                self._metrics.count("passed_total", one.name, "failed")
                self._told(client, one.name, error.error)
                if not may_ask_others and error.sent:
                    break
                continue
            self._metrics.count("passed_total", one.name, "answered")
            return self._answer(request, one.name, response)
        fields = (("Proxy-Status", f"{forwarding.pseudonym(self._via)}; error={error.error.value}"),)
        return _refusal(error.status, str(error), fields)

    def _decided(self, client: Client, asked: RouteObject) -> Decision:
        now, snapshot = self._clock(), self._routing.snapshot
        excluded = self._routing.excluded(client)
        asking = Asking(excluded=excluded, chance=self._draw())
        decision = decide(client, asked, snapshot, now, asking)
        if not decision.ranked and excluded:  # better one that is complained of than none
            return decide(client, asked, snapshot, now, replace(asking, excluded=frozenset()))
        return decision

    def _in_order(self, ranked: Sequence[Candidate]) -> list[Candidate]:
        """A node that could not be reached a moment ago is the last to be tried: until it is known to be
        down, or not, each request would wait for it."""
        since = self._clock() - UNREACHABLE_SECONDS
        return sorted(ranked, key=lambda one: self._unreachable.get(one.name, since) > since)

    def _told(self, client: Client, node: str, error: ProxyError) -> None:
        if error in _OURS:
            return
        if error in _UNREACHABLE:
            self._unreachable[node] = self._clock()
            crowded_out(self._unreachable, NODES_MAX)
        self._failed(client, node, unreachable=error in _UNREACHABLE)

    def _addressed(self, request: Request, node: RouteNode, headers: Headers) -> UpstreamRequest:
        held = self._places.get(node.url)
        if held is None:
            held = self._places[node.url] = place_of(node.url, f"router.node.{node.name}.url")
        origin, prefix = held
        target = f"{prefix}{request.target}"
        if self._signer is not None:  # a node that routes by itself is to answer, not to send on
            target = with_parameter(target, self._signer.mark(node.name))
        return UpstreamRequest(
            method=request.method,
            origin=origin,
            target=target,
            headers=headers,
            body=request.body,
            interim=request.interim,
            reach=self._reach,
            host=request.authority or None,
            site=SITE,
            key=target,
        )

    def _answer(self, request: Request, node: str, response: UpstreamResponse) -> Response:
        body: Body
        if request.method == "HEAD":
            length = response.headers.get("Content-Length")
            is_told = length.isascii() and length.isdecimal() and len(length) <= 18
            body = HeadContent(int(length) if is_told else None, response)
        else:
            body = PassingContent(response, self._counted)
        return Response(
            response.status,
            forwarding.client_headers(response.headers, self._via, response.version),
            body,
            Outcome(
                CacheOutcome.BYPASS,
                SITE,
                forward=ForwardReason.BYPASS,
                forward_status=response.status,
                source=node,
            ),
        )

    def _counted(self, size: int) -> None:
        self._metrics.count("upstream_bytes_total", SITE, by=size)


def _refusal(status: int, line: str, fields: tuple[tuple[str, str], ...] = ()) -> Response:
    pairs = (("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store"), *fields)
    outcome = Outcome(CacheOutcome.ERROR, SITE, detail=line)
    return Response(status, Headers(pairs), BytesBody(f"{line}\n".encode()), outcome)
