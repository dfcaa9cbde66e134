"""Real sockets: from which address an answer comes, and what a flood costs."""

import asyncio
import socket
from collections.abc import Iterator

import dns.message
import pytest
from dns_world import Server

from edgeproxy.router.dns_limit import LimitSettings
from edgeproxy.router.dns_udp import TAKEN_AT_ONCE, UdpListener, bind_udp

QUERY = dns.message.make_query("www.cdn.example", "A").to_wire()


class Listening:
    def __init__(self, host: str) -> None:
        self.server = Server(limit=LimitSettings(per_second=0))
        self.failures: list[str] = []
        self.unsent = 0
        self.bound = bind_udp(host, 0, receive_bytes=1 << 20, reuse_port=False)
        self.port = int(self.bound.getsockname()[1])
        self.listener = UdpListener(self.bound, self.answer, self._report, self._drop)

    def answer(self, data: bytes, host: str, transport: str) -> bytes | None:
        if data == b"break":
            raise RuntimeError("broken")
        return self.server.raw(data, host, transport)

    def _report(self, what: str, error: BaseException) -> None:
        self.failures.append(f"{what}: {error}")

    def _drop(self) -> None:
        self.unsent += 1


@pytest.fixture(params=["127.0.0.1", "0.0.0.0", "::1", "::"])
async def listening(request: pytest.FixtureRequest) -> Iterator[Listening]:  # type: ignore[misc]
    made = Listening(request.param)
    yield made
    made.listener.close()
    made.listener.close()


async def asked(data: bytes, host: str, port: int) -> tuple[bytes, str]:
    """The answer, and the address it came from."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendto(client, data, (host, port))
        reply, address = await asyncio.wait_for(loop.sock_recvfrom(client, 4096), 20)
        return reply, address[0]


async def test_an_answer_comes_from_the_address_that_was_asked(listening: Listening) -> None:
    asking = {
        "127.0.0.1": ["127.0.0.1"],
        "0.0.0.0": ["127.0.0.1", "127.0.0.7"],
        "::1": ["::1"],
        "::": ["::1"],
    }
    for host in asking[listening.bound.getsockname()[0]]:
        reply, address = await asked(QUERY, host, listening.port)
        assert address == host
        assert reply[:2] == QUERY[:2]


async def test_an_error_of_ours_is_told_and_the_next_query_is_answered(listening: Listening) -> None:
    host = "::1" if listening.bound.family == socket.AF_INET6 else "127.0.0.1"
    with socket.socket(listening.bound.family, socket.SOCK_DGRAM) as client:
        client.sendto(b"break", (host, listening.port))
        reply, _ = await asked(QUERY, host, listening.port)
    assert reply[:2] == QUERY[:2]
    assert listening.failures == ["dns over udp: broken"]


async def test_a_flood_of_garbage_leaves_turns_to_others() -> None:
    made = Listening("127.0.0.1")
    taken = 0
    turns: list[int] = []

    def counting(data: bytes, host: str, transport: str) -> bytes | None:
        nonlocal taken
        taken += 1
        return made.server.raw(data, host, transport)

    made.listener.close()
    made.bound = bind_udp("127.0.0.1", 0, receive_bytes=1 << 20, reuse_port=False)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for number in range(400):
            client.sendto(bytes(range(number % 200)), made.bound.getsockname())
        listener = UdpListener(made.bound, counting, made._report, made._drop)
        while taken < 400 and len(turns) < 10_000:
            before = taken
            await asyncio.sleep(0)
            turns.append(taken - before)
        listener.close()
    assert max(turns) <= TAKEN_AT_ONCE
    assert taken == 400
    assert made.failures == []


async def test_an_address_in_use_is_refused() -> None:
    made = Listening("127.0.0.1")
    with pytest.raises(OSError, match="in use"):
        bind_udp("127.0.0.1", made.port, receive_bytes=1 << 20, reuse_port=False)
    made.listener.close()
