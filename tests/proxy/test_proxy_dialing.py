"""Connections to where clients want to go."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.proxy import dialing as module
from edgeproxy.proxy.dialing import Dialing
from edgeproxy.proxy.loops import Loops
from edgeproxy.upstream.address_guard import Address


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen(8)
        yield one


def dialing(*addresses: str, **options: Any) -> Dialing:
    async def resolve(host: str) -> Sequence[Address]:
        return [ipaddress.ip_address(text) for text in addresses]

    return Dialing(resolve, **{"connect_seconds": 5.0, "private": True, **options})


async def test_the_first_address_that_answers_is_taken(listening: socket.socket) -> None:
    port = listening.getsockname()[1]
    for addresses in (["127.0.0.1"], ["::1", "127.0.0.1"], ["127.0.0.2", "127.0.0.1"]):
        with await dialing(*addresses).dial("somewhere", port) as connected:
            assert connected.getpeername() == ("127.0.0.1", port)
            assert connected.getblocking() is False


async def test_an_address_that_is_silent_delays_and_does_not_hinder(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = module._connect

    async def slowly(address: Address, port: int, loops: Loops) -> socket.socket:
        if str(address) == "127.0.0.9":
            await asyncio.Event().wait()
        return await connect(address, port, loops)

    monkeypatch.setattr(module, "_connect", slowly)
    port = listening.getsockname()[1]
    with await dialing("127.0.0.9", "127.0.0.1").dial("somewhere", port) as connected:
        assert connected.getpeername() == ("127.0.0.1", port)
    with pytest.raises(UpstreamError) as late:
        await dialing("127.0.0.9", connect_seconds=0.05).dial("somewhere", port)
    assert late.value.error is ProxyError.CONNECTION_TIMEOUT


@pytest.mark.parametrize(
    ("address", "options", "error"),
    [
        ("127.0.0.1", {"private": False}, ProxyError.DESTINATION_IP_PROHIBITED),
        ("10.1.1.1", {"private": False}, ProxyError.DESTINATION_IP_PROHIBITED),
        ("169.254.169.254", {"private": False}, ProxyError.DESTINATION_IP_PROHIBITED),
        ("::ffff:127.0.0.1", {"private": False}, ProxyError.DESTINATION_IP_PROHIBITED),
        ("0.0.0.0", {}, ProxyError.DESTINATION_IP_PROHIBITED),
        ("127.0.0.1", {"loops": Loops(lambda: range(1, 65536))}, ProxyError.PROXY_LOOP_DETECTED),
        ("127.0.0.1", {}, ProxyError.CONNECTION_REFUSED),
    ],
)
async def test_where_nobody_may_go_and_where_nobody_is(
    listening: socket.socket, address: str, options: dict[str, Any], error: ProxyError
) -> None:
    port = listening.getsockname()[1]
    listening.close()
    with pytest.raises(UpstreamError) as refused:
        await dialing(address, **options).dial("somewhere", port)
    assert (refused.value.error, refused.value.sent) == (error, False)
    assert "somewhere" in str(refused.value)
