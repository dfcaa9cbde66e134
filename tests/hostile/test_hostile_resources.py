"""Memory, descriptors and time are bounded, whatever clients do."""

from __future__ import annotations

import hashlib
import resource
import threading
import time
from collections.abc import Callable

import pytest
from stands.load import crowd
from stands.node import Node, eventually
from stands.origin import Origin, counted
from stands.raw_client import RawClient, request

StartNode = Callable[..., Node]
IMPATIENT = {"head_timeout": "1s", "body_timeout": "1s", "idle_timeout": "2s", "write_timeout": "2s"}


def site(origin: Origin) -> list[dict[str, str]]:
    return [{"name": "all", "mount": "/", "origin": origin.url}]


def test_a_head_that_never_ends_is_ended(start_node: StartNode, origin: Origin) -> None:
    node = start_node(site(origin), {"limits": IMPATIENT})
    clients = [RawClient(node.http) for _ in range(50)]
    for client in clients:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
    began = time.monotonic()
    dripping = clients[0]
    while time.monotonic() - began < 1.5:  # a byte now and then must not prolong it
        dripping.send(b"X")
        time.sleep(0.1)
    for client in clients:
        assert client.wait_end() in ("eof", "reset")
    assert time.monotonic() - began < 9  # the default is 10
    assert origin.journal.exchanges == []


def test_a_body_that_never_ends_is_ended(start_node: StartNode, origin: Origin) -> None:
    node = start_node(site(origin), {"limits": IMPATIENT})
    origin.paths["/slow"] = counted([])
    with RawClient(node.http) as client:
        client.send(b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhello")
        assert client.wait_end() in ("eof", "reset")
    assert eventually(lambda: node.metric("connections") == 0)


def test_an_idle_connection_is_ended(start_node: StartNode, origin: Origin) -> None:
    node = start_node(site(origin), {"limits": IMPATIENT})
    origin.put("/idle", 10)
    with RawClient(node.http) as client, RawClient(node.http) as silent:
        client.send(request("/idle"))
        assert client.read().status == 200
        assert client.wait_end() == "eof"
        assert silent.wait_end() == "eof"


def test_a_reader_that_does_not_read_is_ended_and_costs_little(start_node: StartNode, origin: Origin) -> None:
    origin.put("/large", 32_000_000)
    node = start_node(site(origin), {"limits": IMPATIENT})
    node.get("/large")
    before = node.resident_bytes()
    clients = [RawClient(node.http, receive_buffer=4096) for _ in range(40)]
    for client in clients:
        client.send(request("/large"))
    time.sleep(1)
    assert node.resident_bytes() - before < 40 << 20
    assert eventually(lambda: node.metric("connections") == 0)


def test_a_slow_reader_of_a_cold_body_costs_little(start_node: StartNode, origin: Origin) -> None:
    body = origin.put("/cold", 48_000_000)
    origin.paths["/no-store"] = type(origin.paths["/cold"])(body, "no-store")  # type: ignore[call-arg]
    node = start_node(site(origin))
    node.get("/missing")
    for path in ("/cold", "/no-store"):
        before = node.resident_bytes()
        with RawClient(node.http, receive_buffer=4096) as client:
            client.send(request(path))
            time.sleep(1)
            assert node.resident_bytes() - before < 40 << 20, path


def test_idle_connections_are_cheap(start_node: StartNode, origin: Origin) -> None:
    node = start_node(site(origin))
    node.get("/missing")
    node.metric("connections")  # who answers that is loaded by now, and all that is loaded later
    before = node.resident_bytes()
    clients = [RawClient(node.http) for _ in range(800)]
    assert eventually(lambda: node.metric("connections") >= 800)
    assert (node.resident_bytes() - before) / len(clients) < 16 << 10
    for client in clients:
        client.reset()
    assert eventually(lambda: node.metric("connections") == 0)


def test_two_thousand_clients_of_one_cold_body_make_one_request(
    start_node: StartNode, origin: Origin
) -> None:
    body = origin.put("/crowd", 500_000, delay=1.0, piece=50_000, piece_delay=0.05)
    node = start_node(site(origin))
    result = crowd(node.http, "/crowd", 2000)
    expected = f"sha256 {hashlib.sha256(body).hexdigest()} {len(body)}"
    assert result["outcomes"] == {expected: 2000}
    assert origin.journal.count("/crowd") == 1
    assert eventually(lambda: node.metric("connections") == 0)


def test_running_out_of_descriptors_is_survived(start_node: StartNode, origin: Origin) -> None:
    body = origin.put("/few", 1000)
    node = start_node(site(origin))
    assert node.get("/few").body == body
    limit = node.descriptors() + 20
    resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (limit, 4096))
    clients = [RawClient(node.http) for _ in range(200)]
    cpu, began = node.cpu_seconds(), time.monotonic()
    time.sleep(2)
    assert (node.cpu_seconds() - cpu) / (time.monotonic() - began) < 0.3, "accept is spinning"
    for client in clients:
        client.reset()
    resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (4096, 4096))
    assert eventually(lambda: node.get("/few").status == 200)
    assert eventually(lambda: node.metric("connections") <= 1)


def test_clients_that_leave_leave_nothing(start_node: StartNode, origin: Origin) -> None:
    origin.put("/left", 3_000_000, piece=10_000, piece_delay=0.1)  # too slow to be finished for nobody
    origin.put("/warm", 10)
    node = start_node(site(origin))
    for _ in range(5):
        node.get("/warm")
    before = node.descriptors()
    for number in range(60):
        with RawClient(node.http) as client:
            client.send(request(f"/left?{number}"))
            if number % 3:
                client.read_some(100)
            client.reset()
    assert eventually(lambda: node.metric("fills") == 0)
    assert eventually(lambda: node.bodies_open() == []), node.bodies_open()
    # Connections to the origin are kept for the next request, and threads have the index open.
    assert eventually(lambda: node.descriptors() <= before + 24), (before, node.descriptors())
    assert eventually(lambda: all(e.ended for e in origin.journal.exchanges))


def test_a_connection_may_not_queue_without_bound(start_node: StartNode, origin: Origin) -> None:
    origin.put("/late", 10, delay=0.5, cache_control="no-store")
    node = start_node(site(origin))
    node.get("/warm")
    before = node.resident_bytes()
    with RawClient(node.http, 0.5) as client:
        with pytest.raises(TimeoutError):
            client.send(request("/late", [("X-Pad", "a" * 3000)]) * 10_000)
        assert node.resident_bytes() - before < 30 << 20


def test_a_stopped_node_goes_on_where_it_was(start_node: StartNode, origin: Origin) -> None:
    body = origin.put("/paused", 2_000_000, piece=20_000, piece_delay=0.01)
    node = start_node(site(origin))
    assert node.process is not None
    bodies: list[bytes] = []
    clients = [threading.Thread(target=lambda: bodies.append(node.get("/paused").body)) for _ in range(5)]
    for client in clients:
        client.start()
    time.sleep(0.3)
    node.process.send_signal(19)  # SIGSTOP
    time.sleep(2)
    node.process.send_signal(18)  # SIGCONT
    for client in clients:
        client.join()
    assert bodies == [body] * 5
