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
    assert {"node": "tokyo", "reason": "down"} in orjson.loads(fleet.router.ask_admin(asked))["refused"]


def answered(node: Node, target: str, address: str = "", **fields: str) -> Any:
    sent = [("X-Forwarded-For", address)] if address else []
    return node.get(target, [*sent, *fields.items()])


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
