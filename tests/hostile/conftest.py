"""One node and one recording origin for all tables of this folder.

The node keeps short patience with origins, so that a table of silent ones takes seconds. After
every test the node must still answer, and must not have written a traceback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from stands.node import Node
from stands.origin import Origin

PATIENCE = {"connect_timeout": "1s", "head_timeout": "1s", "progress_timeout": "1s"}


@pytest.fixture(scope="session")
def recording() -> Iterator[Origin]:
    """The origin behind the shared node. Each test uses paths of its own."""
    running = Origin()
    running.put("/alive", 100)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def shared_node(recording: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    sites = [
        {"name": "all", "mount": "/", "origin": recording.url},
        {"name": "below", "mount": "/below", "origin": recording.url + "/fenced"},
    ]
    node = Node(tmp_path_factory.mktemp("hostile"), sites, {"upstream": PATIENCE})
    node.start()
    yield node
    node.stop()


@pytest.fixture
def node(shared_node: Node) -> Iterator[Node]:
    yield shared_node
    shared_node.check()
    assert shared_node.get("/alive").status == 200
