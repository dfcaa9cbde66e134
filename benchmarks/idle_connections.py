"""Very many connections that ask once and then only stay, from several addresses of loopback.

They are plain sockets of this process, so thousands cost the load little."""

from __future__ import annotations

import contextlib
import resource
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from benchmarks import bodies
from benchmarks.client import WrongBytes

PER_ADDRESS = 500  # a node's limit for one client is 1024 (limits.connections_per_client)
SPARE_FILES = 200  # descriptors for everything else


def files_for(connections: int) -> int:
    """How many of so many connections this process, and servers it starts from now on, may have open."""
    wanted = connections + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return connections if soft == resource.RLIM_INFINITY else min(connections, soft - SPARE_FILES)


def address(number: int) -> str:
    """The loopback address from which connection `number` comes; 127.0.0.1 is left to others."""
    place = number // PER_ADDRESS + 2
    return f"127.0.{place // 250}.{place % 250}"


@contextlib.contextmanager
def held_open() -> Iterator[Idle]:
    """Connections that are closed in the end."""
    idle = Idle()
    try:
        yield idle
    finally:
        idle.close()


class Idle:
    """Open connections; each has got one right answer."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    def __len__(self) -> int:
        return len(self._sockets)

    def grow(self, url: str, target: str, count: int) -> None:
        """Open more, up to `count`. Raises OSError, and WrongBytes for an answer that is not the body."""
        parts = urlsplit(url)
        request = f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
        size = bodies.size_of(target) or 0
        while len(self._sockets) < count:
            connection = socket.socket()
            self._sockets.append(connection)
            connection.settimeout(20)
            connection.bind((address(len(self._sockets) - 1), 0))
            connection.connect((parts.hostname, parts.port))
            connection.sendall(request)
            answer = b""
            while (end := answer.find(b"\r\n\r\n")) < 0 or len(answer) < end + 4 + size:
                if not (data := connection.recv(64 << 10)):
                    raise WrongBytes(f"connection {len(self._sockets)}: the answer ended early")
                answer += data
            if not answer.startswith(b"HTTP/1.1 200 ") or not bodies.matches(target, 0, answer[end + 4 :]):
                raise WrongBytes(f"connection {len(self._sockets)}: {answer[:40]!r}")

    def still_open(self) -> int:
        """How many the server has not closed."""
        count = 0
        for connection in self._sockets:
            connection.setblocking(False)
            try:
                count += bool(connection.recv(1, socket.MSG_PEEK))
            except BlockingIOError:
                count += 1
            except OSError:
                continue
        return count

    def close(self) -> None:
        for connection in self._sockets:
            connection.close()
        self._sockets.clear()
