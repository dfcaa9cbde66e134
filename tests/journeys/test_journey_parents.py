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
from stands.node import Node, eventually
from stands.origin import Origin, counted, head
from stands.ports import reserve
from stands.raw_client import RawAnswer
from stands.wire import Exchange, Wire

StartNode = Callable[..., Node]
NOWHERE = "http://127.0.0.1:9"  # the discard port, where nobody listens
OUT_OF_USE = ("ejected", "half-open")  # the latter when a probe is due
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


def free_addresses(count: int) -> list[str]:
    """Addresses that nobody listens at, for nodes that must know each other beforehand."""
    return [f"127.0.0.1:{reserve()}" for _ in range(count)]


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
    assert (row["role"], row["state"] in OUT_OF_USE) == ("parent", True), row
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
        assert upstream(node, "up")["state"] in OUT_OF_USE
    finally:
        os.kill(top.pid, signal.SIGCONT)


@pytest.mark.slow
def test_a_flapping_parent_costs_no_more_than_what_it_had_in_hand(
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
    # It went eight times, and may each time have had one answer in hand that could not be begun anew.
    assert len([status for status in statuses if status != 200]) <= 8
    assert statuses.count(200) > 100
    assert node.metric("ejections_total", candidate="up") <= 6, "it oscillates"
    assert node.metric("failovers_total", candidate="up") <= 20


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
        accepted = exchange.get("proxy-authorization") == "Bearer right"
        status, fields = (200, [("Cache-Control", "max-age=60")]) if accepted else (407, [])
        await wire.send(head(status, [*fields, ("Content-Length", "0")]))

    mirror.prefixes["/"] = guarded
    origin.put("/a", 10)
    node = start_node(sites(origin), {"parent": [parent(mirror.url, token="wrong")]})
    assert source(node.get("/a")) == "origin"
    assert "does not accept our token" in upstream(node, "up")["why"]
    node.stop()
    node.sections["parent"] = [parent(mirror.url, token="right")]
    node.start()
    assert source(node.get("/b")) == "up"
    said = node.stderr + json.dumps(node.status()) + node.ask_admin("/metrics").decode()
    assert "Bearer" not in said
    assert "right" not in said
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
