"""Two connections passed on to each other."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from edgeproxy.proxy import tunnel as module
from edgeproxy.proxy.tunnel import Tunnel

MIB = 1 << 20


def pair() -> tuple[socket.socket, socket.socket]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1)
        one = socket.create_connection(listening.getsockname())
        other, _ = listening.accept()
    for each in (one, other):
        each.setblocking(False)
    return one, other


@dataclass
class Stand:
    """`client` and `server` are the far ends."""

    client: socket.socket
    server: socket.socket
    tunnel: Tunnel
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, one: socket.socket, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(one, data)

    async def read(self, one: socket.socket, size: int = 1 << 40) -> bytes:
        """Up to `size` bytes, to the end."""
        data = bytearray()
        while len(data) < size:
            piece = await asyncio.get_running_loop().sock_recv(one, min(1 << 20, size - len(data)))
            if not piece:
                break
            data += piece
        return bytes(data)


@pytest.fixture(params=["in the kernel", "small reads"])
async def stand(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stand]:
    if request.param == "in the kernel" and not module._DISCARDS:
        pytest.skip("this system cannot take bytes off a socket without copying them")
    monkeypatch.setattr(module, "_DISCARDS", request.param == "in the kernel")
    (client, near), (server, far) = pair(), pair()
    closed = asyncio.Event()
    tunnel = Tunnel(near, far, lambda _: closed.set(), b"")
    one = Stand(client, server, tunnel, closed)
    tunnel.start()
    yield one
    tunnel.abort("the test is over")
    client.close()
    server.close()


async def test_bytes_go_both_ways_and_are_counted(stand: Stand) -> None:
    up, down = random.Random(1).randbytes(20 * MIB + 7), random.Random(2).randbytes(11 * MIB + 3)
    _, _, got_up, got_down = await asyncio.gather(
        stand.send(stand.client, up),
        stand.send(stand.server, down),
        stand.read(stand.server, len(up)),
        stand.read(stand.client, len(down)),
    )
    assert got_up == up
    assert got_down == down
    assert (stand.tunnel.up, stand.tunnel.down) == (len(up), len(down))


async def test_small_messages_by_turns(stand: Stand) -> None:
    for number in range(50):
        await stand.send(stand.client, b"ask %d" % number)
        assert await stand.read(stand.server, len(b"ask %d" % number)) == b"ask %d" % number
        await stand.send(stand.server, b"x" * (number * 3000 + 1))
        assert len(await stand.read(stand.client, number * 3000 + 1)) == number * 3000 + 1


async def test_one_side_may_end_while_the_other_goes_on(stand: Stand) -> None:
    await stand.send(stand.client, b"the question")
    stand.client.shutdown(socket.SHUT_WR)
    assert await stand.read(stand.server) == b"the question"
    assert not stand.closed.is_set()
    sending = asyncio.ensure_future(stand.send(stand.server, b"a" * (3 * MIB)))
    assert len(await stand.read(stand.client, 3 * MIB)) == 3 * MIB
    await sending
    stand.server.shutdown(socket.SHUT_WR)
    assert await stand.read(stand.client) == b""
    await asyncio.wait_for(stand.closed.wait(), 10)
    assert stand.tunnel.why == ""


async def test_a_reset_is_passed_on_as_a_reset(stand: Stand) -> None:
    await stand.send(stand.client, b"x")
    assert await stand.read(stand.server, 1) == b"x"
    stand.server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, module._RESET)
    stand.server.close()
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(stand.read(stand.client), 10)
    await asyncio.wait_for(stand.closed.wait(), 10)
    assert stand.tunnel.why


async def test_who_does_not_read_holds_the_other_up(stand: Stand) -> None:
    """What is under way is bounded by what kernels hold; the rest waits with its sender."""
    sending = asyncio.ensure_future(stand.send(stand.server, b"a" * (64 * MIB)))
    moved = -1
    while moved != stand.tunnel.down:
        moved = stand.tunnel.down
        await asyncio.sleep(0.2)
    assert not sending.done()
    assert moved < 32 * MIB
    assert await stand.read(stand.client, 64 * MIB) == b"a" * (64 * MIB)
    await sending


async def test_what_the_client_had_sent_already_comes_first() -> None:
    (client, near), (server, far) = pair(), pair()
    closed = asyncio.Event()
    tunnel = Tunnel(near, far, lambda _: closed.set(), b"early ")
    tunnel.start()
    await asyncio.get_running_loop().sock_sendall(client, b"late")
    data = b""
    while len(data) < 10:
        data += await asyncio.get_running_loop().sock_recv(server, 100)
    assert data == b"early late"
    tunnel.abort("over")
    tunnel.abort("twice")
    assert closed.is_set()
    client.close()
    server.close()


async def test_a_tunnel_whose_sink_does_not_read_keeps_next_to_nothing(stand: Stand) -> None:
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        zeros = bytes(MIB)
        sending = asyncio.ensure_future(stand.send(stand.server, zeros * 16))
        moved = -1
        while moved != stand.tunnel.down:
            moved = stand.tunnel.down
            await asyncio.sleep(0.2)
        held = tracemalloc.get_traced_memory()[0] - before - 17 * MIB  # what this test itself sends
    finally:
        tracemalloc.stop()
    assert not sending.done()
    assert held < 2 * module.READ_BYTES
    sending.cancel()


async def test_an_urgent_byte_arrives_in_its_place(stand: Stand) -> None:
    """Telnet and FTP send one; taken out of the stream, it would shift what is counted."""
    body = random.Random(3).randbytes(3 * MIB)
    reading = asyncio.ensure_future(stand.read(stand.client, len(body) + 2))
    await stand.send(stand.server, body[:MIB])
    stand.server.send(b"!", socket.MSG_OOB)
    await stand.send(stand.server, body[MIB:])
    stand.server.send(b"?", socket.MSG_OOB)
    assert await asyncio.wait_for(reading, 10) == body[:MIB] + b"!" + body[MIB:] + b"?"


async def test_a_tunnel_opens_nothing_but_its_two_sockets(stand: Stand) -> None:
    before = len(os.listdir("/proc/self/fd"))
    sending = asyncio.ensure_future(stand.send(stand.client, b"a" * (8 * MIB)))
    assert len(await stand.read(stand.server, 4 * MIB)) == 4 * MIB
    assert len(os.listdir("/proc/self/fd")) == before
    assert len(await stand.read(stand.server, 4 * MIB)) == 4 * MIB
    await sending
