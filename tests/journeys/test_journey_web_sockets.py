"""Web sockets of clients that go through the proxy, to a host which is answered here."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from stands.authority import Authority
from stands.node import Node, eventually

from edgeproxy.proxy.authority import keep, make

StartNode = Callable[..., Node]


class Talker:
    """Echoes what it is told, and says something first; refuses at /refused, breaks off at /broken."""

    def __init__(self, issued: Any) -> None:
        self.seen: list[web.Request] = []
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(issued.certificate, issued.key)
        self.closed: list[int | None] = []
        application = web.Application()
        application.router.add_get("/talk", self._talk)
        application.router.add_get("/refused", self._refuse)
        application.router.add_get("/broken", self._break)
        self._runner = web.AppRunner(application)

    async def start(self) -> int:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._context)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _talk(self, request: web.Request) -> web.WebSocketResponse:
        self.seen.append(request)
        response = web.WebSocketResponse(protocols=("chat",), max_msg_size=0)
        await response.prepare(request)
        await response.send_str("hello")
        async for message in response:
            await response.send_bytes(message.data)
        self.closed.append(response.close_code)
        return response

    async def _refuse(self, request: web.Request) -> web.Response:
        return web.Response(status=401, text="who are you?\n", headers={"WWW-Authenticate": "Basic"})

    async def _break(self, request: web.Request) -> web.WebSocketResponse:
        response = web.WebSocketResponse()
        await response.prepare(request)
        await response.send_str("hello")
        assert request.transport is not None
        request.transport.abort()
        return response


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def talker(authority: Authority) -> AsyncIterator[tuple[Talker, int]]:
    running = Talker(authority.issue("talker"))
    yield running, await running.start()
    await running.stop()


@pytest.fixture
def serve(start_node: StartNode, authority: Authority, talker: Any, tmp_path: Path) -> Callable[..., Node]:
    def start(workers: int = 1, **options: Any) -> Node:
        keep(tmp_path / "ca", make(time.time()))
        url = f"https://localhost:{talker[1]}"
        site = {"name": "talker", "mount": "/talker", "origin": url, "ca_file": authority.file}
        proxy = {"ports": [talker[1]], "ca": tmp_path / "ca", **options}
        node = {"node": {"workers": workers}, "proxy": proxy}
        return start_node([{**site, "private_addresses": True}], node)

    return start


def trusting(tmp_path: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(tmp_path / "ca" / "ca.pem"))


@pytest.mark.parametrize("workers", [1, 2])
async def test_they_pass_through_with_every_byte_in_both_directions(
    serve: Callable[..., Node], talker: Any, tmp_path: Path, workers: int
) -> None:
    node = await asyncio.to_thread(serve, workers)
    async with aiohttp.ClientSession() as session:
        place = {"proxy": node.url(""), "ssl": trusting(tmp_path)}
        url = f"https://localhost:{talker[1]}/talk?x=1"
        fields = {"Authorization": "Bearer mine"}
        async with session.ws_connect(
            url, protocols=["chat"], headers=fields, max_msg_size=0, **place
        ) as client:
            assert client.protocol == "chat"
            assert (await client.receive(20)).data == "hello"
            for size in (1, 70_000, 3_000_000):
                await client.send_bytes(bytes(size))
                assert len((await client.receive(20)).data) == size
        async with session.get(url.replace("/talk", "/refused"), **place) as plain:
            assert plain.status == 401  # the same host goes on being answered
    (request,) = talker[0].seen
    assert request.path_qs == "/talk?x=1"
    assert request.headers["Authorization"] == "Bearer mine"
    assert "edgeproxy" in request.headers["Via"]
    assert await asyncio.to_thread(eventually, lambda: node.metric("tunnels_total", end="ended") == 1)
    assert talker[0].closed == [1000]

    def tunnels() -> list[dict[str, Any]]:
        return [line for line in node.access_log() if line["cache"] == "tunnel"]

    assert await asyncio.to_thread(eventually, tunnels)
    (line,) = tunnels()
    assert (line["status"], line["method"]) == (101, "GET")
    assert "/talk?x=1" in line["url"]
    assert line["bytes"] > 3_000_000


async def test_what_the_host_says_instead_is_the_answer(
    serve: Callable[..., Node], talker: Any, tmp_path: Path
) -> None:
    node = await asyncio.to_thread(serve)
    async with aiohttp.ClientSession() as session:
        place = {"proxy": node.url(""), "ssl": trusting(tmp_path)}
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(f"https://localhost:{talker[1]}/refused", **place)
        assert refused.value.status == 401
        assert refused.value.headers is not None
        assert refused.value.headers["WWW-Authenticate"] == "Basic"
        client = await session.ws_connect(f"https://localhost:{talker[1]}/broken", **place)
        assert (await client.receive(20)).data == "hello"
        assert (await client.receive(20)).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
    assert await asyncio.to_thread(eventually, lambda: node.metric("tunnels") == 0)


async def test_they_can_be_refused_and_silence_ends_them(
    serve: Callable[..., Node], talker: Any, tmp_path: Path
) -> None:
    node = await asyncio.to_thread(serve, idle_timeout="1s", web_sockets=False)
    url = f"https://localhost:{talker[1]}/talk"
    async with aiohttp.ClientSession() as session:
        place = {"proxy": node.url(""), "ssl": trusting(tmp_path)}
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(url, **place)
        assert refused.value.status == 403
        assert node.metric("proxy_refusals_total", rule="web_sockets") == 1
        await asyncio.to_thread(node.reload, {"proxy": {"web_sockets": True}})
        client = await session.ws_connect(url, **place)
        assert (await client.receive(20)).data == "hello"
        message = await client.receive(20)
        assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
    assert talker[0].seen


async def test_a_host_that_is_not_trusted_or_not_there_is_a_refusal(
    start_node: StartNode, talker: Any, tmp_path: Path
) -> None:
    keep(tmp_path / "ca", make(time.time()))
    site = {"name": "t", "mount": "/t", "origin": f"https://localhost:{talker[1]}", "private_addresses": True}
    proxy = {"ports": [talker[1]], "ca": tmp_path / "ca"}
    node = await asyncio.to_thread(start_node, [site], {"proxy": proxy})
    async with aiohttp.ClientSession() as session:
        place = {"proxy": node.url(""), "ssl": trusting(tmp_path)}
        for said in ("tls_certificate_error", "connection_refused"):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(f"https://localhost:{talker[1]}/talk", **place)
            assert refused.value.status == 502
            assert refused.value.headers is not None
            assert said in refused.value.headers["Proxy-Status"]
            await talker[0].stop()
