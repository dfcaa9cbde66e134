"""What comes first on a socket, and what of it is left there."""

import asyncio
import re
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from serving_stand import until
from test_serving_client_hello import hello, in_records

from edgeproxy.serving.client_hello import ClientHello, NotTls
from edgeproxy.serving.first_bytes import (
    HelloWatch,
    Said,
    close_watched,
    has_hello,
    hello_now,
    look_at_hello,
    look_now,
    take_proxy_header,
)
from edgeproxy.serving.proxy_protocol import ProxyHeaderError
from edgeproxy.tasks import Tasks

HEADER = b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 443\r\n"
HEADER_2 = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes([192, 0, 2, 7, 192, 0, 2, 1, 1, 1, 1, 1])
HELLO = hello()


@pytest.fixture
async def ends() -> AsyncIterator[tuple[socket.socket, socket.socket]]:
    """A socket as it is accepted, and its client."""
    accepted, client = socket.socketpair()
    accepted.setblocking(False)
    yield accepted, client
    accepted.close()
    client.close()


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    tasks = Tasks(lambda name, error: None)
    yield tasks
    await tasks.aclose()


Ends = tuple[socket.socket, socket.socket]


@pytest.mark.parametrize("header", [HEADER, HEADER_2], ids=["1", "2"])
@pytest.mark.parametrize("piece", [1, 7, 1000])
async def test_a_proxy_header_is_taken_to_the_byte(
    ends: Ends, tasks: Tasks, header: bytes, piece: int
) -> None:
    accepted, client = ends
    taking = tasks.start(take_proxy_header(accepted), "taking")
    first = header + HELLO[:1]
    for at in range(0, len(first), piece):
        client.send(first[at : at + piece])
        await asyncio.sleep(0)
    client.send(HELLO[1:])
    assert await asyncio.wait_for(taking, 5) == "192.0.2.7"
    assert look_now(accepted, 5000) == HELLO


async def test_a_hello_stays_where_it_is(ends: Ends) -> None:
    accepted, client = ends
    client.send(HELLO)
    assert (await look_at_hello(accepted)).server_name == "node.example"
    assert accepted.recv(5000) == HELLO


async def test_a_hello_in_pieces_is_waited_for(ends: Ends, tasks: Tasks) -> None:
    accepted, client = ends
    looking = tasks.start(look_at_hello(accepted), "looking")
    data = in_records(HELLO, 40)
    for at in range(0, len(data), 100):
        client.send(data[at : at + 100])
        await asyncio.sleep(0.002)
    assert (await asyncio.wait_for(looking, 5)).server_name == "node.example"
    assert accepted.recv(5000) == data


async def test_a_whole_hello_is_told_from_a_part(ends: Ends) -> None:
    accepted, client = ends
    assert not has_hello(accepted)
    client.send(HELLO[:100])
    assert not has_hello(accepted)
    client.send(HELLO[100:])
    assert has_hello(accepted)
    told = hello_now(accepted)
    assert told is not None
    assert told.server_name == "node.example"
    accepted.recv(5000)
    client.send(b"GET / HTTP/1.1\r\n\r\n")
    assert not has_hello(accepted)


async def test_what_is_neither_is_told(ends: Ends) -> None:
    accepted, client = ends
    client.send(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(NotTls):
        await look_at_hello(accepted)
    with pytest.raises(ProxyHeaderError):
        await take_proxy_header(accepted)
    assert look_now(accepted, 3) == b"GET"


async def test_who_leaves_is_not_waited_for(ends: Ends) -> None:
    accepted, client = ends
    client.close()
    with pytest.raises(ConnectionError):
        await look_at_hello(accepted)
    with pytest.raises(ConnectionError):
        await take_proxy_header(accepted)


async def test_nothing_watches_the_socket_afterwards(ends: Ends, tasks: Tasks) -> None:
    accepted, _ = ends
    looking = tasks.start(look_at_hello(accepted), "looking")
    await until(lambda: is_watched(accepted))
    looking.cancel()
    await asyncio.wait([looking])
    await until(lambda: not is_watched(accepted))


def is_watched(connection: socket.socket) -> bool:
    """Whether an epoll of this process knows of it (Linux)."""
    told = "".join(path.read_text() for path in Path("/proc/self/fdinfo").glob("*") if path.exists())
    return str(connection.fileno()) in re.findall(r"tfd: +([0-9]+)", told)


class Watched:
    """A watch, and what it told. Nobody else watches from there on."""

    def __init__(self, accepted: socket.socket, seconds: float = 5.0) -> None:
        self.told: list[Said] = []
        self.watch = HelloWatch(accepted, seconds, self._told)

    def _told(self, said: Said) -> bool:
        self.told.append(said)
        return False


@pytest.mark.parametrize("is_here", [True, False])
@pytest.mark.parametrize("size", [40, 5000])
async def test_a_watch_tells_of_a_hello_and_leaves_it(ends: Ends, size: int, is_here: bool) -> None:
    accepted, client = ends
    data = in_records(HELLO, size)
    if is_here:
        client.send(data)
    watched = Watched(accepted)
    (watched.watch.look if is_here else watched.watch.watch)()
    if not is_here:
        for at in range(0, len(data), 100):
            client.send(data[at : at + 100])
            await asyncio.sleep(0.002)
    await until(lambda: len(watched.told) == 1)
    (said,) = watched.told
    assert isinstance(said, ClientHello)
    assert said.server_name == "node.example"
    assert accepted.recv(5000) == data
    assert not is_watched(accepted)


@pytest.mark.parametrize("is_here", [True, False])
@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", NotTls),
        (None, ConnectionError),
        (b"", TimeoutError),
        (HELLO[:50], TimeoutError),
    ],
    ids=["another protocol", "end", "nothing", "half"],
)
async def test_a_watch_tells_what_came_instead(
    ends: Ends, sent: bytes | None, error: type[Exception], is_here: bool
) -> None:
    accepted, client = ends
    watched = Watched(accepted, 0.05)
    if not is_here:
        watched.watch.watch()
    if sent is None:
        client.close()
    else:
        client.send(sent)
    if is_here:
        watched.watch.look()
    await until(lambda: len(watched.told) == 1)
    assert isinstance(watched.told[0], error)
    assert not is_watched(accepted)


async def test_a_watch_that_is_broken_off_tells_nothing(ends: Ends) -> None:
    accepted, client = ends
    watched = Watched(accepted, 0.05)
    watched.watch.watch()
    await asyncio.sleep(0.001)
    assert is_watched(accepted) or sys.platform != "linux"
    watched.watch.cancel()
    client.send(HELLO)
    await asyncio.sleep(0.1)
    assert watched.told == []
    assert not is_watched(accepted)


async def test_who_watches_next_replaces_the_watch(ends: Ends) -> None:
    accepted, client = ends
    loop, ready = asyncio.get_running_loop(), asyncio.Event()

    def told(said: Said) -> bool:
        loop.add_reader(accepted.fileno(), ready.set)
        return True

    HelloWatch(accepted, 5.0, told).watch()
    client.send(HELLO)
    await asyncio.wait_for(ready.wait(), 5)
    ready.clear()
    await asyncio.wait_for(ready.wait(), 5)  # the hello is still there
    loop.remove_reader(accepted.fileno())


async def test_the_number_of_a_socket_that_was_watched_is_free_for_another(ends: Ends) -> None:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    accepted, _ = ends
    number = accepted.fileno()
    loop.add_reader(number, lambda: None)
    await asyncio.sleep(0.001)
    close_watched(accepted)
    close_watched(accepted)
    next_one, client = socket.socketpair()
    with next_one, client:
        assert next_one.fileno() == number
        loop.add_reader(number, ready.set)
        client.send(b"x")
        await asyncio.wait_for(ready.wait(), 5)
        loop.remove_reader(number)
