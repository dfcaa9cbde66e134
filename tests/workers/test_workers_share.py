"""A server's part of a node's limits."""

import pytest

from edgeproxy.config import Limits, Node
from edgeproxy.workers.share import share, workers


@pytest.mark.parametrize(
    ("connections", "of_client", "servers", "expected"),
    [
        (10_000, 1024, 2, (5000, 520)),
        (10_000, 1024, 3, (3334, 350)),
        (1, 1, 4, (1, 1)),
        (7, 4, 2, (4, 4)),
        (100, 0, 2, (50, 0)),
    ],
)
def test_the_parts_together_are_the_limits(
    connections: int, of_client: int, servers: int, expected: tuple[int, int]
) -> None:
    limits = Limits(connections=connections, connections_per_client=of_client, head_timeout=3.0)
    part = share(limits, servers)
    assert (part.connections, part.connections_per_client) == expected
    assert part.connections * servers >= connections
    assert part.head_timeout == 3.0


def test_auto_is_one_server_for_each_core_this_process_may_use() -> None:
    assert workers(Node(workers=3)) == 3
    assert workers(Node(workers="auto")) >= 1
