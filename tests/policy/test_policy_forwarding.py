from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from edgeproxy.errors import RequestError
from edgeproxy.message import Headers, Request
from edgeproxy.policy import forwarding
from edgeproxy.policy.forwarding import client_headers, for_fill, loops, upstream_headers
from edgeproxy.policy.stored import StoredResponse

Get = Callable[..., Request]
Store = Callable[..., StoredResponse]


def asked(**fields: str) -> Request:
    pairs = [(name.replace("_", "-"), value) for name, value in fields.items()]
    return Request(
        "GET", "/a", Headers(pairs), authority="evil.example", client="192.0.2.1", peer="192.0.2.1", id="r1"
    )


def test_a_fill_is_not_shaped_by_one_client() -> None:
    request = asked(
        If_None_Match='"a"',
        If_Modified_Since="x",
        If_Match="*",
        If_Unmodified_Since="x",
        If_Range="x",
        Range="bytes=0-1",
        Expect="100-continue",
        Upgrade="h2c",
        Accept_Encoding="br;q=0.5,  gzip",
        Foo="1",
    )
    assert for_fill(request.headers).pairs == (("Foo", "1"), ("Accept-Encoding", "br, gzip"))
    assert for_fill(Headers()).pairs == (("Accept-Encoding", "identity"),)


def test_what_a_client_claims_about_itself_is_replaced() -> None:
    names = """
        X_Forwarded_For X_Forwarded_Host X_Forwarded_Proto X_Forwarded_Port X_Forwarded_Prefix
        X_Forwarded_Scheme X_Real_IP Forwarded X_Original_URL X_Rewrite_URL X_HTTP_Method
        X_HTTP_Method_Override X_Method_Override X_Request_Id traceparent tracestate X_Host
    """
    claims = dict.fromkeys(names.split(), "evil")
    headers = upstream_headers(asked(**claims), "edge-1")
    assert "evil" not in repr(headers)
    assert headers.get("X-Forwarded-For") == headers.get("X-Real-IP") == "192.0.2.1"
    assert headers.get("X-Forwarded-Proto") == "http"
    assert headers.get("Forwarded") == "for=192.0.2.1;proto=http"
    assert headers.get("X-Request-Id") == "r1"
    assert "X-Forwarded-Host" not in headers
    assert "traceparent" not in headers


def test_the_name_the_client_used_goes_only_to_an_answer_for_it_alone() -> None:
    alone = upstream_headers(asked(), "edge-1", shared=False)
    assert alone.get("X-Forwarded-Host") == "evil.example"
    assert alone.get("Forwarded") == 'for=192.0.2.1;host="evil.example";proto=http'
    configured = upstream_headers(asked(), "edge-1", forwarded_host="www.example")
    assert configured.get("X-Forwarded-Host") == "www.example"


def test_a_trusted_peer_is_named_behind_its_client() -> None:
    request = dataclasses.replace(asked(), client="2001:db8::1", peer="192.0.2.9", traceparent="00-1-2-01")
    headers = upstream_headers(request, "edge-1")
    assert headers.get("X-Forwarded-For") == "2001:db8::1, 192.0.2.9"
    assert headers.get("Forwarded") == 'for="[2001:db8::1]";proto=http, for=192.0.2.9'
    assert headers.get("traceparent") == "00-1-2-01"


def test_conditions_pass_when_the_answer_is_for_one_client() -> None:
    request = asked(
        If_None_Match='"a"', Range="bytes=0-1", Expect="100-continue", Host="h", Content_Length="3"
    )
    headers = upstream_headers(request, "edge-1", shared=False)
    assert headers.get("If-None-Match") == '"a"'
    assert headers.get("Range") == "bytes=0-1"
    assert not {"Expect", "Host", "Content-Length"} & {name for name, _ in headers}


def test_credentials_are_left_out_on_demand() -> None:
    request = asked(Authorization="x", Cookie="a=b", Proxy_Authorization="y")
    kept = upstream_headers(request, "edge-1")
    assert ("Authorization" in kept, "Cookie" in kept, "Proxy-Authorization" in kept) == (True, True, False)
    bare = upstream_headers(request, "edge-1", keep_authorization=False, strip_cookie=True)
    assert ("Authorization" in bare, "Cookie" in bare) == (False, False)


def test_a_nomination_of_a_needed_field_is_refused() -> None:
    with pytest.raises(RequestError):
        upstream_headers(asked(Connection="Host"), "edge-1")


def test_loops_are_seen_in_via_and_cdn_loop_and_only_for_our_name() -> None:
    once = upstream_headers(asked(Via="1.0 other", CDN_Loop="x; a=1"), "edge 1")
    assert once.get("Via") == "1.0 other, 1.1 edge-1"
    assert once.get("CDN-Loop") == "x; a=1, edge-1"
    assert loops(Request("GET", "/", Headers([("Via", once.get("Via"))])), "edge 1")
    assert loops(Request("GET", "/", Headers([("CDN-Loop", once.get("CDN-Loop"))])), "edge 1")
    assert loops(Request("GET", "/", Headers([("Via", "HTTP/1.1 EDGE-1 (comment)")])), "edge-1")
    for other in ("1.1 edge-10", "1.1 other (edge-1)", "edge-1", ""):
        assert not loops(Request("GET", "/", Headers([("Via", other)])), "edge-1")


def test_an_answer_loses_connection_fields_and_framing_and_gains_via() -> None:
    headers = Headers(
        [("Connection", "x"), ("X", "1"), ("Content-Length", "3"), ("A", "2"), ("Via", "1.1 up")]
    )
    assert client_headers(headers, "edge-1", "2").pairs == (("A", "2"), ("Via", "1.1 up, 2 edge-1"))


def test_fields_of_a_stored_response_are_made_once_and_leave_out_what_is_of_the_moment() -> None:
    pairs = (("Age", "3"), ("ETag", '"a"'), ("Cache-Status", "before; hit"), ("Connection", "X"), ("X", "y"))
    first = forwarding.stored_headers(pairs, "edge", True)
    assert first is forwarding.stored_headers(pairs, "edge", True)
    assert list(first) == [("ETag", '"a"'), ("Via", "1.1 edge"), ("Accept-Ranges", "bytes")]
    assert "Accept-Ranges" not in forwarding.stored_headers(pairs, "edge", False)
    told = (*pairs, ("accept-ranges", "none"))
    assert forwarding.stored_headers(told, "edge", True).all("Accept-Ranges") == ("none",)
