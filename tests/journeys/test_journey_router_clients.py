"""pip and huggingface_hub behind a router: pages and metadata come through it, files from the nodes, and
what takes a token never leaves it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from stands.clients import Pip
from stands.fleet import Fleet
from stands.hub import Hub
from stands.hub_clients import HubClient
from stands.hub_content import Pattern
from stands.index import Index
from stands.node import Node

StartFleet = Callable[..., Fleet]
Visit = Callable[..., HubClient]
LOCAL = [
    {"networks": ["127.0.0.0/8"], "nodes": ["tokyo"]}
]  # where the operator has the clients of these tests
QUICK = {"upstream": {"connect_timeout": "1s"}}


def asked(node: Node, part: str) -> list[tuple[str, str, int]]:
    """Method, path and status of the requests whose path has `part`."""
    return [
        (line["method"], urlsplit(line["url"]).path, line["status"])
        for line in node.access_log()
        if part in line["url"]
    ]


@pytest.mark.slow
def test_pip_reads_pages_from_the_router_and_files_from_the_node(
    start_fleet: StartFleet, index: Index, tmp_path: Path
) -> None:
    site: dict[str, Any] = {
        "name": "packages",
        "kind": "python-index",
        "mount": "/pypi",
        "index": index.url,
        "link_hosts": [index.files_url],
        "private_addresses": True,
    }
    fleet = start_fleet([site], QUICK, LOCAL, redirect_above="300")
    installed = Pip("pip").install(fleet.router.url("/pypi/simple/"), tmp_path / "target", "beta")
    assert installed.status == 0, installed.output
    assert {"beta", "alpha", "gamma"} == {name.lower() for name in installed.packages}
    pages = asked(fleet.router, "/simple/")
    assert pages
    assert {status for _, _, status in pages} == {200}, pages
    wheels = [row for row in asked(fleet.router, ".whl") if row[0] == "GET" and row[1].endswith(".whl")]
    assert [status for *_, status in wheels] == [302] * len(wheels)
    assert len(wheels) == 3
    served = [
        row for row in asked(fleet.nodes["tokyo"], ".whl") if row[0] == "GET" and row[1].endswith(".whl")
    ]
    assert sorted(path for _, path, _ in served) == sorted(path for _, path, _ in wheels)
    for name in fleet.nodes.keys() - {"tokyo"}:
        assert asked(fleet.nodes[name], ".whl") == []


@pytest.mark.slow
@pytest.mark.parametrize("release", ["0.24", "2"])
def test_a_hubs_client_gets_metadata_from_the_router_and_large_files_from_the_node(
    start_fleet: StartFleet, visit: Visit, hub: Hub, release: str
) -> None:
    weights = {"model.safetensors": Pattern("weights", 400_000), "config.json": b"{}"}
    public = hub.add_model("acme/big").commit(weights, "Weights")
    secret = hub.add_model("acme/secret", private=True, readers=["alice"]).commit(weights, "Weights")
    site = {"name": "hf", "kind": "huggingface", "mount": "/hf", "endpoint": hub.url}
    fleet = start_fleet([site], QUICK, LOCAL)
    done = visit(release, fleet.router, "anybody").snapshot("acme/big")
    assert done.ok, done
    assert done.files == hub.repositories["model", "acme/big"].head.digests, (public, done)
    ways = [row for row in asked(fleet.router, "model.safetensors") if row[1].endswith(".safetensors")]
    assert {status for method, _, status in ways if method == "HEAD"} == {200}, ways
    assert [status for method, _, status in ways if method == "GET"] == [302], ways
    assert [row for row in asked(fleet.nodes["tokyo"], "model.safetensors") if row[0] == "GET"]
    # What takes a token is passed on with it, and comes through the router.
    done = visit(release, fleet.router, "alice", token="hf_alice").snapshot("acme/secret")
    assert done.ok, done
    assert done.files == hub.repositories["model", "acme/secret"].head.digests, (secret, done)
    private = [row for row in asked(fleet.router, "acme/secret/resolve") if row[0] == "GET"]
    assert {status for *_, status in private} == {200}, private
    stranger = visit(release, fleet.router, "stranger").snapshot("acme/secret")
    assert "RepositoryNotFoundError" in stranger.raised + stranger.cause, stranger
