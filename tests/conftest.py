"""Makes `stands` importable and gives every folder the same few fixtures."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from stands.node import Node, Table
from stands.origin import Origin

StartNode = Callable[..., Node]


@pytest.fixture
def origin() -> Iterator[Origin]:
    """An origin of this test alone."""
    running = Origin()
    yield running
    running.stop()


@pytest.fixture
def start_node(tmp_path: Path) -> Iterator[StartNode]:
    """Start nodes by (sites, sections, arguments); each must stop cleanly when the test is over."""
    nodes: list[Node] = []

    def start(
        sites: Sequence[Table],
        sections: Mapping[str, Table] | None = None,
        arguments: Sequence[str] = (),
        ready: bool = True,
        command: str = "serve",
    ) -> Node:
        node = Node(tmp_path / f"node{len(nodes)}", sites, sections, arguments, command)
        nodes.append(node)
        if ready:
            node.start()
        return node

    yield start
    failures: list[AssertionError] = []
    for node in nodes:
        try:
            node.stop()
        except AssertionError as failure:
            failures.append(failure)
    if failures:
        raise failures[0]
