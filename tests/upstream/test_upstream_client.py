"""The client against origins that behave, and the exact bytes it sends."""

from __future__ import annotations

# ruff: noqa: ASYNC240 - waiting for the origin to see a request is polling, /proc is memory
import asyncio
import os
import ssl
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import jh2.config
import jh2.connection
import jh2.events
import pytest
from upstream_raw_origin import LOCAL, Exchange, Loopback, RawOrigin, content, settled, until

from edgeproxy.config import UpstreamSection
from edgeproxy.errors import BodyAborted, ProxyError, UpstreamError
from edgeproxy.message import Headers
from edgeproxy.metrics import Metrics
from edgeproxy.upstream.client import CurlUpstream
from edgeproxy.upstream.upstream import PIECE_BYTES, Origin, UpstreamRequest

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello"


class Sent:
    """A request body given in pieces; an exception among them is raised."""

    def __init__(self, *pieces: Any, length: int | None = None) -> None:
        self.pieces = pieces
        self.length = length
        self.read = 0

    async def __aiter__(self):
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            self.read += len(piece)
            yield piece


async def test_an_answer_is_passed_with_status_fields_and_content(
    client: CurlUpstream, origin: RawOrigin
) -> None:
    origin.says(OK)
    response = await client.fetch(origin.request())
    assert (response.status, response.version, response.content_length) == (200, "1.1", 5)
    assert response.headers.get("x-a") == "b"
    assert await content(response) == b"hello"


async def test_the_request_goes_out_byte_for_byte(client: CurlUpstream, origin: RawOrigin) -> None:
    origin.says(OK)
    target = "/a/../b/./%2e%zz//c?x=%41&;y=\xe9#"
    headers = Headers([("X-One", "1"), ("x-one", "2"), ("X-Empty", ""), ("Te", "trailers")])
    await content(await client.fetch(origin.request(target=target, headers=headers)))
    authority = f"127.0.0.1:{origin.port}"
    expected = f"GET {target} HTTP/1.1\r\nHost: {authority}\r\nX-One: 1\r\nx-one: 2\r\nX-Empty:\r\n\r\n"
    assert origin.heads == [expected.encode("latin-1")]


async def test_fields_that_libcurl_would_add_go_out_only_when_given(
    client: CurlUpstream, origin: RawOrigin
) -> None:
    origin.says(OK)
    headers = Headers([("Accept", "*/*"), ("User-Agent", "me")])
    await content(await client.fetch(origin.request(headers=headers, host="other.example")))
    assert origin.heads == [b"GET / HTTP/1.1\r\nHost: other.example\r\nAccept: */*\r\nUser-Agent: me\r\n\r\n"]


async def test_connections_are_kept_and_reused(client: CurlUpstream, origin: RawOrigin) -> None:
    origin.says(OK)
    fresh = []
    for _ in range(5):
        response = await client.fetch(origin.request())
        fresh.append(response.is_fresh)
        assert await content(response) == b"hello"
    assert fresh == [True, False, False, False, False]
    assert (origin.connections, client.running) == (1, 0)


async def test_head_announces_no_content_and_the_next_get_has_some(
    client: CurlUpstream, origin: RawOrigin
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(OK[:-5] if exchange.head.startswith(b"HEAD") else OK)

    origin.script = script
    head = await client.fetch(origin.request("HEAD"))
    assert (head.content_length, head.headers.get("content-length")) == (0, "5")
    assert await content(head) == b""
    assert await content(await client.fetch(origin.request())) == b"hello"
    assert origin.connections == 1


async def test_redirects_and_cookies_are_not_followed_and_codings_not_undone(
    client: CurlUpstream, origin: RawOrigin
) -> None:
    origin.says(
        b"HTTP/1.1 302 Found\r\nLocation: /x\r\nSet-Cookie: a=b\r\nContent-Encoding: gzip\r\n"
        b"Content-Length: 3\r\n\r\nabc"
    )
    for _ in range(2):
        response = await client.fetch(origin.request())
        assert (response.status, await content(response)) == (302, b"abc")
    assert len(origin.heads) == 2
    assert b"ookie" not in b"".join(origin.heads)


async def test_a_body_of_known_length_is_sent_with_its_length(
    client: CurlUpstream, origin: RawOrigin
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(OK[:-5] + await exchange.reader.readexactly(5))

    origin.script = script
    request = origin.request("POST", body=Sent(b"he", b"llo", length=5))
    assert await content(await client.fetch(request)) == b"hello"
    assert b"Content-Length: 5\r\n" in origin.heads[0]
    assert b"Expect" not in origin.heads[0]
    assert b"Content-Type" not in origin.heads[0]


async def test_a_body_of_unknown_length_is_sent_in_chunks(client: CurlUpstream, origin: RawOrigin) -> None:
    async def script(exchange: Exchange) -> None:
        assert await exchange.reader.readuntil(b"0\r\n\r\n") == b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
        await exchange.send(OK)

    class Slow(Sent):
        async def __aiter__(self):
            for piece in self.pieces:
                await asyncio.sleep(0.02)  # so that each piece is sent by itself
                yield piece

    origin.script = script
    assert await content(await client.fetch(origin.request("PUT", body=Slow(b"he", b"llo")))) == b"hello"
    assert b"Transfer-Encoding: chunked\r\n" in origin.heads[0]


async def test_a_post_without_a_body_says_so(client: CurlUpstream, origin: RawOrigin) -> None:
    origin.says(OK)
    await content(await client.fetch(origin.request("POST")))
    assert b"\r\nContent-Length: 0\r\n" in origin.heads[0]


async def test_an_upload_is_read_only_as_fast_as_it_is_taken(client: CurlUpstream, origin: RawOrigin) -> None:
    origin.script = lambda exchange: asyncio.Event().wait()
    body = Sent(*([bytes(64 << 10)] * 1024), length=64 << 20)
    fetching = asyncio.create_task(client.fetch(origin.request("PUT", body=body)))
    assert await settled(lambda: body.read) < 16 << 20  # socket buffers of both ends and our 256 KiB
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching


async def test_a_client_that_breaks_off_its_body_ends_the_request(
    client: CurlUpstream, origin: RawOrigin
) -> None:
    origin.script = Exchange.until_gone
    with pytest.raises(BodyAborted):
        await client.fetch(origin.request("PUT", body=Sent(b"he", BodyAborted("gone"), length=5)))
    await asyncio.sleep(0)
    assert client.running == 0


@pytest.mark.parametrize("most", [64 << 10, PIECE_BYTES, 1 << 20])
async def test_a_large_body_is_bit_exact_in_pieces_of_bounded_size(
    client: CurlUpstream, origin: RawOrigin, most: int
) -> None:
    data = os.urandom(8 << 20)
    origin.says(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
    response = await client.fetch(origin.request())
    pieces = []
    async for piece in response.chunks(most):
        pieces.append(piece)
        await asyncio.sleep(0.002)  # as who writes it somewhere: meanwhile more arrives
    assert b"".join(pieces) == data
    assert most // 4 < max(map(len, pieces)) <= most


async def test_the_upstream_is_paused_while_nobody_reads_and_goes_on_after(
    client: CurlUpstream, origin: RawOrigin
) -> None:
    total, sent = 64 << 20, 0

    async def script(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        while sent < total:
            await exchange.send(bytes(64 << 10))
            sent += 64 << 10

    origin.script = script
    reach = replace(LOCAL, progress_timeout=0.2)
    response = await client.fetch(origin.request(reach=reach))
    await asyncio.sleep(0.5)  # longer than progress_timeout: our own pause does not count
    assert sent < 24 << 20
    assert sum([len(piece) async for piece in response.chunks()]) == total


async def test_a_first_small_piece_is_delivered_at_once(client: CurlUpstream, origin: RawOrigin) -> None:
    more = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        await more.wait()
        await exchange.send(b"1\r\nb\r\n0\r\nTrailer: x\r\n\r\n")

    origin.script = script
    response = await client.fetch(origin.request())
    chunks = response.chunks()
    assert await anext(chunks) == b"a"
    more.set()
    assert [piece async for piece in chunks] == [b"b"]
    assert "trailer" not in response.headers


async def test_leaving_before_the_end_frees_connection_and_handle(
    client: CurlUpstream, origin: RawOrigin
) -> None:
    gone = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        await exchange.until_gone()
        gone.set()
        exchange.writer.close()

    origin.script = script
    response = await client.fetch(origin.request())
    assert await anext(response.chunks()) == b"abc"
    await response.aclose()
    await asyncio.wait_for(gone.wait(), 30)
    assert client.running == 0
    origin.says(OK)
    assert await content(await client.fetch(origin.request())) == b"hello"


async def test_cancelling_a_fetch_frees_connection_and_handle(
    client: CurlUpstream, origin: RawOrigin
) -> None:
    gone = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.until_gone()
        gone.set()
        exchange.writer.close()

    origin.script = script
    for _ in range(20):
        gone.clear()
        before = len(origin.heads)
        fetching = asyncio.create_task(client.fetch(origin.request()))
        await until(lambda: len(origin.heads) > before)  # noqa: B023 - awaited at once
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching
        await asyncio.wait_for(gone.wait(), 30)
    assert client.running == 0


async def test_no_descriptor_is_left_behind(origin: RawOrigin, names: Loopback) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        await exchange.until_gone()
        exchange.writer.close()

    origin.script = script
    descriptors = Path("/proc/self/fd")
    if not descriptors.exists():
        pytest.skip("no /proc")
    counts = []
    for _ in range(3):
        upstream = CurlUpstream(UpstreamSection(), names, metrics=Metrics())
        responses = [await upstream.fetch(origin.request()) for _ in range(20)]
        for response in responses[::2]:
            await response.aclose()
        await upstream.aclose()
        with pytest.raises(UpstreamError):
            await content(responses[1])
        await until(lambda: not origin.open)
        counts.append(len(list(descriptors.iterdir())))
    assert counts[0] == counts[2]


@pytest.mark.parametrize(
    ("method", "retry", "expected"), [("GET", True, 2), ("GET", False, 1), ("POST", True, 1)]
)
async def test_a_silent_close_of_a_fresh_connection_is_retried_once_if_idempotent(
    client: CurlUpstream, origin: RawOrigin, method: str, retry: bool, expected: int
) -> None:
    origin.says(b"", then="close")
    with pytest.raises(UpstreamError) as caught:
        await client.fetch(origin.request(method, retry=retry))
    assert (caught.value.error, caught.value.sent) == (ProxyError.CONNECTION_TERMINATED, True)
    assert len(origin.heads) == expected


@pytest.mark.parametrize(("method", "seen"), [("GET", 3), ("POST", 2)])
async def test_a_kept_connection_closed_under_a_request_is_retried_only_if_idempotent(
    client: CurlUpstream, origin: RawOrigin, method: str, seen: int
) -> None:
    async def script(exchange: Exchange) -> None:
        if len(origin.heads) == 2:
            exchange.writer.close()
        else:
            await exchange.send(OK)

    origin.script = script
    await content(await client.fetch(origin.request()))
    if method == "GET":
        assert await content(await client.fetch(origin.request())) == b"hello"
    else:
        with pytest.raises(UpstreamError) as caught:
            await client.fetch(origin.request(method))
        assert (caught.value.error, caught.value.sent) == (ProxyError.CONNECTION_TERMINATED, True)
    assert len(origin.heads) == seen


async def test_a_refused_connection_has_sent_nothing(client: CurlUpstream, origin: RawOrigin) -> None:
    await origin.stop()
    with pytest.raises(UpstreamError) as caught:
        await client.fetch(origin.request())
    assert (caught.value.error, caught.value.sent) == (ProxyError.CONNECTION_REFUSED, False)


async def test_who_goes_away_under_a_kept_connection_has_refused_us(
    client: CurlUpstream, origin: RawOrigin
) -> None:
    """libcurl asks again over a new connection by itself: that is no trouble of our own making."""

    async def script(exchange: Exchange) -> None:
        if len(origin.heads) == 1:
            await exchange.send(OK)
        else:
            await origin.stop()

    origin.script = script
    await content(await client.fetch(origin.request()))
    with pytest.raises(UpstreamError) as caught:
        await client.fetch(origin.request())
    assert caught.value.error is ProxyError.CONNECTION_REFUSED
    assert len(origin.heads) == 2


async def test_a_dead_first_address_is_passed_over(
    client: CurlUpstream, origin: RawOrigin, names: Loopback
) -> None:
    origin.says(OK)
    names.addresses["two.example"] = (ip_address("::1"), ip_address("127.0.0.9"), ip_address("127.0.0.1"))
    where = Origin("http", "two.example", origin.port)
    assert await content(await client.fetch(origin.request(origin=where))) == b"hello"


async def test_a_private_address_is_refused_although_a_connection_to_it_is_kept(
    client: CurlUpstream, origin: RawOrigin
) -> None:
    origin.says(OK)
    await content(await client.fetch(origin.request()))
    for host in ("127.0.0.1", "name.example"):
        where = Origin("http", host, origin.port)
        with pytest.raises(UpstreamError) as caught:
            await client.fetch(origin.request(origin=where, reach=replace(LOCAL, private_addresses=False)))
        assert (caught.value.error, caught.value.sent) == (ProxyError.DESTINATION_IP_PROHIBITED, False)
    assert len(origin.heads) == 1


async def test_a_name_that_moves_is_followed_at_once(
    client: CurlUpstream, origin: RawOrigin, names: Loopback
) -> None:
    origin.says(OK)
    where = Origin("http", "moves.example", origin.port)
    await content(await client.fetch(origin.request(origin=where)))
    names.addresses["moves.example"] = (ip_address("127.0.0.2"),)
    with pytest.raises(UpstreamError) as caught:
        await client.fetch(origin.request(origin=where))
    assert caught.value.error is ProxyError.CONNECTION_REFUSED
    assert len(origin.heads) == 1


async def test_certificates_are_checked_against_the_given_roots(
    client: CurlUpstream, certificate: tuple[Path, ssl.SSLContext]
) -> None:
    path, context = certificate
    origin = RawOrigin()
    await origin.start(context)
    try:
        origin.says(OK)
        where = Origin("https", "localhost", origin.port)
        trusting = replace(LOCAL, ca_file=str(path), http2=True)
        assert await content(await client.fetch(origin.request(origin=where, reach=trusting))) == b"hello"
        assert await content(
            await client.fetch(origin.request(origin=where, reach=replace(LOCAL, verify_tls=False)))
        )
        for wrong in (
            origin.request(origin=where),
            origin.request(reach=trusting),  # the certificate is not for 127.0.0.1
        ):
            with pytest.raises(UpstreamError) as caught:
                await client.fetch(wrong)
            assert (caught.value.error, caught.value.sent) == (ProxyError.TLS_CERTIFICATE_ERROR, False)
    finally:
        await origin.stop()


async def test_a_full_pool_makes_requests_wait_their_turn(origin: RawOrigin, names: Loopback) -> None:
    origin.says(OK)
    settings = UpstreamSection(connections_per_host=2, connections=2)
    upstream = CurlUpstream(settings, names, metrics=Metrics())

    async def one() -> bytes:
        return await content(await upstream.fetch(origin.request()))

    assert await asyncio.gather(*(one() for _ in range(20))) == [b"hello"] * 20
    assert origin.connections <= 2
    await upstream.aclose()


async def test_waiting_for_a_free_connection_ends(origin: RawOrigin, names: Loopback) -> None:
    origin.script = lambda exchange: asyncio.Event().wait()
    settings = UpstreamSection(connections_per_host=1, connections=1)
    upstream = CurlUpstream(settings, names, metrics=Metrics())
    hanging = asyncio.create_task(upstream.fetch(origin.request(reach=replace(LOCAL, head_timeout=30))))
    await until(lambda: bool(origin.heads))
    with pytest.raises(UpstreamError) as caught:
        await upstream.fetch(origin.request(reach=replace(LOCAL, connect_timeout=0.1, head_timeout=0.1)))
    assert not caught.value.sent
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    await upstream.aclose()


async def test_http2_is_negotiated_and_requests_share_a_connection(
    client: CurlUpstream, certificate: tuple[Path, ssl.SSLContext]
) -> None:
    path, context = certificate
    context.set_alpn_protocols(["h2"])
    seen: list[list[tuple[bytes, bytes]]] = []
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        peer = jh2.connection.H2Connection(jh2.config.H2Configuration(client_side=False))
        peer.initiate_connection()
        writer.write(peer.data_to_send())
        while data := await reader.read(65536):
            for event in peer.receive_data(data):
                if isinstance(event, jh2.events.RequestReceived):
                    seen.append([(bytes(name), bytes(value)) for name, value in event.headers])
                    length = b"6" if b"/short" in dict(seen[-1])[b":path"] else b"5"
                    peer.send_headers(event.stream_id, [(":status", "200"), ("content-length", length)])
                    peer.send_data(event.stream_id, b"hello", end_stream=True)
            writer.write(peer.data_to_send())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    where = Origin("https", "localhost", server.sockets[0].getsockname()[1])
    request = UpstreamRequest(
        "GET", where, "/a/../b?%zz", reach=replace(LOCAL, ca_file=str(path), http2=True)
    )

    async def one() -> tuple[str, bytes]:
        response = await client.fetch(request)
        return response.version, await content(response)

    assert await asyncio.gather(*(one() for _ in range(10))) == [("2", b"hello")] * 10
    assert await one() == ("2", b"hello")
    assert connections == 1
    assert dict(seen[0])[b":path"] == b"/a/../b?%zz"
    assert {name for name, _ in seen[0]} == {b":method", b":path", b":scheme", b":authority"}
    with pytest.raises(UpstreamError):
        await content(await client.fetch(replace(request, target="/short")))
    await client.aclose()
    server.close()
