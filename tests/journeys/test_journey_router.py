"""A router before five nodes, as far from each of its clients as the map says: links are that long. Clients
from all over the world have addresses of their own here, and a trusted field tells those they would have."""

from __future__ import annotations

import hashlib
import http.client
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
from stands.clients import curl
from stands.fleet import CLIENTS, NAME, SECRET, SOURCES, Fleet
from stands.node import Node, eventually
from stands.origin import Origin

BIG, SMALL = 300_000, 500
MOVED_SECONDS = 15.0  # after a node's end nobody is sent there any more
StartNode = Callable[..., Node]
StartFleet = Callable[..., Fleet]


@pytest.fixture
def fleet(start_fleet: StartFleet, origin: Origin) -> Fleet:
    origin.put("/d/big.bin", BIG)
    origin.put("/d/small.bin", SMALL)
    return start_fleet([{"name": "files", "kind": "generic", "mount": "/files", "origin": f"{origin.url}/d"}])


def fetched(fleet: Fleet, home: Path, target: str, client: str) -> tuple[str, int]:
    """What curl says of a download: the name of who served it ("" for the router), and its size."""
    file = home / f"file-{client}"
    done = curl(
        home,
        *("-sSL", "--max-time", "20", "--interface", SOURCES[client], "-o", str(file)),
        *("-w", "%{url_effective}", "-H", f"X-Forwarded-For: {CLIENTS[client]}", fleet.router.url(target)),
    )
    assert done.returncode == 0, done.stderr
    return fleet.served_by(urlsplit(done.stdout).netloc), file.stat().st_size


def nodes_of(fleet: Fleet, home: Path) -> dict[str, str]:
    """Whom the clients of each place are served by."""
    with ThreadPoolExecutor() as pool:
        found = dict(
            zip(CLIENTS, pool.map(lambda c: fetched(fleet, home, "/files/big.bin", c), CLIENTS), strict=True)
        )
    assert {size for _, size in found.values()} == {BIG}
    return {client: node for client, (node, _) in found.items()}


def seconds_of(fleet: Fleet, client: str, node: str) -> float:
    """What a small file, stored there, takes a client from a node: the shortest of three times."""
    host, port = fleet.addresses[node]
    times = []
    for _ in range(3):
        began = time.monotonic()
        connection = http.client.HTTPConnection(host, port, timeout=20, source_address=(SOURCES[client], 0))
        connection.request("GET", "/files/small.bin")
        assert len(connection.getresponse().read()) == SMALL
        connection.close()
        times.append(time.monotonic() - began)
    return min(times)


def quickest(fleet: Fleet) -> dict[str, str]:
    """Measured by each client itself, over its own way to each node."""
    pairs = [(client, node) for client in CLIENTS for node in fleet.nodes]
    with ThreadPoolExecutor(len(pairs)) as pool:
        times = dict(zip(pairs, pool.map(lambda pair: seconds_of(fleet, *pair), pairs), strict=True))
    return {client: min(fleet.nodes, key=lambda node: times[client, node]) for client in CLIENTS}


def dig(fleet: Fleet, client: str) -> str:
    """The node that DNS names to a resolver which tells of its client."""
    host, port = fleet.router.dns
    subnet = CLIENTS[client].rpartition(".")[0] + ".0/24"
    command = ["dig", "+short", "+tries=1", f"+subnet={subnet}", f"@{host}", "-p", str(port), NAME, "A"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stdout
    return fleet.served_by(done.stdout.strip())


def sent_to(fleet: Fleet, client: str) -> str:
    answer = answered(fleet.router, "/files/big.bin", CLIENTS[client])
    return fleet.served_by(urlsplit(answer.get("location")).netloc) if answer.status == 302 else ""


@pytest.mark.slow
def test_every_client_gets_its_nearest_node_and_who_ends_loses_its_own_clients_only(
    fleet: Fleet, tmp_path: Path
) -> None:
    home = {name: name for name in CLIENTS}
    assert nodes_of(fleet, tmp_path) == home
    assert {client: dig(fleet, client) for client in CLIENTS} == home
    # Small files come through the router.
    assert fetched(fleet, tmp_path, "/files/small.bin", "tokyo") == ("", SMALL)
    # Not only the map says so.
    assert quickest(fleet) == home
    fleet.nodes["tokyo"].kill()
    died = time.monotonic()
    others = {name: name for name in CLIENTS if name != "tokyo"}
    while (now := time.monotonic()) - died < MOVED_SECONDS:
        if "tokyo" not in (sent_to(fleet, "tokyo"), dig(fleet, "tokyo")):
            break
        assert {client: sent_to(fleet, client) for client in others} == others
    assert now - died < MOVED_SECONDS, fleet.router.stderr
    after = nodes_of(fleet, tmp_path)
    assert after["tokyo"] in others
    assert dig(fleet, "tokyo") in others
    assert {client: after[client] for client in others} == others
    assert {client: dig(fleet, client) for client in others} == others
    refused_as_down(fleet)
    told = fleet.router.reload(fleet.sections(paris={"state": "draining"}))
    assert told["needs_restart"] == []
    after = nodes_of(fleet, tmp_path)
    assert after["paris"] in others.keys() - {"paris"}
    assert {client: after[client] for client in others if client != "paris"} == {
        client: client for client in others if client != "paris"
    }


def refused_as_down(fleet: Fleet) -> None:
    asked = f"/route/explain?ip={CLIENTS['tokyo']}&url=/files/big.bin"
    refused = orjson.loads(fleet.router.ask_admin(asked))["refused"]
    assert ("tokyo", "down") in [(one["node"], one["reason"]) for one in refused]


def answered(node: Node, target: str, address: str = "", **fields: str) -> Any:
    sent = [("X-Forwarded-For", address)] if address else []
    return node.get(target, [*sent, *fields.items()])


@pytest.mark.slow
def test_one_hop_and_no_other_and_lists_for_who_can_use_several(fleet: Fleet) -> None:
    one_hop_and_no_other(fleet)
    lists_of_nodes(fleet)


def one_hop_and_no_other(fleet: Fleet) -> None:
    answer = answered(fleet.router, "/files/big.bin?", CLIENTS["denver"])
    assert answer.status == 302
    location = answer.get("location")
    parts = urlsplit(location)
    assert fleet.served_by(parts.netloc) == "denver"
    target = location.partition(parts.netloc)[2]
    served = fleet.nodes["denver"].get(target)
    assert (served.status, len(served.body)) == (200, BIG)
    assert served.body == fleet.nodes["denver"].get("/files/big.bin?").body
    # Who comes back to the router with the mark is not sent round in a circle; a forged mark is refused.
    assert fleet.router.get(target).status == 503
    assert fleet.nodes["denver"].get(target[:-1] + ("A" if target[-1] != "A" else "B")).status == 403
    assert SECRET not in fleet.router.stderr


def lists_of_nodes(fleet: Fleet) -> None:
    listed = answered(fleet.router, "/files/big.bin", CLIENTS["paris"], Accept="application/json")
    told = orjson.loads(listed.body)
    assert told["nodes"][0]["node"] == "paris"
    assert told["size_bytes"] == BIG
    bodies = set()
    for node in told["nodes"]:
        parts = urlsplit(node["url"])
        assert fleet.served_by(parts.netloc) == node["node"]
        body = fleet.nodes[node["node"]].get(node["url"].partition(parts.netloc)[2]).body
        bodies.add(hashlib.sha256(body).hexdigest())
    assert len(bodies) == 1
    assert b"<metalink" in answered(fleet.router, "/route?format=meta4&url=/files/big.bin").body


@pytest.mark.slow
def test_nodes_route_by_themselves_and_tell_the_router_how_they_are(
    start_node: StartNode, origin: Origin
) -> None:
    origin.put("/d/big.bin", BIG)
    site = {"name": "files", "kind": "generic", "mount": "/files", "origin": f"{origin.url}/d"}
    other = start_node([site], {"listen": {"http": ["127.0.1.2:0"]}, "router": {"secret": SECRET}})
    router = start_node(
        [site],
        {
            "listen": {"http": ["127.0.0.1:0"]},
            "router": {"secret": SECRET},
            "router.signals": {"token": "t", "interval": "1s"},
            "router.node": [{"name": "paris", "url": "http://127.0.1.1:1", "country": "FR"}],
        },
        command="route",
    )
    node = start_node(
        [site],
        {
            "listen": {"http": ["127.0.1.1:0"], "trusted_clients": ["127.0.0.0/8"]},
            "router": {"secret": SECRET, "enabled": True, "own": "paris", "redirect_above": "100KiB"},
            "router.signals": {"routers": [router.url()], "token": "t", "interval": "1s"},
            "router.node": [
                {"name": "paris", "url": "http://127.0.1.1:1", "country": "FR"},
                {"name": "tokyo", "url": other.url(), "country": "JP"},
            ],
        },
    )
    # Near clients are served here, far ones sent on; the other node serves them although it is not asked to.
    assert answered(node, "/files/big.bin", CLIENTS["paris"]).status == 200
    sent = answered(node, "/files/big.bin", CLIENTS["tokyo"])
    assert sent.status == 302
    place = urlsplit(sent.get("location"))
    assert place.netloc == f"{other.http[0]}:{other.http[1]}"
    assert len(other.get(sent.get("location").partition(place.netloc)[2]).body) == BIG
    # Who was sent here is served here, from wherever.
    marked = sent.get("location").partition("?")[2]
    assert answered(node, f"/files/big.bin?{marked}", CLIENTS["tokyo"]).status == 200

    def told(whom: Node) -> Any:
        return orjson.loads(whom.ask_admin("/api/v1/routing"))["nodes"][0]

    # Also to the map that it has itself.
    for whom in (router, node):
        assert eventually(lambda whom=whom: told(whom)["utilisation_ratio"] > 0), (whom.stderr, node.stderr)


def test_dns_names_the_nearest_node_with_a_health_of_its_own(start_node: StartNode, origin: Origin) -> None:
    dns = pytest.importorskip("dns.query")
    edns = pytest.importorskip("dns.edns")
    site = {"name": "files", "kind": "generic", "mount": "/files", "origin": origin.url}
    nodes = [
        {"name": name, "url": f"http://{name}.example", "country": code, "addresses": [address]}
        for name, code, address in (("paris", "FR", "192.0.2.1"), ("tokyo", "JP", "192.0.2.2"))
    ]
    router = start_node(
        [site],
        {
            "router.node": nodes,
            "router.health": {"interval": "0s"},
            "router.dns": {"listen": ["127.0.0.1:0"], "answers": 1},
            "router.dns.zone": [{"name": "cdn.example", "names": ["@"], "nameservers": ["ns1.example."]}],
        },
        command="route",
    )
    message = pytest.importorskip("dns.message")

    def asked(address: str) -> str:
        subnet = edns.ECSOption(address, 24)
        query = message.make_query("cdn.example", "A", use_edns=0, options=[subnet])
        answer = dns.udp(query, router.dns[0], port=router.dns[1], timeout=10)
        return str(answer.answer[0][0])

    assert [asked(CLIENTS[name]) for name in ("paris", "tokyo")] == ["192.0.2.1", "192.0.2.2"]
