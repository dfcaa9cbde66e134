"""How a request is written into a handle, and what is never written."""

from dataclasses import replace
from typing import Any

import pytest
from upstream_raw_origin import RawOrigin

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import Headers
from edgeproxy.upstream.client import CurlUpstream
from edgeproxy.upstream.easy import Easy, check
from edgeproxy.upstream.upstream import Origin, UpstreamRequest

PLAIN = UpstreamRequest("GET", Origin("http", "a.example", 80), "/x?y")


@pytest.mark.parametrize(
    "change",
    [
        {"target": "/a b"},
        {"target": "/a\r\nX: y"},
        {"target": "http://x/"},
        {"method": "GE T"},
        {"method": "CONNECT"},
        {"host": "a\r\nb"},
        {"headers": Headers([("X", "a\nb")])},
        {"headers": Headers([("X:", "a")])},
        {"origin": Origin("http", "127.0.0.1/x", 80)},
        {"origin": Origin("file", "x", 80)},
    ],
)
async def test_a_request_that_would_change_on_the_wire_is_not_sent(
    client: CurlUpstream, origin: RawOrigin, change: dict[str, Any]
) -> None:
    with pytest.raises(UpstreamError) as caught:
        await client.fetch(replace(origin.request(), **change))
    assert not caught.value.sent
    assert origin.connections == 0


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"method": "M-SEARCH"},
        {"target": "*"},
        {"target": "/\xe9"},
        {"host": "b.example:81"},
        {"origin": Origin("https", "::1", 443)},
        {"headers": Headers([("X", ""), ("Y", "a\tb \xff")])},
    ],
)
def test_what_is_clear_on_the_wire_may_be_sent(change: dict[str, Any]) -> None:
    check(replace(PLAIN, **change))


@pytest.mark.parametrize(
    ("origin", "error"),
    [
        (Origin("http", "a.example", 0), ProxyError.DESTINATION_NOT_FOUND),
        (Origin("http", "a.example", 65536), ProxyError.DESTINATION_NOT_FOUND),
        (Origin("http", "A.example", 80), ProxyError.DESTINATION_NOT_FOUND),
        (Origin("http", "user@a", 80), ProxyError.DESTINATION_NOT_FOUND),
        (Origin("http", "", 80), ProxyError.DESTINATION_NOT_FOUND),
        (Origin("http", "a\n", 80), ProxyError.DESTINATION_NOT_FOUND),
    ],
)
def test_a_place_that_cannot_be_is_not_found(origin: Origin, error: ProxyError) -> None:
    with pytest.raises(UpstreamError) as caught:
        check(replace(PLAIN, origin=origin))
    assert caught.value.error is error


def test_a_handle_nobody_uses_permits_no_request_and_gives_no_content() -> None:
    easy = Easy()
    assert easy._start("127.0.0.1", "127.0.0.1", 80, 1) != 0
    assert isinstance(easy._read(10), int)
    easy.curl.close()


async def test_fields_that_are_the_clients_to_set_are_left_out(
    client: CurlUpstream, origin: RawOrigin
) -> None:
    origin.says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    fields = Headers(
        [("Connection", "x"), ("TE", "trailers"), ("Host", "evil"), ("X-Empty", ""), ("X", " a ")]
    )
    await (await client.fetch(origin.request(headers=fields))).aclose()
    lines = origin.heads[0].split(b"\r\n")
    names = [line.partition(b":")[0].lower() for line in lines[1:]]
    assert names.count(b"host") == 1
    assert b"evil" not in origin.heads[0]
    assert not {b"connection", b"te"} & set(names)
    assert {b"X: a", b"X-Empty:"} <= set(lines)
