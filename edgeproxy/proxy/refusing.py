"""What a client is told that may not go somewhere, or cannot: the same words, counters and log lines by every
way into the proxy."""

from __future__ import annotations

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import BytesBody, CacheOutcome, Headers, Outcome, Request, Response
from edgeproxy.metrics import Metrics
from edgeproxy.proxy.access import Refusal, Rules, judge

SITE = "proxy"  # for logs and metrics: none of the sites
_STATUS = {
    ProxyError.DESTINATION_IP_PROHIBITED: 403,
    ProxyError.PROXY_LOOP_DETECTED: 508,
    ProxyError.CONNECTION_TIMEOUT: 504,
    ProxyError.DNS_TIMEOUT: 504,
    ProxyError.HTTP_RESPONSE_TIMEOUT: 504,
}


def judged(
    rules: Rules, request: Request, host: str, port: int, metrics: Metrics, *, close: bool
) -> Response | None:
    """The refusal of a request to go to `host`; None if it may. `close`: nothing may follow it."""
    shown = request.headers.get("Proxy-Authorization")
    refusal = judge(rules, request.client, host, port, shown)
    return None if refusal is None else refused(refusal, metrics, close=close)


def refused(refusal: Refusal, metrics: Metrics, *, close: bool = True) -> Response:
    """Counted under its rule."""
    metrics.count("proxy_refusals_total", refusal.rule)
    return _told(refusal.status, refusal.rule, refusal.line, refusal.fields, close=close)


def failed(error: UpstreamError, metrics: Metrics) -> Response:
    """The other end cannot be reached; counted under the kind of error (RFC 9209 section 2.3)."""
    metrics.count("proxy_refusals_total", error.error.value)
    fields = (("Proxy-Status", f"edgeproxy; error={error.error.value}"),)
    return _told(_STATUS.get(error.error, 502), error.error.value, str(error), fields, close=True)


def _told(status: int, why: str, line: str, fields: tuple[tuple[str, str], ...], *, close: bool) -> Response:
    headers = Headers((("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store"), *fields))
    outcome = Outcome(CacheOutcome.REFUSED, SITE, detail=f"{why}: {line}")
    return Response(status, headers, BytesBody(f"{line}\n".encode()), outcome, close=close)
