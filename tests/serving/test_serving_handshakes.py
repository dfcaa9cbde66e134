"""From accepted sockets to connections over TLS, and all that can come in between."""

import asyncio
import socket
import ssl
import struct
import threading
from typing import Any

import pytest
from serving_stand import Serve, Served, answering, until
from stands.authority import Authority
from stands.raw_client import RawClient, request
from test_serving_client_hello import hello

from edgeproxy.config import Limits, Tls
from edgeproxy.message import BytesBody
from edgeproxy.serving.handshakes import quiet_handshakes

GET = b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
HEADER = b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 443\r\n"
LISTEN: dict[str, Any] = {"http": ["127.0.0.1:0"], "https": ["127.0.0.1:0"]}


def ask(served: Served, context: ssl.SSLContext, before: bytes = b"") -> bytes:
    """One request over TLS by a blocking client, after bytes that are not encrypted."""
    with socket.create_connection(served.secure_address, timeout=10) as plain:
        plain.sendall(before)
        with context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False) as secured:
            secured.sendall(GET)
            found = b""
            while data := secured.recv(65536):
                found += data
            return found


def send(served: Served, *pieces: bytes) -> bytes:
    """Send plain bytes and read to the end; "reset" for an end without one."""
    with socket.create_connection(served.secure_address, timeout=10) as plain:
        for piece in pieces:
            plain.sendall(piece)
        found = b""
        try:
            while data := plain.recv(65536):
                found += data
        except ConnectionResetError:
            return found or b"reset"
        return found


@pytest.mark.parametrize("engine", ["", "fallback", "socket"])
async def test_a_request_is_answered_over_tls(
    serve: Serve, tls: Tls, authority: Authority, engine: str
) -> None:
    served = await serve(tls=tls, engine=engine, **LISTEN)
    answer = await asyncio.to_thread(ask, served, authority.client())
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"GET x /a 127.0.0.1|")
    assert served.metrics.value("tls_handshakes_total", "TLSv1.3") == 1
    await until(lambda: served.listeners.connections == 0)
    assert served.reports == []


async def test_plain_listeners_stay_plain(serve: Serve, tls: Tls) -> None:
    served = await serve(tls=tls, **LISTEN)
    assert (await served.say(GET)).startswith(b"HTTP/1.1 200")


async def test_plain_http_gets_a_line_and_an_orderly_end(serve: Serve, tls: Tls) -> None:
    served = await serve(tls=tls, **LISTEN)
    answer = await asyncio.to_thread(send, served, GET)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert answer.endswith(b"\r\n\r\nthis port speaks HTTPS\n")
    assert served.failures("plain") == 1
    assert served.metrics.value("bad_requests_total", "400") == 1


@pytest.mark.parametrize(
    "data", [b"\x00\x01\x02\x03", b"SSH-2.0-x\r\n", b"\x16\x03\x01\x00\x04\x02\x00\x00\x00"]
)
async def test_other_bytes_get_nothing(serve: Serve, tls: Tls, data: bytes) -> None:
    served = await serve(tls=tls, **LISTEN)
    assert await asyncio.to_thread(send, served, data) in (b"", b"reset")
    assert served.failures("malformed") == 1
    assert served.metrics.value("bad_requests_total", "400") == 0


async def test_bytes_before_the_handshake_are_a_failure(serve: Serve, tls: Tls, authority: Authority) -> None:
    served = await serve(tls=tls, **LISTEN)
    with pytest.raises(OSError, match=r"."):
        await asyncio.to_thread(ask, served, authority.client(), b"\r\n")
    assert served.failures("malformed") == 1
    assert served.listeners.connections == 0


async def test_a_hello_that_cannot_succeed_gets_its_alert(serve: Serve, tls: Tls) -> None:
    served = await serve(tls=tls, **LISTEN)
    old = hello().replace(b"\x03\x04", b"\x03\x02").replace(b"\x03\x03", b"\x03\x02")
    assert await asyncio.to_thread(send, served, old) == b"\x15\x03\x03\x00\x02\x02\x46"
    other = hello(protocols=("imap",))
    assert await asyncio.to_thread(send, served, other) == b"\x15\x03\x03\x00\x02\x02\x78"
    assert (served.failures("version"), served.failures("protocol")) == (1, 1)


async def test_no_common_cipher_is_told_apart(serve: Serve, tls: Tls, authority: Authority) -> None:
    served = await serve(tls=tls, **LISTEN)
    client = authority.client()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers("ECDHE+AES+SHA256")
    with pytest.raises(OSError, match=r"."):
        await asyncio.to_thread(ask, served, client)
    await until(lambda: served.failures("cipher") == 1)


async def test_a_client_that_does_not_trust_us_is_told_apart(serve: Serve, tls: Tls) -> None:
    served = await serve(tls=tls, **LISTEN)
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.to_thread(ask, served, ssl.create_default_context())
    await until(lambda: served.failures("alert") == 1)


@pytest.mark.parametrize("sent", [b"", hello()[:50], hello()], ids=["nothing", "half a hello", "a hello"])
async def test_a_handshake_that_does_not_go_on_ends(serve: Serve, tls: Tls, sent: bytes) -> None:
    served = await serve(tls=tls, limits=Limits(handshake_timeout=0.15, drain_timeout=0.2), **LISTEN)
    await asyncio.to_thread(send, served, sent)
    await until(lambda: served.failures("timeout") == 1)
    assert served.metrics.gauges["tls_handshakes_running"]() == 0


@pytest.mark.parametrize("sent", [b"", hello()[:50], hello()], ids=["nothing", "half a hello", "a hello"])
async def test_a_client_that_leaves_costs_nothing(serve: Serve, tls: Tls, sent: bytes) -> None:
    noticed: list[Any] = []
    served = await serve(tls=tls, limits=Limits(handshake_timeout=0.5, drain_timeout=0.2), **LISTEN)
    loop = asyncio.get_running_loop()

    def handler(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        quiet_handshakes(loop, context)
        if "handshake" not in context["message"]:
            noticed.append(context)

    loop.set_exception_handler(handler)
    client = socket.create_connection(served.secure_address)
    client.sendall(sent)
    await asyncio.sleep(0.02)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    await until(lambda: served.failures("left") + served.failures("timeout") == 1)
    assert noticed == []
    assert served.reports == []
    assert served.listeners.connections == 0


async def test_many_idle_handshakes_do_not_keep_out_those_that_go_on(
    serve: Serve, tls: Tls, authority: Authority
) -> None:
    served = await serve(tls=tls, limits=Limits(handshakes=8, drain_timeout=0.2), **LISTEN)
    idle = [socket.create_connection(served.secure_address) for _ in range(30)]
    for client in idle[::2]:
        client.sendall(hello())
    running = served.metrics.gauges["tls_handshakes_running"]
    await until(lambda: running() == 8)
    for _ in range(3):
        assert b"200 OK" in await asyncio.to_thread(ask, served, authority.client())
    assert running() <= 8
    assert served.failures("crowded") >= 1
    for client in idle:
        client.close()
    await until(lambda: running() == 0)


async def test_more_clients_than_may_begin_at_once_all_get_through(
    serve: Serve, tls: Tls, authority: Authority
) -> None:
    served = await serve(tls=tls, limits=Limits(handshakes=2, drain_timeout=0.2), **LISTEN)
    asking = [asyncio.to_thread(ask, served, authority.client()) for _ in range(20)]
    answers = await asyncio.gather(*asking)
    assert [answer[:15] for answer in answers] == [b"HTTP/1.1 200 OK"] * 20
    assert served.failures("crowded") == 0


async def test_who_waits_too_long_for_a_place_is_let_go(serve: Serve, tls: Tls) -> None:
    limits = Limits(handshakes=1, handshake_timeout=0.2, drain_timeout=0.2)
    served = await serve(tls=tls, limits=limits, **LISTEN)
    idle = [socket.create_connection(served.secure_address) for _ in range(4)]
    await until(lambda: served.failures("timeout") + served.failures("crowded") == 4)
    for client in idle:
        client.close()


async def test_a_clients_connections_are_limited_while_they_shake_hands(serve: Serve, tls: Tls) -> None:
    served = await serve(tls=tls, limits=Limits(connections=5, drain_timeout=0.2), **LISTEN)
    idle = [socket.create_connection(served.secure_address) for _ in range(9)]
    await until(lambda: served.metrics.value("connections_refused_total", "connections") == 4)
    for client in idle:
        client.close()
    await until(lambda: served.failures("left") == 5)
    assert b"200" in await served.say(GET)  # their places are free again


async def test_a_proxy_header_comes_before_the_handshake(
    serve: Serve, tls: Tls, authority: Authority
) -> None:
    served = await serve(tls=tls, proxy_protocol=["127.0.0.1"], **LISTEN)
    answer = await asyncio.to_thread(ask, served, authority.client(), HEADER)
    assert answer.endswith(b"GET x /a 192.0.2.7|")
    with pytest.raises(OSError, match=r"."):
        await asyncio.to_thread(ask, served, authority.client())
    assert served.failures("proxy") == 1
    with pytest.raises(OSError, match=r"."):
        await asyncio.to_thread(ask, served, authority.client(), HEADER + b"x")
    assert served.failures("malformed") == 1


async def test_a_proxy_header_is_only_believed_where_one_is_due(
    serve: Serve, tls: Tls, authority: Authority
) -> None:
    served = await serve(tls=tls, **LISTEN)
    with pytest.raises(OSError, match=r"."):
        await asyncio.to_thread(ask, served, authority.client(), HEADER)
    assert served.failures("plain") == 1


async def test_handshakes_under_way_are_finished_when_the_node_drains(
    serve: Serve, tls: Tls, authority: Authority
) -> None:
    served = await serve(tls=tls, limits=Limits(drain_timeout=5), **LISTEN)

    def slowly() -> bytes:
        with socket.create_connection(served.secure_address, timeout=10) as plain:
            begun.set()
            loop.call_soon_threadsafe(accepted.set)
            finish.wait(5)
            with authority.client().wrap_socket(plain, server_hostname="localhost") as secured:
                secured.sendall(GET)
                return secured.recv(65536)

    begun, finish = threading.Event(), threading.Event()
    loop, accepted = asyncio.get_running_loop(), asyncio.Event()
    asking = served.tasks.start(asyncio.to_thread(slowly), "asking")
    await accepted.wait()
    await until(lambda: served.metrics.gauges["tls_handshakes_running"]() == 1)
    draining = served.tasks.start(served.listeners.drain(), "drain")
    await asyncio.sleep(0.05)
    finish.set()
    assert b"200 OK" in await asking
    await draining
    assert served.listeners.connections == 0


async def test_new_contexts_serve_new_handshakes_while_old_connections_go_on(
    serve: Serve, tls: Tls, authority: Authority
) -> None:
    served = await serve(answering(BytesBody(b"same")), tls=tls, **LISTEN)
    assert served.watch is not None

    def opened() -> RawClient:
        return RawClient(served.secure_address, context=authority.client())

    def subject(client: RawClient) -> Any:
        return client.secured.getpeercert()["subject"]  # type: ignore[index]

    old = await asyncio.to_thread(opened)
    issued = authority.issue("renewed")
    issued.certificate.replace(tls.certificate)
    issued.key.replace(tls.key)
    await served.watch.look()
    new = await asyncio.to_thread(opened)
    assert (subject(old), subject(new)) == (((("commonName", "node"),),), ((("commonName", "renewed"),),))
    for client in (old, new, old):
        client.send(request("/a"))
        answer = await asyncio.to_thread(client.read)
        assert answer.body == b"same"
    for client in (old, new):
        client.reset()
