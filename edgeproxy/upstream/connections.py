"""Whether a kept connection is silent, asked just before a request goes out on it.

libcurl looks for this only on connections that were idle for a while; bytes that an origin sends unasked
shortly after an answer would be taken for the answer to the next request (response queue poisoning). So
each use after the first peeks at the socket: anything there, even its end, means a fresh connection.

Over HTTP/2 frames may come at any time. A connection multiplexes if it said so in an answer, or if it is
given out while a request on it has not been answered at all, which libcurl does over HTTP/2 only."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TypeAlias

Ends: TypeAlias = tuple[str, str, int, int]  # remote address, local address, remote port, local port


@dataclass(slots=True)
class _Connection:
    fd: int
    multiplexed: bool = False
    unanswered: int = 0


class Connections:
    """The sockets libcurl opened. Descriptors are never trusted: each use checks both ends, so one
    that was closed and given out again by the kernel is not mistaken for the old."""

    def __init__(self) -> None:
        self._opened: set[int] = set()
        self._known: dict[Ends, _Connection] = {}

    def opened(self, fd: int) -> None:
        self._opened.add(fd)

    def may_send(self, ends: Ends) -> bool:
        """True for a connection never used before, or silent, or multiplexed. Then a request is on its way,
        until `answered`."""
        known = self._known.get(ends)
        is_it, is_silent = (False, False) if known is None else _looked_at(known.fd, ends)
        if known is None or not is_it:
            self._learn(ends)
            known = self._known.get(ends)
        elif not (known.multiplexed or known.unanswered or is_silent):
            return False
        if known is not None:
            known.unanswered += 1
        return True

    def answered(self, ends: Ends, *, multiplexed: bool) -> None:
        """The first byte of an answer came, or none will."""
        known = self._known.get(ends)
        if known is not None:
            known.unanswered = max(0, known.unanswered - 1)
            known.multiplexed = known.multiplexed or multiplexed

    def _learn(self, ends: Ends) -> None:
        """Find the descriptor of a new connection; forget those that are gone."""
        self._known = {key: each for key, each in self._known.items() if _is(each.fd, key)}
        for fd in self._opened:
            if _is(fd, ends):
                self._known[ends] = _Connection(fd)
                self._opened.discard(fd)
                break
        if len(self._opened) > 64:  # attempts that lost the race between two addresses
            self._opened = {fd for fd in self._opened if _family(fd) is not None}


def _family(fd: int) -> int | None:
    try:
        sock = socket.socket(fileno=fd)
    except OSError:
        return None
    family = sock.family
    sock.detach()
    return family


def _is(fd: int, ends: Ends) -> bool:
    return _looked_at(fd, ends)[0]


def _looked_at(fd: int, ends: Ends) -> tuple[bool, bool]:
    """Whether a descriptor is the connection with these ends, and whether nothing has come on it."""
    family = socket.AF_INET6 if ":" in ends[0] else socket.AF_INET
    try:
        sock = socket.socket(family, socket.SOCK_STREAM, 0, fileno=fd)
    except OSError:
        return False, False
    try:
        local, remote = sock.getsockname(), sock.getpeername()
        is_it = local[1] == ends[3] and remote[1] == ends[2] and remote[0] == ends[0]
        return is_it, is_it and _silent(sock)
    except (OSError, IndexError):
        return False, False
    finally:
        sock.detach()


def _silent(sock: socket.socket) -> bool:
    try:
        sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
