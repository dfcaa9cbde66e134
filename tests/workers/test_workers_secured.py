"""Several servers over TLS and HTTP/2: hits, purges, certificates of both sides, as if they were one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stands.authority import Authority, Issued
from stands.http2_client import Http2Client, asking, headers
from stands.node import Node, eventually
from stands.origin import Origin, counted
from stands.raw_client import RawClient, fetch

Serve = Callable[..., Node]
CONNECTIONS = 16  # that all of them go to one server happens once in thirty thousand runs
FOR_LONG = [("Cache-Control", "max-age=3600")]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def issued(authority: Authority) -> Issued:
    return authority.issue("first")


@pytest.fixture
def secured(serve: Serve, authority: Authority, issued: Issued) -> Callable[..., Node]:
    """Start a node with two servers over TLS; options are those of [tls]."""

    def start(listen: dict[str, Any] | None = None, **tls: Any) -> Node:
        own = {"certificate": issued.certificate, "key": issued.key, **tls}
        if "client_certificates" in tls:
            own["client_ca"] = authority.file
        places = {"http": ["127.0.0.1:0"], "https": ["127.0.0.1:0"], **(listen or {})}
        return serve(listen=places, tls=own)

    return start


def servers_of(node: Node) -> set[str]:
    """Who has written the access log: each server has a few names of its own."""
    return {line["id"].partition("-")[0] for line in node.access_log()}


async def test_hits_over_http_2_and_a_purge_is_seen_at_once_by_all(
    secured: Serve, origin: Origin, authority: Authority
) -> None:
    origin.paths["/a"] = counted(FOR_LONG)
    node = await asyncio.to_thread(secured)
    context = authority.client(alpn=("h2",))
    clients = [await Http2Client.connect(node.https, context=context) for _ in range(CONNECTIONS)]

    async def all_get(stream: int) -> set[bytes]:
        answers = [await client.ask(stream, asking("/a", scheme="https")) for client in clients]
        assert {answer.status for answer in answers} == {200}
        return {answer.body for answer in answers}

    first = await all_get(1)
    assert await all_get(3) == first
    assert (len(first), origin.journal.count("/a")) == (1, 1)
    for stream, scope in ((5, "all"), (9, "url"), (13, "site")):
        before = await all_get(stream)
        value = {"all": "", "url": "/a", "site": "files"}[scope]
        await asyncio.to_thread(node.purge, scope, value)
        after = await all_get(stream + 2)
        assert len(after) == 1
        assert after != before
    assert origin.journal.count("/a") == 4
    # Many streams of one connection, some answered by the server alone, some by the filler.
    origin.put("/b", 100_000)
    streams = range(101, 201, 2)
    clients[0].send(*(headers(n, asking("/a" if n % 4 == 1 else "/b", scheme="https")) for n in streams))
    for number in streams:
        assert (await clients[0].answer(number)).status == 200
    for client in clients:
        await client.gone()
    assert eventually(lambda: node.metric("connections") == 0)
    assert {line["version"] for line in node.access_log()} == {"2"}
    assert len(servers_of(node)) > 1


def test_only_known_nodes_are_admitted_by_any_server(
    secured: Serve, origin: Origin, authority: Authority, tmp_path: Path
) -> None:
    body = origin.put("/a", 100)
    node = secured(client_certificates="required")
    stranger = Authority(tmp_path, "another authority").issue("stranger")
    for own, status in ((authority.issue("edge"), 200), (stranger, 0), (None, 0)):
        context = authority.client(own)
        answers = [node.get_secured("/a", context) for _ in range(CONNECTIONS)]
        assert {answer.status for answer in answers} == {status}
        assert {answer.body for answer in answers} == {body if status else b""}
    failures = 2 * CONNECTIONS
    assert eventually(
        lambda: node.metric("tls_handshake_failures_total", reason="certificate") == failures
    ), node.ask_admin("/metrics").decode()
    assert eventually(lambda: len(servers_of(node)) > 1)


def test_a_certificate_is_a_nodes_proof_whichever_server_it_comes_to(
    secured: Serve, origin: Origin, authority: Authority
) -> None:
    """Who asks under the origin's name must be a known node; the filler, which decides, never sees TLS."""
    origin.put("/a", 100)
    node = secured({"node_tokens": ["secret"]}, client_certificates="optional")
    by_name = [("Host", origin.url.removeprefix("http://")), ("Edge-Node", "edge-1")]
    for own, status in ((authority.issue("edge"), 200), (None, 407)):
        context = authority.client(own)
        answers = [fetch(node.https, "/a", by_name, context=context) for _ in range(CONNECTIONS)]
        assert {answer.status for answer in answers} == {status}
    assert origin.journal.count("/a") == 1


def test_another_certificate_is_shown_by_all_servers_and_no_connection_ends(
    secured: Serve, origin: Origin, authority: Authority, issued: Issued
) -> None:
    body = origin.put("/slow", 2_000_000, piece=50_000, piece_delay=0.05)
    node = secured(reload="100ms")
    context = authority.client()

    def shown() -> set[str]:
        found = set()
        for _ in range(CONNECTIONS):
            with RawClient(node.https, context=context) as client:
                certificate: Any = client.secured.getpeercert()
                found.add(certificate["subject"][0][0][1])
        return found

    assert shown() == {"first"}
    with RawClient(node.https, context=context) as downloading:
        downloading.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        assert downloading.read_some(1) == b"H"
        authority.issue("second").move_to(issued)
        assert eventually(lambda: shown() == {"second"})
        downloading._buffer = b"H" + downloading._buffer
        assert downloading.read().body == body
