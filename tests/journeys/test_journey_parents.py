"""A node below others: parents that are not there, fall silent, come and go; a node cut off from all."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from stands.node import Node, eventually, free_addresses
from stands.origin import Origin, Resource, counted, head
from stands.raw_client import RawAnswer
from stands.wire import Exchange, Wire, not_found

from edgeproxy.pipeline.children import PURGES_PATH

StartNode = Callable[..., Node]
NOWHERE = "http://127.0.0.1:9"  # the discard port, where nobody listens
SHORT = {"connect_timeout": "1s", "head_timeout": "1s", "progress_timeout": "1s"}


def sites(origin: Origin, **options: Any) -> list[dict[str, Any]]:
    return [{"name": "all", "mount": "/", "origin": origin.url, **options}]


def parent(url: str, name: str = "up", **options: Any) -> dict[str, Any]:
    return {"name": name, "url": url, **SHORT, **options}


@pytest.fixture
def mirror() -> Iterator[Origin]:
    """A stand-in parent: it has of the origin what is put there."""
    running = Origin()
    yield running
    running.stop()


def upstream(node: Node, name: str) -> dict[str, Any]:
    """What status says of a parent or of the origin at a URL."""
    return next(dict(row) for row in node.status()["upstreams"] if row["name"] == name)


def all_well(node: Node) -> bool:
    """Whether soon everybody above and beside a node is asked; who started later is found by a probe."""

    def well() -> bool:
        return all(row["state"] in ("healthy", "returning") for row in node.status()["upstreams"])

    return eventually(well)


def source(answer: RawAnswer) -> str:
    """Whom the node had an answer from, by its Cache-Status."""
    status = answer.get("cache-status").rpartition(",")[2]
    return status.rpartition("from ")[2].split(";")[0].strip('"') if "from " in status else "origin"


def test_three_tiers_fetch_once_and_answer_while_what_is_above_them_is_gone(
    start_node: StartNode, origin: Origin
) -> None:
    body = origin.put("/a", 70_000)
    top = start_node(sites(origin), {"node": {"name": "top"}, "listen": {"http": free_addresses(1)}})
    edges = [
        start_node(sites(origin), {"node": {"name": name}, "parent": [parent(top.url())]})
        for name in ("edge-1", "edge-2")
    ]
    for edge in edges:
        answer = edge.get("/a")
        assert (answer.status, answer.body, source(answer)) == (200, body, "up")
    assert origin.journal.count("/a") == 1
    assert "top" in answer.get("via")
    assert upstream(edges[0], "up")["state"] == "healthy"
    assert edges[0].metric("candidate_requests_total", candidate="up", result="answered") == 1
    assert eventually(lambda: [line["source"] for line in edges[0].access_log()] == ["up"])
    top.kill()
    origin.put("/b", 1000)
    assert [source(edge.get("/b")) for edge in edges] == ["origin", "origin"]
    assert edges[0].get("/a").body == body
    top.start()
    assert top.get("/a").body == body


def test_a_parent_that_is_not_there_costs_the_first_request_and_no_other(
    start_node: StartNode, origin: Origin
) -> None:
    node = start_node(sites(origin), {"parent": [parent(NOWHERE)]})
    for number in range(20):
        origin.put(f"/{number}", 100)
        assert node.get(f"/{number}").status == 200
    assert node.metric("failovers_total", candidate="up") <= 1
    row = upstream(node, "up")
    assert (row["role"], row["state"]) == ("parent", "ejected"), row
    assert "connection_refused" in row["why"]
    assert upstream(node, origin.url)["state"] == "healthy"
    assert "parent up is not asked for now" in node.stderr


def test_a_parent_that_comes_back_is_used_again_within_seconds(
    start_node: StartNode, origin: Origin, mirror: Origin
) -> None:
    mirror.server.close()
    node = start_node(sites(origin), {"parent": [parent(mirror.url)]})
    origin.put("/first", 10)
    assert source(node.get("/first")) == "origin"
    time.sleep(1)
    mirror.server.open()
    numbers = iter(range(100_000))

    def is_used() -> bool:
        path = f"/{next(numbers)}"
        origin.put(path, 10)
        mirror.put(path, 10)
        return source(node.get(path)) == "up"

    assert eventually(is_used)
    assert "parent up is back" in node.stderr


def test_a_parent_that_goes_with_a_request_in_hand_costs_nobody_an_answer(
    start_node: StartNode, origin: Origin, mirror: Origin
) -> None:
    """The request left over a kept connection, and there is nobody any more to ask again."""

    async def leaves(exchange: Exchange, wire: Wire) -> None:
        server = mirror.server._server
        assert server is not None
        server.close()
        await wire.reset()

    origin.prefixes["/"] = counted([("Cache-Control", "no-store")])
    mirror.put("/first", 10)
    mirror.paths[PURGES_PATH] = not_found  # which it is asked for at once
    mirror.prefixes["/"] = leaves
    node = start_node(sites(origin), {"parent": [parent(mirror.url, http2="off")]})
    assert source(node.get("/first")) == "up"
    answers = [node.get(f"/{number}") for number in range(5)]
    assert [(answer.status, source(answer)) for answer in answers] == [(200, "origin")] * 5
    assert mirror.journal.count("/0") == 1
    assert upstream(node, "up")["state"] == "ejected"


@pytest.mark.slow
def test_a_parent_that_falls_silent_holds_up_nobody_for_long(start_node: StartNode, origin: Origin) -> None:
    """SIGSTOP: connections are still accepted, and nothing more comes."""
    for number in range(30):
        origin.put(f"/{number}", 100)
    top = start_node(sites(origin))
    node = start_node(sites(origin), {"parent": [parent(top.url())]})
    assert source(node.get("/0")) == "up"
    os.kill(top.pid, signal.SIGSTOP)
    try:
        seconds = []
        for number in range(1, 20):
            began = time.monotonic()
            assert node.get(f"/{number}").status == 200
            seconds.append(time.monotonic() - began)
        assert max(seconds) < 15
        assert sorted(seconds)[len(seconds) // 2] < 1, "it was waited for again and again"
        assert upstream(node, "up")["state"] == "ejected"
    finally:
        os.kill(top.pid, signal.SIGCONT)


@pytest.mark.slow
def test_a_flapping_parent_costs_nobody_an_answer(
    start_node: StartNode, origin: Origin, mirror: Origin
) -> None:
    """Up and down every 0.3 to 1.5 seconds, under load."""
    for each in (origin, mirror):
        each.prefixes["/"] = counted([("Cache-Control", "no-store")])
    node = start_node(sites(origin), {"parent": [parent(mirror.url)]})
    over = threading.Event()

    def flap() -> None:
        for seconds in (0.3, 0.7, 1.5, 0.3, 0.5, 1.2, 0.3, 0.3):
            mirror.server.close()
            time.sleep(seconds)
            mirror.server.open()
            time.sleep(seconds)
        over.set()

    flapping = threading.Thread(target=flap)
    flapping.start()
    statuses: list[int] = []
    while not over.is_set():
        statuses.append(node.get(f"/{len(statuses)}").status)
        time.sleep(0.005)
    flapping.join()
    assert set(statuses) == {200}
    assert len(statuses) > 100
    assert node.metric("ejections_total", candidate="up") <= 6, "it oscillates"
    assert node.metric("failovers_total", candidate="up") <= 20


@pytest.mark.slow
def test_a_parent_over_http_2_that_dies_again_and_again_costs_nobody_an_answer(
    start_node: StartNode, origin: Origin
) -> None:
    """With many requests in hand each time, on one connection."""
    origin.prefixes["/"] = counted([("Cache-Control", "no-store")], delay=0.02)
    (address,) = free_addresses(1)
    top = start_node(sites(origin), {"listen": {"http": [address]}})
    node = start_node(sites(origin), {"parent": [parent(top.url(), http2="prior-knowledge")]})
    over = threading.Event()
    statuses: list[tuple[int, str]] = []

    def ask(number: int) -> None:
        while not over.is_set():
            answer = node.get(f"/{number}/{len(statuses)}")
            statuses.append((answer.status, answer.get("proxy-status")))

    clients = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for client in clients:
        client.start()
    used = 0.0
    for _ in range(4):
        assert eventually(lambda: node.metric("candidate_requests_total", candidate="up") > used + 20, 40)  # noqa: B023
        top.kill()
        top.start()
        used = node.metric("candidate_requests_total", candidate="up")
    over.set()
    for client in clients:
        client.join()
    assert {status for status, _ in statuses} == {200}, [one for one in statuses if one[0] != 200]
    assert len(statuses) > 100


# -- autonomy ----------------------------------------------------------------------------------


def test_a_node_cut_off_from_everybody_answers_at_once_and_comes_back_by_itself(
    start_node: StartNode, origin: Origin, mirror: Origin
) -> None:
    body = mirror.put("/held", 500, cache_control="max-age=0")
    sections = {"parent": [parent(mirror.url)], "upstream": {"origin": "never"}}
    node = start_node(sites(origin), sections)
    assert node.get("/held").body == body
    mirror.server.close()
    assert node.get("/absent").status in (502, 503)
    began = time.monotonic()
    for number in range(50):  # which would take a second each if they waited
        answer = node.get(f"/absent-{number}")
        assert (answer.status, answer.get("retry-after")) == (503, "2")
        assert "error=destination_unavailable" in answer.get("proxy-status")
    assert time.monotonic() - began < 25
    stale = node.get("/held")
    assert (stale.status, stale.body) == (200, body)
    assert "disconnected" in stale.get("cache-status")
    mirror.put("/absent", 10)
    mirror.server.open()
    assert eventually(lambda: node.get("/absent").status == 200)
    assert origin.journal.exchanges == []


def test_a_parents_own_word_that_it_is_cut_off_lets_stale_answers_be_served(
    start_node: StartNode, origin: Origin
) -> None:
    body = origin.put("/a", 500, cache_control="max-age=0")
    top = start_node(sites(origin, max_stale="0s"))
    node = start_node(sites(origin), {"parent": [parent(top.url())], "upstream": {"origin": "never"}})
    assert node.get("/a").body == body
    origin.server.close()
    for _ in range(5):
        answer = node.get("/a")
        assert (answer.status, answer.body) == (200, body)
    assert upstream(node, "up")["state"] == "healthy", "what the origin does is held against the parent"


@pytest.mark.slow
def test_an_origin_that_was_silent_is_asked_again_soon_after_it_speaks(
    start_node: StartNode, origin: Origin
) -> None:
    """Without parents: after five who waited in vain nobody waits, or has to find out that it is back."""
    is_back = threading.Event()

    async def silent(exchange: Exchange, wire: Wire) -> None:
        if not is_back.is_set():
            await wire.until_gone()
        await wire.send(head(200, [("Cache-Control", "no-store"), ("Content-Length", "0")]))

    origin.prefixes["/"] = silent
    node = start_node(sites(origin), {"upstream": {"head_timeout": "500ms"}})
    for number in range(5):
        assert node.get(f"/{number}").status == 504
    assert upstream(node, origin.url)["state"] == "ejected"
    began = time.monotonic()
    assert node.get("/5").status == 503
    assert time.monotonic() - began < 0.4, "it was waited for"
    assert eventually(lambda: origin.journal.count("/", "HEAD") == 2, 15)
    is_back.set()
    began = time.monotonic()
    assert eventually(lambda: upstream(node, origin.url)["state"] == "half-open", 9)
    assert origin.journal.count("/", "HEAD") == 3
    assert [node.get(f"/{number}").status for number in range(6, 9)] == [200] * 3
    assert upstream(node, origin.url)["state"] == "healthy"
    assert time.monotonic() - began < 9


# -- circles -----------------------------------------------------------------------------------


def test_two_nodes_that_are_each_others_parent_ask_the_origin(start_node: StartNode, origin: Origin) -> None:
    body = origin.put("/a", 500)
    here, there = free_addresses(2)
    first, second = (
        start_node(
            sites(origin),
            {"node": {"name": name}, "listen": {"http": [own]}, "parent": [parent(f"http://{other}")]},
        )
        for name, own, other in (("first", here, there), ("second", there, here))
    )
    assert all_well(first)
    assert all_well(second)
    answer = first.get("/a")
    assert (answer.status, answer.body) == (200, body)
    assert origin.journal.count("/a") == 1
    assert second.metric("failovers_total", candidate="up") == 1
    assert upstream(second, "up")["state"] in ("healthy", "returning"), "a circle is nobody's fault"


# -- who we are --------------------------------------------------------------------------------


def test_a_parent_that_refuses_our_token_is_left_and_the_operator_told(
    start_node: StartNode, origin: Origin, mirror: Origin
) -> None:
    async def guarded(exchange: Exchange, wire: Wire) -> None:
        accepted = exchange.get("proxy-authorization") == "Bearer sesame-91"
        status, fields = (200, [("Cache-Control", "max-age=60")]) if accepted else (407, [])
        await wire.send(head(status, [*fields, ("Content-Length", "0")]))

    mirror.prefixes["/"] = guarded
    origin.put("/a", 10)
    node = start_node(sites(origin), {"parent": [parent(mirror.url, token="wrong")]})
    assert source(node.get("/a")) == "origin"
    assert "does not accept our token" in upstream(node, "up")["why"]
    node.stop()
    node.sections["parent"] = [parent(mirror.url, token="sesame-91")]
    node.start()
    assert source(node.get("/b")) == "up"
    said = node.stderr + json.dumps(node.status()) + node.ask_admin("/metrics").decode()
    assert "Bearer" not in said
    assert "sesame-91" not in said
    assert all(not exchange.get("proxy-authorization") for exchange in origin.journal.exchanges)


@pytest.mark.slow
def test_siblings_fetch_each_object_once_for_all(start_node: StartNode, origin: Origin) -> None:
    addresses = free_addresses(3)
    urls = [f"http://{address}" for address in addresses]
    nodes = [
        start_node(
            sites(origin),
            {
                "node": {"name": f"s{number}"},
                "listen": {"http": [address]},
                "siblings": {"nodes": urls, "own": f"http://{address}"},
            },
        )
        for number, address in enumerate(addresses)
    ]
    assert all(map(all_well, nodes))
    for number in range(30):
        body = origin.put(f"/{number}", 2000)
        assert [node.get(f"/{number}").body for node in nodes] == [body] * 3
    assert [origin.journal.count(f"/{number}") for number in range(30)] == [1] * 30
    nodes[2].kill()
    for number in range(30, 60):
        body = origin.put(f"/{number}", 2000)
        assert [node.get(f"/{number}").body for node in nodes[:2]] == [body] * 2
    assert sum(origin.journal.count(f"/{number}") for number in range(30, 60)) <= 31


def test_a_purge_at_one_sibling_is_one_at_all_and_none_brings_back_what_was_purged(
    start_node: StartNode, origin: Origin
) -> None:
    """Who owns an object has it still when another purges and asks for it."""
    addresses = free_addresses(3)
    urls = [f"http://{address}" for address in addresses]
    nodes = [
        start_node(
            sites(origin),
            {
                "node": {"name": f"s{number}"},
                "listen": {"http": [address]},
                "siblings": {"nodes": urls, "own": f"http://{address}"},
            },
        )
        for number, address in enumerate(addresses)
    ]
    assert all(map(all_well, nodes))
    paths = [f"/{number}" for number in range(12)]

    def publish(generation: str) -> list[bytes]:
        made = [f"{generation} of {path}".encode() for path in paths]
        for path, body in zip(paths, made, strict=True):
            origin.paths[path] = Resource(body, fields=[("Surrogate-Key", "t")])
        return made

    def are(expected: list[bytes]) -> list[bool]:
        return [[node.get(path).body for path in paths] == expected for node in nodes]

    assert are(publish("first")) == [True] * 3
    for number, purge in ((1, ("tag", "t")), (2, ("prefix", "/")), (0, ("all", ""))):
        newest = publish(f"that of {number}")
        nodes[number].purge(*purge)
        assert [nodes[number].get(path).body for path in paths] == newest
        assert eventually(lambda: all(are(newest))), are(newest)  # noqa: B023
    assert [node.metric("followed_total", end="purged") for node in nodes] == [2, 2, 2]
    assert [node.metric("followed_total", end="gap") for node in nodes] == [0, 0, 0]
