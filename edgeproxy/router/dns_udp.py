"""Queries over UDP: many taken at a wake-up, answered at once from the address they were sent to."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

Answer = Callable[[bytes, str, str], bytes | None]
Report = Callable[[str, BaseException], None]

TAKEN_AT_ONCE = 64  # then others have their turn
QUERY_BYTES_MAX = 4096
_CONTROL_BYTES = 128
_IP_PKTINFO = 8  # Linux; no constants in this Python
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _PMTUDISC_OMIT = 10, 23, 5


class UdpListener:
    """Owns a bound socket. At a wildcard address the kernel is asked where each query was sent, and told to
    answer from there."""

    def __init__(
        self, bound: socket.socket, answer: Answer, report: Report, dropped: Callable[[], None]
    ) -> None:
        self._socket, self._answer, self._report, self._dropped = bound, answer, report, dropped
        self._loop = asyncio.get_running_loop()
        host = bound.getsockname()[0]
        self._is_wildcard = host in ("0.0.0.0", "::")
        if self._is_wildcard and bound.family == socket.AF_INET:
            bound.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        elif self._is_wildcard:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        self._loop.add_reader(bound.fileno(), self._readable)

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()

    def _readable(self) -> None:
        take = self._take_anywhere if self._is_wildcard else self._take
        for _ in range(TAKEN_AT_ONCE):
            try:
                if not take():
                    return
            except (
                OSError
            ):  # nobody is there any more, or the way out is full; the next one is another matter
                self._dropped()
            except Exception as error:  # noqa: BLE001 - the outermost step: one query must not end the server
                self._report("dns over udp", error)

    def _take(self) -> bool:
        """Take one query. False where there is none."""
        try:
            data, address = self._socket.recvfrom(QUERY_BYTES_MAX)
        except BlockingIOError:
            return False
        reply = self._answer(data, address[0], "udp") if address[1] else None
        if reply is not None:
            self._socket.sendto(reply, address)
        return True

    def _take_anywhere(self) -> bool:
        try:
            data, control, _, address = self._socket.recvmsg(QUERY_BYTES_MAX, _CONTROL_BYTES)
        except BlockingIOError:
            return False
        reply = self._answer(data, address[0], "udp") if address[1] else None
        if reply is not None:
            self._socket.sendmsg([reply], [_from_there(one) for one in control if _is_place(one)], 0, address)
        return True


def _is_place(control: tuple[int, int, bytes]) -> bool:
    return control[:2] in (
        (socket.IPPROTO_IP, _IP_PKTINFO),
        (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO),
    )


def _from_there(control: tuple[int, int, bytes]) -> tuple[int, int, bytes]:
    """Where a packet was sent to, as where one is to be sent from: the interface is left to routing, save for
    addresses that mean nothing without it."""
    level, kind, data = control
    if level == socket.IPPROTO_IP:
        return level, kind, bytes(4) + data[4:8] + bytes(4)
    is_link_local = data[0] == 0xFE and data[1] & 0xC0 == 0x80
    return level, kind, data[:16] + (data[16:20] if is_link_local else bytes(4))


def bind_udp(host: str, port: int, *, receive_bytes: int, reuse_port: bool) -> socket.socket:
    """Raises OSError. Answers are never fragmented on account of what somebody says about the path."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        set_shared(bound, reuse_port=reuse_port)
        with contextlib.suppress(OSError):
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        with contextlib.suppress(OSError):
            if family == socket.AF_INET:
                bound.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_OMIT)
            else:
                bound.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_OMIT)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def set_shared(made: socket.socket, *, reuse_port: bool) -> None:
    """Options that have to be set before a socket is bound."""
    flags: list[tuple[Any, Any]] = []
    if made.family == socket.AF_INET6:
        flags.append((socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))
    if reuse_port:
        flags.append((socket.SOL_SOCKET, socket.SO_REUSEPORT))
    for level, name in flags:
        made.setsockopt(level, name, 1)
