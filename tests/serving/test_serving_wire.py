"""A pair of sockets between a client's bytes and who takes them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from serving_stand import until

from edgeproxy.serving.wire import Carrier, Wire


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    made = Wire()
    made.far.setblocking(False)
    yield made
    made.close()
    made.far.close()


async def test_what_is_written_waits_for_who_takes_it(wire: Wire) -> None:
    loop, data = asyncio.get_running_loop(), bytes(range(256)) * 20_000
    writing = asyncio.ensure_future(wire.write(data))
    got = b""
    while len(got) < len(data):
        assert not writing.done() or len(data) - len(got) < 1 << 20
        got += await loop.sock_recv(wire.far, 1 << 16)
    await writing
    assert got == data
    await loop.sock_sendall(wire.far, b"back")
    assert await wire.read() == b"back"
    wire.far.close()
    assert await wire.read() == b""
    with pytest.raises(BrokenPipeError):
        await wire.write(b"x")


async def test_closed_while_both_directions_wait_it_leaves_nothing_behind(wire: Wire) -> None:
    tasks = [asyncio.ensure_future(wire.read()), asyncio.ensure_future(wire.write(bytes(8 << 20)))]
    await asyncio.sleep(0)
    wire.close()
    for task in tasks:
        task.cancel()
    assert all(
        isinstance(one, asyncio.CancelledError)
        for one in await asyncio.gather(*tasks, return_exceptions=True)
    )
    again = Wire()  # has the same descriptors
    again.far.send(b"alive")
    assert await asyncio.wait_for(again.read(), 5) == b"alive"
    again.close()
    again.far.close()


class Transport:
    """Says what it is told to do."""

    def __init__(self) -> None:
        self.sent = b""
        self.said: list[str] = []

    def get_extra_info(self, name: str) -> Any:
        return None

    def write(self, data: bytes) -> None:
        self.sent += data

    def is_closing(self) -> bool:
        return "close" in self.said

    def __getattr__(self, name: str) -> Any:
        return lambda: self.said.append(name)


class Service:
    """Knows who has left."""

    def __init__(self) -> None:
        self.left: list[str] = []

    def lost(self, connection: Any, peer: str) -> None:
        self.left.append(peer)


@pytest.fixture
async def carried(wire: Wire) -> tuple[Carrier, Transport, Service]:
    service, transport = Service(), Transport()
    carrier = Carrier(service, "192.0.2.1", wire)  # type: ignore[arg-type]
    return carrier, transport, service


async def test_bytes_go_both_ways_and_a_full_wire_stops_the_client(wire: Wire, carried: Any) -> None:
    carrier, transport, service = carried
    loop = asyncio.get_running_loop()
    carrier.take_over(transport, b"early")
    assert transport.said == ["resume_reading"]
    assert await loop.sock_recv(wire.far, 100) == b"early"
    carrier.data_received(bytes(2 << 20))
    assert transport.said[-1] == "pause_reading"
    got = 0
    while got < 2 << 20:
        got += len(await loop.sock_recv(wire.far, 1 << 16))
    await until(lambda: transport.said[-1] == "resume_reading")
    await loop.sock_sendall(wire.far, b"down")
    await until(lambda: transport.sent == b"down")
    carrier.pause_writing()
    await loop.sock_sendall(wire.far, b" later")
    await asyncio.sleep(0.01)
    assert transport.sent == b"down"
    carrier.resume_writing()
    await until(lambda: transport.sent == b"down later")
    wire.far.close()
    await until(lambda: transport.said[-1] == "close")
    carrier.connection_lost(None)
    assert service.left == ["192.0.2.1"]


async def test_who_breaks_off_breaks_off_the_other_side(wire: Wire, carried: Any) -> None:
    carrier, transport, _ = carried
    broken: list[str] = []
    wire.abort = broken.append
    carrier.take_over(transport, b"")
    wire.reset()
    wire.far.close()
    await until(lambda: transport.said[-1] == "abort")
    with contextlib.suppress(OSError):
        carrier.connection_lost(None)
    assert broken == []  # it was they who did


async def test_a_client_that_vanishes_is_not_one_that_has_ended(wire: Wire, carried: Any) -> None:
    carrier, transport, _ = carried
    broken: list[str] = []
    wire.abort = broken.append
    carrier.take_over(transport, b"")
    carrier.connection_lost(ConnectionResetError())
    assert broken == ["the client left"]
