from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from serving_stand import Serve, echo, until

from edgeproxy.config import Limits
from edgeproxy.errors import StartError
from edgeproxy.message import BytesBody, Request, Response

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /z HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


async def test_addresses_are_bound_in_order_with_the_ports_the_kernel_chose(
    serve: Serve, tmp_path: Any
) -> None:
    path = f"unix:{tmp_path}/s"
    served = await serve(http=["127.0.0.1:0", path, "localhost:0"])
    assert served.bound[1] == path
    assert not served.bound[0].endswith(":0")
    reader, writer = await asyncio.open_unix_connection(path[5:])
    writer.write(LAST)
    assert b"200 OK" in await reader.read()
    writer.close()
    await served.listeners.drain()
    assert not (tmp_path / "s").exists()


async def test_a_port_in_use_is_named(serve: Serve, tmp_path: Any) -> None:
    served = await serve(http=["127.0.0.1:0", f"unix:{tmp_path}/s"])
    for address in served.bound:
        with pytest.raises(StartError, match=address):
            await serve(http=[address])


async def test_a_unix_socket_left_behind_is_replaced(serve: Serve, tmp_path: Any) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(f"{tmp_path}/s")
    left.close()
    served = await serve(http=[f"unix:{tmp_path}/s"])
    assert served.bound == [f"unix:{tmp_path}/s"]


async def test_draining_closes_idle_connections_and_finishes_running_answers(serve: Serve) -> None:
    release, entered = asyncio.Event(), asyncio.Event()

    async def handler(request: Request) -> Response:
        entered.set()
        await release.wait()
        return Response(200, body=BytesBody(b"done"))

    served = await serve(handler, limits=Limits(drain_timeout=5))
    idle, _ = await served.connect()
    busy, writer = await served.connect()
    writer.write(GET)
    await entered.wait()
    draining = served.tasks.start(served.listeners.drain(), "drain")
    assert await idle.read() == b""
    with pytest.raises(ConnectionRefusedError):
        await served.connect()
    release.set()
    answer = await busy.read()
    assert answer.endswith(b"done")
    assert b"Connection: close" in answer
    await draining
    assert served.listeners.connections == 0


async def test_draining_breaks_off_what_takes_too_long(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        await asyncio.Event().wait()
        return Response(200)

    served = await serve(handler, limits=Limits(drain_timeout=0.05))
    reader, writer = await served.connect()
    writer.write(GET)
    await until(lambda: len(served.tasks) == 1)
    await served.listeners.drain()
    with pytest.raises(ConnectionResetError):
        await reader.read()
    assert served.listeners.connections == 0


async def test_at_the_connection_limit_idle_ones_make_room_and_busy_ones_do_not(serve: Serve) -> None:
    release = asyncio.Event()

    async def handler(request: Request) -> Response:
        await release.wait()
        return Response(200)

    served = await serve(handler, limits=Limits(connections=2))
    pairs = [await served.connect() for _ in range(2)]
    await until(lambda: served.listeners.connections == 2)
    for _, writer in pairs:
        writer.write(GET)
    await until(lambda: len(served.tasks) == 2)
    reader, _ = await served.connect()
    assert await reader.read() == b""
    assert served.metrics.value("connections_refused_total", "connections") == 1
    release.set()
    for reader, _ in pairs:
        await reader.readuntil(b"\r\n\r\n")
    served.listeners._door.look()
    reader, _ = await served.connect()
    assert await reader.read() == b""
    await until(lambda: served.listeners.connections == 0)
    assert b"200" in await served.say(LAST)


async def test_a_proxy_header_names_the_client_and_must_come(serve: Serve) -> None:
    served = await serve(echo, proxy_protocol=["127.0.0.1"])
    header = b"PROXY TCP4 192.0.2.7 192.0.2.1 5 6\r\n"
    assert (await served.say(header + GET + LAST)).count(b" 192.0.2.7|") == 2
    assert (await served.say(header[:9], header[9:] + LAST, gap=0.02)).count(b" 192.0.2.7|") == 1
    with pytest.raises(ConnectionResetError):
        await served.say(LAST)


async def test_forwarded_fields_are_believed_from_trusted_peers_only(serve: Serve) -> None:
    forged = LAST[:-2] + b"X-Forwarded-For: 203.0.113.9\r\n\r\n"
    assert b" 127.0.0.1|" in await (await serve(echo)).say(forged)
    assert b" 203.0.113.9|" in await (await serve(echo, trusted_clients=["127.0.0.1"])).say(forged)
