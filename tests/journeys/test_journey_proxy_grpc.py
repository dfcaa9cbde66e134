"""gRPC through the proxy to a host that is answered here: content both ways at once, and trailers."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from pathlib import Path

from stands.authority import Authority, trusting
from stands.http2_client import Http2Client, asking, data, headers
from stands.http2_server import Asked, Http2Server
from stands.node import Node

from edgeproxy.proxy.authority import keep, make


async def echo(asked: Asked) -> None:
    """Says each piece of content again."""
    await asked.head(200, ("content-type", "application/grpc"))
    async for piece in asked.content():
        await asked.send(piece[::-1])
    await asked.end(("grpc-status", "0"))


async def through(node: Node, authority: str, context: ssl.SSLContext) -> Http2Client:
    """A connection of HTTP/2 to `authority`, asked for with CONNECT."""
    reader, writer = await asyncio.open_connection(*node.http, limit=1 << 20)
    writer.write(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    await writer.start_tls(context, server_hostname="localhost")
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
    client = Http2Client(reader, writer)
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000"))
    return client


async def test_both_directions_and_the_trailers_are_there(
    start_node: Callable[..., Node], tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    issued = authority.issue("grpc")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(issued.certificate, issued.key)
    context.set_alpn_protocols(["h2"])
    server = Http2Server(echo, context)
    await server.start()
    keep(tmp_path / "ca", make(time.time()))
    port = server.port
    site = {"name": "grpc", "mount": "/grpc", "origin": f"https://localhost:{port}"}
    node = await asyncio.to_thread(
        start_node,
        [{**site, "private_addresses": True, "ca_file": authority.file}],
        {"proxy": {"ports": [port], "ca": tmp_path / "ca"}},
    )
    name = f"localhost:{port}"
    client = await through(node, name, trusting(tmp_path / "ca" / "ca.pem", alpn=["h2"]))
    fields = (("te", "trailers"), ("content-type", "application/grpc"))
    client.send(
        headers(1, asking("/a.B/C", *fields, method="POST", authority=name, scheme="https"), ended=False)
    )
    said = b""
    for number in range(5):
        client.send(data(1, b"word %d." % number))
        said += (b"word %d." % number)[::-1]
        await client.until(lambda c: c.answers[1].body == said if 1 in c.answers else False)  # noqa: B023
    client.send(data(1, ended=True))
    answer = await client.answer(1)
    assert (answer.status, answer.reset, answer.trailers) == (200, None, [("grpc-status", "0")])
    assert server.asked[0].get("te") == "trailers"
    assert server.asked[0].get(":authority") == name
    client.close()
    await server.stop()
