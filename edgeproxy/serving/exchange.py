"""What an exchange is apart from its wire form: asking the handler, counting and logging."""

from __future__ import annotations

import time
from dataclasses import dataclass

from edgeproxy.errors import RequestError
from edgeproxy.message import Certified, Interim, Outcome, Request, Response
from edgeproxy.serving.client_address import attribute
from edgeproxy.serving.head import Head
from edgeproxy.serving.log_line import LogEntry
from edgeproxy.serving.request_body import IncomingBody
from edgeproxy.serving.response_head import breakdown, refusal
from edgeproxy.serving.service import Service
from edgeproxy.serving.trace import trace_id, traceparent


def make_request(
    service: Service,
    head: Head,
    peer: str,
    told: str,
    body: IncomingBody | None,
    interim: Interim | None,
    certified: Certified | None = None,
) -> Request:
    """The request of a head that came from `peer`; `told` is the client address a PROXY header gave,
    or the peer's. `interim` is None where the client cannot take interim responses, `certified` where it
    has no certificate."""
    headers = head.headers
    client, scheme, target_scheme = told, service.scheme, head.target_scheme
    if service.trusted:
        attribution = attribute(told, headers, service.trusted)
        client, scheme = attribution.client, attribution.scheme or scheme
        if target_scheme == service.scheme:  # said of the way from the peer to us, as the listener is
            target_scheme = ""
    return Request(
        method=head.method,
        target=head.target,
        headers=headers,
        scheme=scheme,
        authority=head.authority,
        version=head.version,
        client=client,
        peer=peer,
        certified=certified,
        listener=service.listener,
        body=body,
        interim=interim,
        id=service.ids.accepted(headers.get("x-request-id")),
        traceparent=traceparent(headers.get("traceparent")),
        received_at=service.clock(),
        target_scheme=target_scheme,
        is_named=service.is_named,
    )


async def ask(service: Service, request: Request) -> Response:
    """The handler's answer, or one made from its failure. This is the outermost step of a request."""
    try:
        response: Response = await service.handler(request)
    except RequestError as error:
        service.metrics.count("bad_requests_total", str(error.status))
        return refusal(error)
    except Exception as error:  # noqa: BLE001 - the outermost step: one request fails, not the node
        service.metrics.count("task_errors_total")
        service.report(f"request {request.id} failed: {type(error).__name__}: {error}")
        return breakdown()
    return response


@dataclass(slots=True)
class Progress:
    """How far an answer has come. Times are those of time.monotonic."""

    started: float
    status: int = 0
    sent: int = 0
    head_at: float | None = None
    complete: bool = False


def account(service: Service, request: Request, outcome: Outcome, progress: Progress) -> None:
    """Count and log an exchange that ended."""
    metrics = service.metrics
    seconds = time.monotonic() - progress.started
    metrics.count("requests_total", outcome.site, outcome.cache.value, str(progress.status))
    metrics.count("client_bytes_total", outcome.site, by=progress.sent)
    metrics.observe("request_seconds", seconds, outcome.site)
    if not service.log.enabled:
        return
    forward = outcome.forward
    service.log.put(
        LogEntry(
            time=request.received_at,
            id=request.id,
            trace=trace_id(request.traceparent),
            client=request.client,
            method=request.method,
            authority=request.authority,
            target=request.target,
            version=request.version,
            status=progress.status,
            bytes=progress.sent,
            seconds=seconds,
            first_byte=None if progress.head_at is None else progress.head_at - progress.started,
            upstream=outcome.upstream_seconds,
            cache=outcome.cache.value,
            reason=forward.value if forward is not None else "",
            detail=outcome.detail,
            source=outcome.source,
            site=outcome.site,
            agent=request.headers.get("user-agent"),
            referer=request.headers.get("referer"),
            complete=progress.complete,
        )
    )


def account_refusal(service: Service, client: str, error: RequestError) -> None:
    """Count and log bytes that never became a request."""
    service.metrics.count("bad_requests_total", str(error.status))
    if service.log.enabled:
        service.log.put(
            LogEntry(
                time=service.clock(),
                id=service.ids.make(),
                trace="",
                client=client,
                method="",
                authority="",
                target="",
                version="",
                status=error.status,
                bytes=0,
                seconds=0.0,
                cache="refused",
                detail=str(error),
            )
        )
