"""Refusals of the proxy: what clients, logs and counters are told."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import BytesBody, Headers, Request
from edgeproxy.metrics import Metrics
from edgeproxy.proxy.access import Rules
from edgeproxy.proxy.refusing import failed, judged

RULES = Rules(clients=(ip_network("192.0.2.0/24"),), users=("ada:lovelace",))


@pytest.mark.parametrize("close", [True, False])
def test_a_rule_that_refuses_is_named_and_counted(close: bool) -> None:
    metrics = Metrics()
    request = Request("GET", "/", Headers(), client="192.0.2.1")
    refused = judged(RULES, request, "a.example", 443, metrics, close=close)
    assert refused is not None
    assert (refused.status, refused.close) == (407, close)
    assert refused.headers.get("proxy-authenticate").startswith("Basic realm=")
    assert refused.outcome.detail.startswith("users: ")
    assert metrics.value("proxy_refusals_total", "users") == 1
    shown = Headers((("Proxy-Authorization", "Basic YWRhOmxvdmVsYWNl"),))
    known = Request("GET", "/", shown, client="192.0.2.1")
    assert judged(RULES, known, "a.example", 443, metrics, close=close) is None


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ProxyError.DESTINATION_IP_PROHIBITED, 403),
        (ProxyError.PROXY_LOOP_DETECTED, 508),
        (ProxyError.CONNECTION_TIMEOUT, 504),
        (ProxyError.CONNECTION_REFUSED, 502),
    ],
)
def test_who_cannot_be_reached_is_told_why(error: ProxyError, status: int) -> None:
    metrics = Metrics()
    response = failed(UpstreamError(error, "a.example:443: so it is", sent=False), metrics)
    assert response.status == status
    assert isinstance(response.body, BytesBody)
    assert response.body.data == b"a.example:443: so it is\n"
    assert error.value in response.headers.get("proxy-status")
    assert metrics.value("proxy_refusals_total", error.value) == 1
