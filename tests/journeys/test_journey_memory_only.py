"""A node without a disk: what it keeps is in RAM, and gone with the process."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from stands.large_client import MIB
from stands.large_origin import Large, put_large
from stands.node import Node
from stands.origin import Origin

SIZES = {"/small": 1000, "/middle": 3 * MIB, "/large": 6 * MIB}


@pytest.fixture(params=[1, 2], ids=["alone", "two servers"])
def node(request: pytest.FixtureRequest, start_node: Callable[..., Node], origin: Origin) -> Node:
    cache = {"on_disk": False, "memory": "32MiB", "memory_body": "4MiB"}
    sites = [{"name": "all", "mount": "/", "origin": origin.url}]
    return start_node(sites, {"cache": cache, "node": {"workers": request.param}})


@pytest.fixture
def files(origin: Origin) -> dict[str, Large]:
    return {path: put_large(origin, path, size) for path, size in SIZES.items()}


def outcome(node: Node, path: str, file: Large) -> str:
    """Of a request that brings the right bytes."""
    answer = node.get(path)
    assert (answer.status, answer.complete) == (200, True)
    assert answer.body == file.bytes(0, file.size)
    return "hit" if "; hit" in answer.get("cache-status") else "miss"


def test_bodies_up_to_the_largest_in_ram_are_hits_and_larger_ones_come_through(
    node: Node, files: dict[str, Large]
) -> None:
    asked = {path: [outcome(node, path, file) for _ in range(3)] for path, file in files.items()}
    assert asked == {
        "/small": ["miss", "hit", "hit"],
        "/middle": ["miss", "hit", "hit"],
        "/large": ["miss"] * 3,
    }
    assert node.status()["store"]["disk_state"] == "off: RAM only"


def test_ranges_are_right_of_what_is_held_and_of_what_is_not(node: Node, files: dict[str, Large]) -> None:
    for path in ("/middle", "/large"):
        for held in range(2):
            answer = node.get(path, [("Range", "bytes=2000000-2000999")])
            assert answer.status == 206, (path, held)
            assert answer.body == files[path].bytes(2_000_000, 2_001_000)
            outcome(node, path, files[path])


def test_what_is_purged_or_of_a_process_that_ended_is_fetched_again(
    node: Node, files: dict[str, Large]
) -> None:
    file = files["/small"]
    assert [outcome(node, "/small", file) for _ in range(2)] == ["miss", "hit"]
    node.purge("all")
    assert [outcome(node, "/small", file) for _ in range(2)] == ["miss", "hit"]
    node.restart()
    assert outcome(node, "/small", file) == "miss"
    assert not list(node.cache.rglob("*")), "nothing is on disk"
