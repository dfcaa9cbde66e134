"""A node of several processes, and connections to each of its servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from stands.node import Node
from stands.origin import Origin
from stands.raw_client import RawClient

SERVERS = 2
CONNECTIONS = 16  # that all of them go to one server happens once in thirty thousand runs


@pytest.fixture
def serve(start_node: Callable[..., Node], origin: Origin) -> Callable[..., Node]:
    """Start a node with two servers in front of `origin`; further sections are merged."""

    def start(**sections: Any) -> Node:
        site = {"name": "files", "mount": "/", "origin": origin.url, **sections.pop("site", {})}
        workers = {"node": {"workers": SERVERS}, "limits": {"drain_timeout": "10s"}}
        return start_node([site], {**workers, **sections})

    return start


@pytest.fixture
def connect() -> Iterator[Callable[[Node], list[RawClient]]]:
    """Open connections, enough that each server has some."""
    opened: list[RawClient] = []

    def connect(node: Node, number: int = CONNECTIONS) -> list[RawClient]:
        made = [RawClient(node.http) for _ in range(number)]
        opened.extend(made)
        return made

    yield connect
    for client in opened:
        client.close()
