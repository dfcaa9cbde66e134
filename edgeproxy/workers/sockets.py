"""Which of a node's listening sockets each server has. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from edgeproxy.serving.sockets import Listening


def of_server(bound: Sequence[Listening], number: int, servers: int) -> list[Listening]:
    """Each server has a socket of its own for every address, where there are enough of them, so that the
    kernel deals out connections; else all accept from all. Every socket is somebody's."""
    return [
        Listening(
            one.kind,
            one.text,
            one.name,
            one.sockets[number::servers] if len(one.sockets) % servers == 0 else one.sockets,
        )
        for one in bound
    ]
