"""A router before three nodes, and clients from all over the world, whose addresses a trusted field tells."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
from stands.clients import curl
from stands.fleet import CLIENTS, SECRET, Fleet
from stands.node import Node, eventually
from stands.origin import Origin

BIG, SMALL = 300_000, 500
StartNode = Callable[..., Node]


@pytest.fixture
def fleet(start_node: StartNode, origin: Origin) -> Fleet:
    origin.put("/d/big.bin", BIG)
    origin.put("/d/small.bin", SMALL)
    site = {"name": "files", "kind": "generic", "mount": "/files", "origin": f"{origin.url}/d"}
    return Fleet(start_node, [site])


def fetched(fleet: Fleet, home: Path, target: str, address: str) -> tuple[str, int]:
    """What curl says of a download: the name of who served it ("" for the router), and its size."""
    file = home / "file"
    done = curl(
        home,
        *("-sSL", "--max-time", "20", "-o", str(file), "-w", "%{url_effective}"),
        *("-H", f"X-Forwarded-For: {address}", fleet.router.url(target)),
    )
    assert done.returncode == 0, done.stderr
    return fleet.served_by(urlsplit(done.stdout).netloc), file.stat().st_size


def nodes_of(fleet: Fleet, home: Path) -> dict[str, str]:
    """Whom the clients of each place are served by."""
    found = {}
    for place, address in CLIENTS.items():
        found[place], size = fetched(fleet, home, "/files/big.bin", address)
        assert size == BIG
    return found


def states(fleet: Fleet) -> dict[str, str]:
    told = orjson.loads(fleet.router.ask_admin("/api/v1/routing"))
    return {node["name"]: node["state"] for node in told["nodes"]}


@pytest.mark.slow
def test_who_drains_or_dies_loses_its_clients_and_nobody_else_does(fleet: Fleet, tmp_path: Path) -> None:
    assert nodes_of(fleet, tmp_path) == {name: name for name in CLIENTS}
    # Small files come through the router.
    assert fetched(fleet, tmp_path, "/files/small.bin", CLIENTS["tokyo"]) == ("", SMALL)
    told = fleet.router.reload(fleet.sections(paris={"state": "draining"}))
    assert told["needs_restart"] == []
    after = nodes_of(fleet, tmp_path)
    assert after["paris"] != "paris"
    assert (after["tokyo"], after["denver"]) == ("tokyo", "denver")
    fleet.router.reload(fleet.sections())
    fleet.nodes["tokyo"].kill()
    assert eventually(lambda: states(fleet)["tokyo"] == "down"), fleet.router.stderr
    after = nodes_of(fleet, tmp_path)
    assert (after["paris"], after["denver"]) == ("paris", "denver")
    assert after["tokyo"] in ("paris", "denver")
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
        body = fleet.nodes[fleet.served_by(parts.netloc)].get(node["url"].partition(parts.netloc)[2]).body
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

    def told() -> Any:
        return orjson.loads(router.ask_admin("/api/v1/routing"))["nodes"][0]

    assert eventually(lambda: told()["utilisation_ratio"] > 0), (router.stderr, node.stderr)


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
