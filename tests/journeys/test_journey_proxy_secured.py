"""Clients that speak TLS to the proxy, over HTTP/1.1 and HTTP/2: the same rules, tunnels and named hosts."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pycurl
import pytest
from stands.authority import Authority
from stands.http2_client import Http2Client, data, headers, reset
from stands.node import Node, eventually
from stands.origin import Origin
from stands.tls_front import TlsFront

from edgeproxy.proxy.authority import keep, make

StartNode = Callable[..., Node]
LISTEN = {"http": ["127.0.0.1:0"], "https": ["127.0.0.1:0"]}
CONNECT_ERROR = 10
PROXIES = {"http/1.1": 2, "h2": 3}  # CURLPROXY_HTTPS and CURLPROXY_HTTPS2, which pycurl does not name
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def trusted(tmp_path: Path) -> Path:
    keep(tmp_path / "ca", make(time.time()))
    return tmp_path / "ca"


@pytest.fixture
def fronts(authority: Authority, origin: Origin) -> Iterator[list[TlsFront]]:
    """The origin over TLS, twice: as a host that a site knows, and as another."""
    found = [TlsFront(origin.server.port, authority.issue(f"front{number}")) for number in range(2)]
    yield found
    for front in found:
        front.stop()


@pytest.fixture
def serve(
    start_node: StartNode, authority: Authority, trusted: Path, fronts: list[TlsFront]
) -> Callable[..., Node]:
    def start(*ports: int, workers: int = 1, **options: Any) -> Node:
        site = {"name": "known", "mount": "/known", "origin": f"https://localhost:{fronts[0].port}"}
        issued = authority.issue("node")
        proxy = {"private_addresses": True, "ports": [front.port for front in fronts] + list(ports)}
        return start_node(
            [{**site, "private_addresses": True, "ca_file": authority.file}],
            {
                "listen": LISTEN,
                "tls": {"certificate": issued.certificate, "key": issued.key},
                "proxy": {**proxy, "ca": trusted, **options},
                "node": {"workers": workers},
            },
        )

    return start


def through(node: Node, kind: str, url: str, roots: Path, authority: Authority, *, user: str = "") -> Any:
    """Status of the proxy's answer to CONNECT, of the answer behind it, its content, and what failed."""
    got, failed = io.BytesIO(), ""
    easy = pycurl.Curl()
    easy.setopt(pycurl.URL, url)
    easy.setopt(pycurl.PROXY, f"https://127.0.0.1:{node.https[1]}")
    easy.setopt(pycurl.PROXYTYPE, PROXIES[kind])
    easy.setopt(pycurl.PROXY_CAINFO, str(authority.file))
    easy.setopt(pycurl.HTTPPROXYTUNNEL, 1)
    easy.setopt(pycurl.CAINFO, str(roots))
    easy.setopt(pycurl.TIMEOUT, 60)
    easy.setopt(pycurl.WRITEDATA, got)
    easy.setopt(pycurl.VERBOSE, 1)
    said: list[bytes] = []
    easy.setopt(pycurl.DEBUGFUNCTION, lambda kind, line: said.append(line) if kind == 0 else None)
    if user:
        easy.setopt(pycurl.PROXYUSERPWD, user)
    try:
        easy.perform()
    except pycurl.error as error:
        failed = str(error)
    found = re.findall(
        rb"CONNECT Response Status (\d+)", b"".join(said)
    )  # over HTTP/2 it is told nowhere else
    connected = easy.getinfo(pycurl.HTTP_CONNECTCODE) or int(found[-1])
    status = easy.getinfo(pycurl.RESPONSE_CODE)
    easy.close()
    return connected, status, got.getvalue(), failed


def outcomes(node: Node) -> list[str]:
    return [line["cache"] for line in node.access_log()]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("kind", PROXIES)
def test_hosts_of_sites_are_answered_and_others_are_passed_on(
    serve: Callable[..., Node],
    authority: Authority,
    trusted: Path,
    fronts: list[TlsFront],
    origin: Origin,
    kind: str,
    workers: int,
) -> None:
    body = origin.put("/a", 5_000_000)
    node = serve(workers=workers)
    other = f"https://localhost:{fronts[1].port}/a"
    assert through(node, kind, other, authority.file, authority) == (200, 200, body, "")
    assert eventually(lambda: outcomes(node) == ["tunnel"])
    known = f"https://localhost:{fronts[0].port}/a"
    for _ in range(2):
        assert through(node, kind, known, trusted / "ca.pem", authority) == (200, 200, body, "")
    assert eventually(lambda: outcomes(node)[1:] == ["miss", "hit"])
    assert eventually(lambda: node.metric("tunnels") == 0)
    assert eventually(lambda: node.metric("connections") == 0)


@pytest.mark.parametrize("kind", PROXIES)
def test_rules_hold_and_credentials_are_asked_for(
    serve: Callable[..., Node], authority: Authority, fronts: list[TlsFront], origin: Origin, kind: str
) -> None:
    body = origin.put("/a", 10)
    node = serve(users=["ada:lovelace"], refused_hosts=["127.0.0.1"])
    url = f"https://localhost:{fronts[1].port}/a"
    assert through(node, kind, url, authority.file, authority)[0] == 407
    assert through(node, kind, url, authority.file, authority, user="ada:byron")[0] == 407
    assert through(node, kind, url, authority.file, authority, user="ada:lovelace") == (200, 200, body, "")
    refused = url.replace("localhost", "127.0.0.1")
    assert through(node, kind, refused, authority.file, authority, user="ada:lovelace")[0] == 403
    assert node.metric("proxy_refusals_total", rule="users") == 2
    assert node.metric("proxy_refusals_total", rule="refused_hosts") == 1


def test_a_server_that_breaks_off_is_not_taken_for_one_that_ended(
    serve: Callable[..., Node], authority: Authority, fronts: list[TlsFront]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        node = serve(listening.getsockname()[1])
        threading.Thread(target=_break_off, args=(listening,)).start()
        status, _, got, failed = through(
            node, "http/1.1", f"http://localhost:{listening.getsockname()[1]}/", authority.file, authority
        )
        assert (status, got) == (200, b"half")
        assert failed


def _break_off(listening: socket.socket) -> None:
    accepted, _ = listening.accept()
    accepted.recv(1 << 16)
    accepted.sendall(b"HTTP/1.1 200 OK\r\n\r\nhalf")
    time.sleep(0.1)
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    accepted.close()


Peer = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Far:
    """A server that hands over who comes."""

    def __init__(self) -> None:
        self._came: asyncio.Queue[Peer] = asyncio.Queue()

    async def __aenter__(self) -> Far:
        self._server = await asyncio.start_server(lambda *peer: self._came.put(peer), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def reached(self, client: Http2Client, stream: int) -> Peer:
        """Who comes when `client` asks for it on `stream`."""
        pairs = [(":method", "CONNECT"), (":authority", f"127.0.0.1:{self.port}")]
        client.send(headers(stream, pairs, ended=False))
        peer = await asyncio.wait_for(self._came.get(), 20)
        await client.until(lambda one: one.answers.get(stream) and one.answers[stream].status == 200)
        return peer


async def test_streams_end_in_each_direction_by_itself(serve: Callable[..., Node]) -> None:
    async with Far() as far:
        node = serve(far.port)
        client = await Http2Client.connect(node.http)
        for stream in (1, 3):
            reader, writer = await far.reached(client, stream)
            client.send(*[data(stream, b"up" * 5_000)] * 10, data(stream, ended=True))
            assert await asyncio.wait_for(reader.read(-1), 20) == b"up" * 50_000
            writer.write(b"down" * 50_000)  # after the client's end
            writer.close()
            answer = await client.answer(stream)
            assert (answer.body, answer.reset) == (b"down" * 50_000, None)
        reader, writer = await far.reached(client, 5)
        writer.write(b"first")
        writer.write_eof()
        assert (await client.answer(5)).body == b"first"
        client.send(data(5, b"still there"), data(5, ended=True))
        assert await asyncio.wait_for(reader.read(-1), 20) == b"still there"
        writer.close()
        assert await asyncio.to_thread(eventually, lambda: node.metric("tunnels") == 0)
        await client.gone()
    assert eventually(lambda: outcomes(node) == ["tunnel"] * 3)
    assert all(line["detail"].endswith("; ended") for line in node.access_log())


async def test_a_reset_of_one_side_is_one_for_the_other(serve: Callable[..., Node]) -> None:
    async with Far() as far:
        node = serve(far.port)
        client = await Http2Client.connect(node.http)
        reader, writer = await far.reached(client, 1)
        client.send(data(1, b"hello"), reset(1))
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(-1), 20)
        writer.close()
        reader, writer = await far.reached(client, 3)
        writer.write(b"half")
        assert await client.until(lambda one: one.answers[3].body == b"half") is None
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        writer.close()
        answer = await client.answer(3)
        assert (answer.ended, answer.reset) == (False, CONNECT_ERROR)
        reader, writer = await far.reached(client, 5)
        await client.gone()  # the whole connection
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(-1), 20) == b""
        writer.close()
        assert await asyncio.to_thread(eventually, lambda: node.metric("tunnels") == 0)
        assert node.metric("task_errors_total") == 0


async def test_neither_direction_runs_ahead_of_who_does_not_read(serve: Callable[..., Node]) -> None:
    async with Far() as far:
        node = serve(far.port)
        client = await Http2Client.connect(node.http, generous=False)
        _, writer = await far.reached(client, 1)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 64 << 20:
                writer.write(bytes(1 << 20))
                sent += 1 << 20
                await asyncio.wait_for(writer.drain(), 2)
        assert sent < 32 << 20  # what the kernel holds, and no more
        await client.until(lambda one: len(one.answers[1].body) == 65535)
        reader, writer = await far.reached(client, 3)
        writer.transport.pause_reading()
        credit = 65535 + client.windows.get(3, 0)
        pushed = 0
        while pushed < 8 << 20:
            await client.ponged(b"%08d" % (pushed % 10**8))
            room = 256 * 1024 + client.windows.get(3, 0) - pushed
            if room <= 0:
                break
            client.send(*(data(3, bytes(min(16384, room - at))) for at in range(0, room, 16384)))
            pushed += room
        assert credit <= pushed < 8 << 20
        del reader
        await client.gone()


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([(":authority", "localhost:22")], 403),
        ([(":authority", "nobody.invalid:443")], 502),
        ([(":authority", "localhost")], 400),
        ([(":authority", "localhost:443"), ("content-length", "5")], 400),
    ],
)
async def test_what_is_refused_is_told_on_the_stream(
    serve: Callable[..., Node], fields: list[tuple[str, str]], status: int
) -> None:
    node = serve(443)
    client = await Http2Client.connect(node.http)
    client.send(headers(1, [(":method", "CONNECT"), *fields], ended=False))
    answer = await client.answer(1)
    assert answer.status == status
    assert answer.body.count(b"\n") == 1
    await client.gone()


async def test_a_protocol_over_connect_is_malformed_where_none_was_offered(
    serve: Callable[..., Node],
) -> None:
    node = serve(443)
    client = await Http2Client.connect(node.http)
    pairs = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/")]
    client.send(headers(1, [*pairs, (":authority", "localhost:443")], ended=False))
    assert (await client.answer(1)).reset == 1
    assert 8 not in client.settings
    await client.gone()
