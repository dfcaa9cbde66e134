"""CONNECT on a connection of HTTP/1: who is asked, and how the connection leaves the server for good."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Any

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


def copy_of(transport: Any) -> socket.socket:
    """Another descriptor of a transport's socket, which outlives the transport. Raises OSError."""
    return socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))


def tell(connected: socket.socket, head: bytes = ESTABLISHED) -> bool:
    """Say that the way is open. A client that asked and does not take these bytes is not there."""
    with contextlib.suppress(OSError):
        return connected.send(head) == len(head)
    return False
