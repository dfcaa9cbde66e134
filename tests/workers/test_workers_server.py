"""Several servers answer as one: what clients see of a node with workers."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from stands.load import crowd
from stands.node import Node, eventually
from stands.origin import Origin, bytes_of, counted, head
from stands.raw_client import RawClient, request
from stands.wire import Exchange, Wire

Serve = Callable[..., Node]
Connect = Callable[..., list[RawClient]]
ROUNDS = 4
FOR_LONG = [("Cache-Control", "max-age=3600")]


def ask(client: RawClient, target: str, *fields: tuple[str, str], method: str = "GET") -> Any:
    client.send(request(target, fields, method))
    return client.read(method)


@pytest.fixture
def node(serve: Serve) -> Node:
    return serve()


def test_every_server_gives_what_one_process_would(
    node: Node, origin: Origin, connect: Connect, start_node: Any
) -> None:
    small, large = origin.put("/small", 1000), origin.put("/large", 9_000_000)
    origin.put("/chunked", 70_000, chunked=True)
    one = start_node([{"name": "files", "mount": "/", "origin": origin.url}])
    questions: list[tuple[str, str, list[tuple[str, str]]]] = [
        ("GET", "/small", []),
        ("HEAD", "/small", []),
        ("GET", "/small", [("Range", "bytes=10-19")]),
        ("GET", "/small", [("If-None-Match", "*")]),
        ("GET", "/large", []),
        ("GET", "/large", [("Range", "bytes=-5")]),
        ("GET", "/large", [("Range", "bytes=1-2,4000000-4000009")]),
        ("GET", "/large", [("Range", "bytes=99000000-")]),
        ("GET", "/chunked", []),
        ("GET", "/absent", []),
        ("OPTIONS", "*", []),
        ("GET", "/" + "x" * 20_000, []),
    ]
    for _ in range(2):  # a miss, a hit
        for method, target, fields in questions:
            for client in connect(node, 3):
                expected = one.get(target, fields, method)
                got = ask(client, target, *fields, method=method)
                same = ("status", "complete") if "Range" in dict(fields) else ("status", "complete", "body")
                for name in same:
                    assert getattr(got, name) == getattr(expected, name), (method, target, name)
                unequal = {"date", "age", "cache-status", "content-type"}
                assert {n for n, _ in got.fields} - unequal == {n for n, _ in expected.fields} - unequal
    assert (len(small), len(large)) == (1000, 9_000_000)
    assert origin.journal.count("/small") == 2  # one for each node


def test_a_hit_counts_seconds_by_itself(node: Node, origin: Origin, connect: Connect) -> None:
    origin.paths["/a"] = counted([("Cache-Control", "max-age=3600"), ("Age", "5")])
    clients = connect(node)
    for client in clients:
        ask(client, "/a")
    assert eventually(lambda: int(ask(clients[0], "/a").get("age")) >= 6)
    for client in clients:
        answer = ask(client, "/a")
        left = int(answer.get("cache-status").rpartition("ttl=")[2])
        assert 3590 <= int(answer.get("age")) + left <= 3600
    assert origin.journal.count("/a") == 1


def test_a_purge_is_seen_at_once_by_every_server(node: Node, origin: Origin, connect: Connect) -> None:
    origin.paths["/a"] = counted(FOR_LONG)
    origin.paths["/b"] = counted(FOR_LONG)
    clients = connect(node)
    for scope, value in (("all", ""), ("url", "/a"), ("prefix", "/a"), ("site", "files")):
        before = {ask(client, "/a").body for client in clients}
        kept = {ask(client, "/b").body for client in clients}
        assert len(before) == len(kept) == 1
        node.purge(scope, value)
        after = {ask(client, "/a").body for client in clients}
        assert len(after) == 1
        assert after != before
        is_kept = scope in ("url", "prefix")
        assert ({ask(client, "/b").body for client in clients} == kept) is is_kept


def test_what_has_been_replaced_is_nobodys_answer_any_more(
    node: Node, origin: Origin, connect: Connect
) -> None:
    origin.paths["/a"] = counted(FOR_LONG)
    clients = connect(node)
    for _ in range(4):
        before = {ask(client, "/a").body for client in clients}
        assert {ask(client, "/a").body for client in clients} == before
        assert len(before) == 1
        newer = ask(clients[0], "/a", ("Cache-Control", "no-cache")).body
        assert {newer} != before
        assert {ask(client, "/a").body for client in clients} == {newer}


def test_what_a_client_has_changed_is_asked_for_again(node: Node, origin: Origin, connect: Connect) -> None:
    origin.paths["/a"] = counted(FOR_LONG)
    clients = connect(node)
    before = {ask(client, "/a").body for client in clients}
    clients[0].send(request("/a", [], "POST", b"change"))
    assert clients[0].read("POST").status == 200
    assert not before & {ask(client, "/a").body for client in clients}


def test_a_herd_over_all_servers_makes_one_request_upstream(node: Node, origin: Origin) -> None:
    body = origin.put("/herd", 3_000_000, piece_delay=0.02)
    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: node.get("/herd"), range(40)))
    assert all(answer.complete and answer.body == body for answer in answers)
    assert origin.journal.count("/herd") == 1


@pytest.mark.slow
def test_two_hundred_over_all_servers_make_one_request_upstream_again_and_again(
    node: Node, origin: Origin
) -> None:
    """A body put together from ranges, and one that is not; each time everybody comes at once."""
    for number in range(ROUNDS):
        for size in (1_200_000, 200_000):
            target = f"/{number}/{size}"
            body = origin.put(target, size, piece=50_000, piece_delay=0.005)
            came = crowd(node.http, target, 200)["outcomes"]
            assert came == {f"sha256 {hashlib.sha256(body).hexdigest()} {size}": 200}
            assert origin.journal.count(target) == 1


def test_content_of_requests_passes_both_ways(node: Node, origin: Origin) -> None:
    async def echo_body(exchange: Exchange, wire: Wire) -> None:
        await wire.send(head(200, [("Content-Length", str(len(exchange.body)))]))
        await wire.send(exchange.body)

    origin.paths["/echo"] = echo_body
    for size in (1, 70_000, 5_000_000):
        sent = bytes_of("upload", size)
        with RawClient(node.http) as client:
            client.send(request("/echo", [], "POST", sent))
            assert client.read("POST").body == sent
    with RawClient(node.http) as client:
        client.send(
            b"POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        assert client.read_some(100).startswith(b"HTTP/1.1 100 ")
        client.send(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        assert client.read("POST").body == b"abcde"


def test_content_that_breaks_off_upstream_breaks_off_for_the_client(node: Node, origin: Origin) -> None:
    async def half(exchange: Exchange, wire: Wire) -> None:
        await wire.send(head(200, [("Content-Length", "200000"), ("Cache-Control", "no-store")]))
        await wire.send(bytes(100_000))
        await wire.close()

    async def half_chunked(exchange: Exchange, wire: Wire) -> None:
        await wire.send(head(200, [("Transfer-Encoding", "chunked"), ("Cache-Control", "no-store")]))
        await wire.send(b"5\r\nabcde\r\n")
        await wire.close()

    origin.paths.update({"/half": half, "/half-chunked": half_chunked})
    for target in ("/half", "/half-chunked"):
        answer = node.get(target)
        assert (answer.status, answer.complete) == (200, False)
        assert answer.ended == "reset"


def test_a_client_that_does_not_read_holds_up_the_origin(node: Node, origin: Origin) -> None:
    sent = threading.Event()
    left = 60_000_000

    async def endless(exchange: Exchange, wire: Wire) -> None:
        await wire.send(head(200, [("Content-Length", str(left)), ("Cache-Control", "no-store")]))
        for _ in range(left // 100_000):
            await wire.send(bytes(100_000))
        sent.set()

    origin.paths["/endless"] = endless
    with RawClient(node.http, receive_buffer=4096) as client:
        client.send(request("/endless"))
        assert client.read_some(100)
        assert not sent.wait(1.0)
        before = origin.journal.sent("/endless")
        assert before < left / 2
    assert not eventually(lambda: origin.journal.sent("/endless") > before + 20_000_000, within=0.5)


def test_what_all_servers_do_is_one_log_and_one_count(node: Node, origin: Origin, connect: Connect) -> None:
    origin.put("/a", 100)
    clients = connect(node)
    for _ in range(5):
        for client in clients:
            ask(client, "/a")
    asked = 5 * len(clients)
    assert eventually(lambda: node.metric("requests_total", site="files") == asked)
    assert node.metric("client_bytes_total", site="files") == 100 * asked
    assert node.metric("connections") == node.status()["node"]["connections"] == len(clients)
    assert sum(row["requests"] for row in node.status()["traffic"]) == asked
    assert eventually(lambda: len(node.access_log()) == asked)
    lines = node.access_log()
    assert len({line["id"] for line in lines}) == asked
    assert len({line["id"].partition("-")[0] for line in lines}) > 2  # both servers wrote
    clients[0].send(b"NONSENSE\r\n\r\n")
    assert clients[0].read().status == 400
    assert eventually(lambda: node.metric("bad_requests_total", status="400") == 1)


def test_limits_hold_over_all_servers(serve: Serve, origin: Origin, connect: Connect) -> None:
    node = serve(limits={"connections": 8, "drain_timeout": "1s"})
    for number in range(16):
        path = f"/{number}"
        origin.put(path, 10, delay=30.0)
        (client,) = connect(node, 1)
        client.send(request(path))
        # Only busy ones do not make room: each is, or has been turned away, before the next comes.
        assert eventually(lambda client=client, path=path: origin.journal.count(path) or client.is_told())
    assert eventually(lambda: node.metric("connections_refused_total", limit="connections") >= 8)
    assert eventually(lambda: node.metric("connections") <= 8)
