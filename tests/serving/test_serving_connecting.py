"""A connection that leaves its transport and lives on."""

from __future__ import annotations

import socket
from typing import Any

from edgeproxy.serving.connecting import ESTABLISHED, copy_of, tell


class Transport:
    def __init__(self, held: socket.socket) -> None:
        self.held = held

    def get_extra_info(self, name: str) -> Any:
        return self.held if name == "socket" else None


def test_the_copy_outlives_the_transport() -> None:
    one, other = socket.socketpair()
    copy = copy_of(Transport(one))
    one.close()
    assert tell(copy)
    assert other.recv(100) == ESTABLISHED
    copy.close()
    assert other.recv(100) == b""
    other.close()


def test_a_client_that_has_left_is_noticed() -> None:
    one, other = socket.socketpair()
    other.close()
    assert not tell(one)
    one.close()
