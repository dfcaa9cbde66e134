"""The client through the proxy that leads out of its network."""

from __future__ import annotations

import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from stands.egress import EgressStand
from upstream_raw_origin import LOCAL, Loopback, RawOrigin, content

from edgeproxy.config import UpstreamSection
from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import Headers
from edgeproxy.metrics import Metrics
from edgeproxy.upstream.client import CurlUpstream
from edgeproxy.upstream.egress import egress
from edgeproxy.upstream.upstream import Origin, UpstreamRequest


async def through(stand: EgressStand, names: Loopback, request: UpstreamRequest) -> tuple[int, bytes]:
    out, _ = egress(stand.url, (), {}, ())
    upstream = CurlUpstream(UpstreamSection(), names, metrics=Metrics(), egress=out)
    try:
        return await answer(upstream, request)
    finally:
        await upstream.aclose()


async def answer(upstream: CurlUpstream, request: UpstreamRequest) -> tuple[int, bytes]:
    response = await upstream.fetch(request)
    return response.status, await content(response)


async def test_a_proxy_is_told_where_to_and_nothing_of_what_is_asked_over_tls(
    names: Loopback, certificate: tuple[Path, ssl.SSLContext]
) -> None:
    _, context = certificate
    raw = RawOrigin()
    await raw.start(context)
    raw.says(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    names.addresses["localhost.test"] = ()  # this network knows no such name
    headers = Headers([("Authorization", "Bearer secret"), ("X-Own", "1")])
    origin = Origin("https", "localhost.test", raw.port)
    reach = replace(LOCAL, verify_tls=False)
    with EgressStand("ada:love lace") as stand:
        for _ in range(2):
            request = raw.request(origin=origin, headers=headers, reach=reach)
            assert await through(stand, names, request) == (200, b"hello")
    assert all(head.startswith(f"CONNECT localhost.test:{raw.port} HTTP/1.1") for head in stand.heads)
    assert "secret" not in "".join(stand.heads)
    assert "X-Own" not in "".join(stand.heads)
    assert b"Bearer secret" in raw.heads[0]
    assert b"Proxy-" not in raw.heads[0]
    await raw.stop()


async def test_a_proxy_is_asked_for_the_whole_url_without_tls(names: Loopback, origin: RawOrigin) -> None:
    origin.says(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", then="close")
    place = Origin("http", "far.test", origin.port)
    names.addresses["far.test"] = ()
    with EgressStand() as stand:
        assert await through(stand, names, origin.request(origin=place, target="/a?b")) == (200, b"hello")
    assert stand.heads[0].startswith(f"GET http://far.test:{origin.port}/a?b HTTP/1.1\r\nHost: far.test")
    assert origin.heads[0].startswith(b"GET /a?b HTTP/1.1\r\n")


@pytest.mark.parametrize(("user", "refuses", "said"), [("ada:love", 0, "407"), ("", 403, "403")])
async def test_a_proxy_that_will_not_is_named(
    names: Loopback, origin: RawOrigin, user: str, refuses: int, said: str
) -> None:
    with EgressStand(user, refuses) as stand:
        out, _ = egress(f"http://127.0.0.1:{stand.port}", (), {}, ())
        upstream = CurlUpstream(UpstreamSection(), names, metrics=Metrics(), egress=out)
        place = Origin("https", "far.test", 443)
        with pytest.raises(UpstreamError, match=said) as caught:
            await upstream.fetch(origin.request(origin=place))
        assert ".invalid" not in str(caught.value)
        await upstream.aclose()


async def test_addresses_that_are_not_permitted_are_not_asked_of_a_proxy(
    names: Loopback, origin: RawOrigin
) -> None:
    with EgressStand() as stand:
        reach = replace(LOCAL, private_addresses=False)
        request = origin.request(origin=Origin("https", "10.0.0.1", 443), reach=reach)
        with pytest.raises(UpstreamError) as caught:
            await through(stand, names, request)
        assert caught.value.error is ProxyError.DESTINATION_IP_PROHIBITED
        assert stand.heads == []


async def test_who_is_reached_directly_and_who_is_not_take_turns(names: Loopback, origin: RawOrigin) -> None:
    """Handles are kept for the next request: none may carry over where it goes."""
    origin.says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    with EgressStand() as stand:
        out, _ = egress(stand.url, ["near.test"], {}, ())
        upstream = CurlUpstream(UpstreamSection(), names, metrics=Metrics(), egress=out)
        for host in ("near.test", "far.test", "near.test", "far.test", "near.test"):
            request = origin.request(origin=Origin("http", host, origin.port))
            assert await answer(upstream, request) == (200, b"ok")
        await upstream.aclose()
    assert len(origin.heads) == 5
    assert all("far.test" in head for head in stand.heads)
    assert 1 <= len(stand.heads) <= 2
