"""Listening sockets: bound to an address, or inherited from whoever had them before."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from edgeproxy.address import Address, parse_address
from edgeproxy.config import Listen
from edgeproxy.errors import StartError

_IP_TRANSPARENT, _IPV6_TRANSPARENT = 19, 75  # linux/in.h, linux/in6.h


@dataclass(frozen=True, slots=True)
class Listening:
    """The sockets of one address: `kind` is the option it stands in, `text` what is written there, `name` the
    same with the port the kernel chose. A name may have several addresses, and several processes a socket
    each."""

    kind: str
    text: str
    name: str
    sockets: tuple[socket.socket, ...]

    def close(self) -> None:
        for listening in self.sockets:
            listening.close()


def resolve(address: Address) -> list[tuple[Any, ...]]:
    """What an address to listen at stands for. Blocks. Raises OSError."""
    return list(
        dict.fromkeys(
            socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        )
    )


def bind(kind: str, text: str, listen: Listen, *, copies: int = 1) -> Listening:
    """Bind and listen, with `copies` sockets for each address, among which the kernel shares out
    connections (SO_REUSEPORT). Blocks while a name is looked up. Raises StartError naming the address."""
    try:
        address = parse_address(text)
        if address.path:
            return Listening(kind, text, text, (_bind_unix(address.path, listen.backlog),))
        name, sockets = _bind_tcp(address, resolve(address), listen, copies)
        if kind == "transparent":
            for each in sockets:
                _take_any_address(each)
        return Listening(kind, text, name, sockets)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StartError(f"cannot listen at {text}: {reason}") from error


def _bind_tcp(
    address: Address, found: Sequence[tuple[Any, ...]], listen: Listen, copies: int
) -> tuple[str, tuple[socket.socket, ...]]:
    """One socket and its copies for each address a name has, all on one port."""
    sockets: list[socket.socket] = []
    port = address.port
    try:
        for family, kind, protocol, _, where in found:
            if port and copies > 1 and not listen.reuse_port and not sockets:
                _must_be_free(family, kind, (where[0], port, *where[2:]))
            for _ in range(copies):
                listening = socket.socket(family, kind, protocol)
                sockets.append(listening)
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if listen.reuse_port or copies > 1:
                    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                if family == socket.AF_INET6:
                    listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listening.bind((where[0], port, *where[2:]))
                listening.listen(listen.backlog)
                listening.setblocking(False)
                port = listening.getsockname()[1]
    except OSError:
        for listening in sockets:
            listening.close()
        raise
    return str(Address(host=address.host, port=port)), tuple(sockets)


def _take_any_address(listening: socket.socket) -> None:
    """For TPROXY, which leaves connections the address they were meant for. It takes a privilege, and
    REDIRECT does without."""
    with contextlib.suppress(OSError):
        listening.setsockopt(*_any_address(listening), 1)


def takes_any_address(listening: socket.socket) -> bool:
    """Whether TPROXY may give connections to this socket."""
    try:
        return bool(listening.getsockopt(*_any_address(listening)))
    except OSError:
        return False


def _any_address(listening: socket.socket) -> tuple[int, int]:
    if listening.family == socket.AF_INET6:
        return socket.IPPROTO_IPV6, _IPV6_TRANSPARENT
    return socket.IPPROTO_IP, _IP_TRANSPARENT


def _must_be_free(family: int, kind: int, where: tuple[Any, ...]) -> None:
    """Sockets that may be shared by processes would be, also with those of another node. Raises OSError."""
    with socket.socket(family, kind) as alone:
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            alone.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        alone.bind(where)


def _bind_unix(path: str, backlog: int) -> socket.socket:
    """A socket at `path`; one left behind by a process that is gone is replaced."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(path).st_mode):
            with socket.socket(socket.AF_UNIX) as other:
                try:
                    other.connect(path)
                except ConnectionRefusedError:
                    os.unlink(path)
    listening = socket.socket(socket.AF_UNIX)
    try:
        listening.bind(path)
        listening.listen(backlog)
    except OSError:
        listening.close()
        raise
    listening.setblocking(False)
    return listening


def remove_path(bound: Listening) -> None:
    """Remove the name of a unix socket nobody listens at any more."""
    path = parse_address(bound.text).path
    if path:
        with contextlib.suppress(OSError):
            os.unlink(path)


class Inherited:
    """Sockets that are there already, taken by the address they were configured with, each once."""

    def __init__(self, known: Iterable[Listening] = ()) -> None:
        self._known = list(known)

    def take(self, kind: str, text: str) -> Listening | None:
        for bound in self._known:
            if (bound.kind, bound.text) == (kind, text):
                self._known.remove(bound)
                return bound
        return None

    def left(self) -> list[Listening]:
        """What nobody took."""
        return list(self._known)
