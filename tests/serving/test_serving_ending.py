"""The end of a connection over TLS says whether everything was sent, and is not waited for in vain."""

import asyncio
import hashlib
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from serving_stand import Parts, Serve, Served, answering, until
from stands.authority import Authority
from stands.raw_client import RawAnswer, RawClient, request

from edgeproxy.config import Limits, Tls
from edgeproxy.errors import BodyAborted
from edgeproxy.message import BytesBody, FileSlice, Request, Response
from edgeproxy.serving import ending

LISTEN: dict[str, Any] = {"http": ["127.0.0.1:0"], "https": ["127.0.0.1:0"]}
CLOSE = (("Connection", "close"),)
ENGINES = ["", "fallback", "socket"]
Connect = Callable[..., RawClient]


@pytest.fixture(params=ENGINES, ids=["memory", "fallback", "socket"])
def engine(request: pytest.FixtureRequest) -> str:
    """What the TLS transport does here, and what it does on other machines."""
    return str(request.param)


async def connected(served: Served, context: ssl.SSLContext, **options: Any) -> RawClient:
    return await asyncio.to_thread(lambda: RawClient(served.secure_address, context=context, **options))


async def read(client: RawClient) -> RawAnswer:
    return await asyncio.to_thread(client.read)


async def test_after_a_whole_answer_comes_a_closing_alert(
    serve: Serve, tls: Tls, authority: Authority, engine: str
) -> None:
    served = await serve(answering(BytesBody(b"x" * 100_000)), tls=tls, engine=engine, **LISTEN)
    client = await connected(served, authority.client())
    client.send(request("/a"))
    assert (await read(client)).complete
    client.send(request("/b", CLOSE))
    answer = await read(client)
    assert (answer.complete, len(answer.body)) == (True, 100_000)
    assert await asyncio.to_thread(client.wait_end) == "eof"
    # Our client has not answered the alert, and is not waited for.
    await until(lambda: served.listeners.connections == 0, 1.0)
    client.reset()


@pytest.mark.parametrize("form", ["length", "chunked", "close"])
async def test_what_is_not_whole_never_looks_complete(
    serve: Serve, tls: Tls, authority: Authority, engine: str, form: str
) -> None:
    body = Parts(b"x" * 50_000, BodyAborted("gone"), length=60_000 if form == "length" else None)
    served = await serve(answering(body), tls=tls, engine=engine, **LISTEN)
    client = await connected(served, authority.client())
    asked = request("/a", CLOSE)
    client.send(asked.replace(b"HTTP/1.1", b"HTTP/1.0") if form == "close" else asked)
    answer = await read(client)
    assert not answer.complete
    assert answer.ended == "reset"
    await until(lambda: served.listeners.connections == 0)
    client.reset()


async def test_a_body_without_length_ends_with_the_alert(
    serve: Serve, tls: Tls, authority: Authority, engine: str
) -> None:
    served = await serve(answering(Parts(b"abc", b"def")), tls=tls, engine=engine, **LISTEN)
    client = await connected(served, authority.client())
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    answer = await read(client)
    assert (answer.complete, answer.body, answer.ended) == (True, b"abcdef", "eof")
    client.reset()


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(1 << 18)))  # 8 MiB
    return path


async def test_a_slow_reader_gets_a_file_to_the_byte_and_little_waits_for_him(
    serve: Serve, tls: Tls, authority: Authority, engine: str, large: Path
) -> None:
    expected = large.read_bytes()  # noqa: ASYNC240 - a moment of a test
    with large.open("rb") as file:
        size = len(expected)
        body = Parts(FileSlice(file, 0, size), length=size)
        served = await serve(answering(body), tls=tls, engine=engine, **LISTEN)
        client = await connected(served, authority.client(), receive_buffer=16384)
        client.send(request("/a", CLOSE))
        (connection,) = served.listeners._door.connections
        most = 0

        def slowly() -> bytes:
            found = bytearray()
            while piece := client.read_some(65536):
                found += piece
                if len(found) % 16 == 0:
                    time.sleep(0.0002)
            return bytes(found)

        reading = served.tasks.start(asyncio.to_thread(slowly), "reading")
        while not reading.done():
            most = max(most, ending.unsent(connection._transport) if connection._transport else 0)
            await asyncio.sleep(0.005)
        found = await reading
    assert found.partition(b"\r\n\r\n")[2] == expected
    assert client.ended == "eof"
    assert most < Limits().write_buffer + (600 << 10 if engine == "fallback" else 128 << 10)
    client.reset()


async def test_an_answer_is_not_destroyed_by_what_the_client_still_sends(
    serve: Serve, tls: Tls, authority: Authority, engine: str
) -> None:
    served = await serve(tls=tls, engine=engine, **LISTEN)
    client = await connected(served, authority.client())
    client.send(b"no request at all\r\n\r\n")
    for _ in range(20):
        client.send(b"x" * 4096)
    answer = await read(client)
    assert (answer.status, answer.complete) == (400, True)
    assert await asyncio.to_thread(client.wait_end) == "eof"
    client.reset()
    await until(lambda: served.listeners.connections == 0)


async def test_a_client_that_keeps_sending_is_not_read_for_ever(
    serve: Serve, tls: Tls, authority: Authority
) -> None:
    served = await serve(tls=tls, **LISTEN)
    client = await connected(served, authority.client())
    client.send(b"no request at all\r\n\r\n")

    def flood() -> None:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                client.secured.sendall(b"x" * 4096)
            except OSError:
                return
            time.sleep(0.001)
        raise AssertionError("it still reads")

    flooding = served.tasks.start(asyncio.to_thread(flood), "flood")
    await until(lambda: served.listeners.connections == 0, 10.0)
    await flooding
    client.reset()


async def test_the_clients_closing_alert_ends_what_runs_for_it(
    serve: Serve, tls: Tls, authority: Authority, engine: str
) -> None:
    entered, ended = asyncio.Event(), asyncio.Event()

    async def handler(asked: Request) -> Response:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    served = await serve(handler, tls=tls, engine=engine, **LISTEN)
    client = await connected(served, authority.client())
    client.send(request("/a"))
    await entered.wait()

    def leave() -> None:
        with pytest.raises(OSError, match=r"."):
            client.secured.unwrap()

    leaving = served.tasks.start(asyncio.to_thread(leave), "leave")
    await asyncio.wait_for(ended.wait(), 30)
    await leaving
    await until(lambda: served.listeners.connections == 0)
    assert served.metrics.value("client_aborts_total") == 1
    assert served.reports == []


async def test_a_reader_that_stalls_is_ended_without_an_alert(
    serve: Serve, tls: Tls, authority: Authority, engine: str
) -> None:
    limits = Limits(write_timeout=0.3, drain_timeout=0.2)
    served = await serve(
        answering(BytesBody(bytes(30 << 20))), tls=tls, engine=engine, limits=limits, **LISTEN
    )
    client = await connected(served, authority.client(), receive_buffer=16384)
    client.send(request("/a", CLOSE))
    await until(lambda: served.metrics.value("timeouts_total", "write") == 1)
    await until(lambda: served.listeners.connections == 0)
    answer = await read(client)
    assert not answer.complete
    assert answer.ended == "reset"
    client.reset()


async def test_an_idle_connection_ends_in_order(
    serve: Serve, tls: Tls, authority: Authority, engine: str
) -> None:
    limits = Limits(idle_timeout=0.2, drain_timeout=0.2)
    served = await serve(tls=tls, engine=engine, limits=limits, **LISTEN)
    client = await connected(served, authority.client())
    assert await asyncio.to_thread(client.wait_end) == "eof"
    await until(lambda: served.listeners.connections == 0, 1.0)
    client.reset()


async def test_draining_does_not_wait_for_idle_clients(
    serve: Serve, tls: Tls, authority: Authority, engine: str
) -> None:
    served = await serve(tls=tls, engine=engine, limits=Limits(drain_timeout=60), **LISTEN)
    clients = [await connected(served, authority.client()) for _ in range(5)]
    await until(lambda: served.listeners.connections == 5)
    await asyncio.wait_for(served.listeners.drain(), 30)
    assert served.listeners.connections == 0
    assert {await asyncio.to_thread(client.wait_end) for client in clients} == {"eof"}
    for client in clients:
        client.reset()


async def test_pipelined_requests_are_answered_in_order(
    serve: Serve, tls: Tls, authority: Authority, engine: str
) -> None:
    served = await serve(tls=tls, engine=engine, **LISTEN)
    client = await connected(served, authority.client())
    client.send(b"".join(request(f"/{n}") for n in range(40)) + request("/last", CLOSE))
    seen = [(await read(client)).body.split()[2] for _ in range(41)]
    assert seen == [b"/%d" % n for n in range(40)] + [b"/last"]
    assert await asyncio.to_thread(client.wait_end) == "eof"
    client.reset()


class Transport:
    """As much of a transport as its end needs."""

    def __init__(self, waiting: int, local: int | None, secured: bool = True) -> None:
        self._waiting = waiting
        self._secured = secured
        self.done: list[str] = []
        if local is not None:
            self.get_local_write_buffer_size = lambda: local

    def get_write_buffer_size(self) -> int:
        return self._waiting

    def get_extra_info(self, name: str) -> Any:
        return {"ssl_object": self._secured or None, "ktls_send_enabled": False}.get(name)

    def is_closing(self) -> bool:
        return "close" in self.done

    def __getattr__(self, name: str) -> Any:
        return lambda: self.done.append(name)


@pytest.mark.parametrize(("waiting", "local", "size"), [(5, None, 5), (0, 7, 7), (9, 7, 9)])
def test_records_that_were_not_sent_count_as_unsent(waiting: int, local: int | None, size: int) -> None:
    transport = Transport(waiting, local)
    if local is None:
        transport.__dict__["get_local_write_buffer_size"] = None
    assert ending.unsent(transport) == size


def test_a_plain_connection_is_only_closed_or_aborted() -> None:
    closed, broken = Transport(0, 0, secured=False), Transport(0, 0, secured=False)
    ending.close(closed)
    ending.break_off(broken)
    assert (closed.done, broken.done) == (["close"], ["abort"])
    assert not ending.sends_files(closed)
