"""How many processes a node is, and a server's part of its limits. Pure."""

from __future__ import annotations

import os

from msgspec.structs import replace

from edgeproxy.config import Limits, Node

_SLACK = 8  # the kernel does not deal out the few connections of one client evenly


def workers(node: Node) -> int:
    """Servers to run; with one, the node is one process."""
    if node.workers != "auto":
        return node.workers
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def share(limits: Limits, servers: int) -> Limits:
    """One server's part, so that all together keep `limits`: exactly for connections in all, up to a few for
    those of one client."""
    of_client = limits.connections_per_client
    if of_client:
        of_client = min(of_client, -(-of_client // servers) + _SLACK)
    return replace(limits, connections=-(-limits.connections // servers), connections_per_client=of_client)
