"""CONNECT through another proxy."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from typing import Any

import pytest
from stands.egress import EgressStand

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.proxy.dialing import Dialing
from edgeproxy.upstream.address_guard import Address
from edgeproxy.upstream.egress import Egress, EgressProxy, egress


async def knows_nobody(host: str) -> Sequence[Address]:
    if host == "127.0.0.1":
        return [ipaddress.ip_address(host)]
    if host == "inside.example":
        return [ipaddress.ip_address("10.0.0.1")]
    raise UpstreamError(ProxyError.DESTINATION_NOT_FOUND, f"{host}: no such name", sent=False)


def dialing(stand: EgressStand, user: str = "", **options: Any) -> Dialing:
    proxy = EgressProxy("127.0.0.1", stand.port, user)
    return Dialing(knows_nobody, **{"connect_seconds": 5.0, "egress": Egress(proxy), **options})


async def test_a_name_that_only_the_proxy_knows_is_reached_through_it() -> None:
    with EgressStand() as stand, socket.create_server(("127.0.0.1", 0)) as far:
        port = far.getsockname()[1]
        connected = await dialing(stand).dial("far.example", port)
        accepted, _ = far.accept()
        with connected, accepted:
            accepted.sendall(b"hello")
            assert await asyncio.get_running_loop().sock_recv(connected, 100) == b"hello"
            assert connected.getblocking() is False
    assert stand.heads == [f"CONNECT far.example:{port} HTTP/1.1\r\nHost: far.example:{port}\r\n\r\n"]


async def test_a_proxy_that_asks_who_we_are_is_told() -> None:
    with EgressStand("ada:love") as stand, socket.create_server(("127.0.0.1", 0)) as far:
        place = ("far.example", far.getsockname()[1])
        (await dialing(stand, "ada:love").dial(*place)).close()
        with pytest.raises(
            UpstreamError, match=r"far.example:.*: the proxy 127.*answers 407 .upstream.proxy"
        ):
            await dialing(stand).dial(*place)


@pytest.mark.parametrize(
    ("host", "error"),
    [
        ("inside.example", ProxyError.DESTINATION_IP_PROHIBITED),
        ("10.0.0.1", ProxyError.DESTINATION_NOT_FOUND),  # what the stand-in of a resolver says of addresses
    ],
)
async def test_what_is_not_permitted_is_not_asked_of_a_proxy_either(host: str, error: ProxyError) -> None:
    with EgressStand() as stand:
        with pytest.raises(UpstreamError) as caught:
            await dialing(stand).dial(host, 443)
        assert caught.value.error is error
        assert stand.heads == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 403 No\r\n\r\n", "answers 403"),
        (b"SSH-2.0-x\r\n\r\n", "does not speak HTTP/1.1"),
        (b"\x16\x03\x01", "does not speak HTTP/1.1"),
        (b"", "ends the connection"),
    ],
)
async def test_what_a_proxy_says_instead_is_told(answer: bytes, said: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    found, _ = egress(f"http://127.0.0.1:{port}", (), {}, ())
    with pytest.raises(UpstreamError, match=said) as caught:
        await Dialing(knows_nobody, 5.0, egress=found).dial("far.example", 443)
    assert (caught.value.error, caught.value.sent) == (ProxyError.CONNECTION_REFUSED, False)
    server.close()
