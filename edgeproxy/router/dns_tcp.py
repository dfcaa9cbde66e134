"""Queries over TCP (RFC 7766): two bytes of length before each message, answered in the order they came."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from typing import cast

from edgeproxy.router.dns_settings import TcpSettings
from edgeproxy.router.dns_udp import Answer, Report, set_shared
from edgeproxy.router.dns_words import HEADER_BYTES

BACKLOG = 256
WRITE_BYTES_MAX = 256 << 10  # unsent answers; more is not read meanwhile
ANSWERED_AT_ONCE = 64  # then others have their turn


class TcpListener:
    """Owns a listening socket and its connections. `refused` is told of every connection too many."""

    def __init__(self, settings: TcpSettings, answer: Answer, report: Report) -> None:
        self._settings, self._answer, self._report = settings, answer, report
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._by_host: Counter[str] = Counter()

    async def start(self, bound: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), sock=bound, backlog=BACKLOG)

    async def aclose(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.abort()
        if self._server is not None:
            await self._server.wait_closed()

    @property
    def settings(self) -> TcpSettings:
        return self._settings

    def admit(self, connection: _Connection, host: str) -> bool:
        most = self._settings
        if len(self._connections) >= most.connections or self._by_host[host] >= most.connections_of_one:
            return False
        self._connections.add(connection)
        self._by_host[host] += 1
        return True

    def gone(self, connection: _Connection, host: str) -> None:
        if connection in self._connections:
            self._connections.discard(connection)
            self._by_host[host] -= 1
            if not self._by_host[host]:
                del self._by_host[host]

    def answer(self, data: bytes, host: str) -> bytes | None:
        """None where there is none, after an error of ours as well."""
        try:
            return self._answer(data, host, "tcp")
        except Exception as error:  # noqa: BLE001 - the outermost step: one query must not end the server
            self._report("dns over tcp", error)
            return None


class _Connection(asyncio.Protocol):
    def __init__(self, owner: TcpListener) -> None:
        self._owner = owner
        self._host = ""
        self._held = bytearray()
        self._answered = 0
        self._is_paused = self._is_ended = self._is_queued = self._is_last = False
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)
        self._transport = transport
        self._host = (transport.get_extra_info("peername") or ("",))[0]
        if not self._owner.admit(self, self._host):
            transport.abort()
            return
        transport.set_write_buffer_limits(WRITE_BYTES_MAX)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._is_ended = True
        self._owner.gone(self, self._host)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._held += data
        self._work()

    def eof_received(self) -> bool:
        """What was asked is answered still; then we close as well."""
        self._is_last = True
        return self._is_queued or self._is_paused

    def pause_writing(self) -> None:
        """The client does not take its answers: nothing more is read, and it has until the deadline."""
        self._is_paused = True
        self._flow()

    def resume_writing(self) -> None:
        self._is_paused = False
        self._later()

    def _flow(self) -> None:
        """Read only what can be answered."""
        if self._transport is None or self._is_ended:
            return
        if self._is_paused or self._is_queued:
            self._transport.pause_reading()
        elif not self._is_last:
            self._transport.resume_reading()

    def _wait(self) -> None:
        """A whole question has to come, and its answer to be taken, within the idle time from now."""
        if self._deadline is not None:
            self._deadline.cancel()
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(self._owner.settings.idle_seconds, self.abort)

    def _later(self) -> None:
        if not self._is_queued:
            self._is_queued = True
            self._flow()
            asyncio.get_running_loop().call_soon(self._again)

    def _again(self) -> None:
        self._is_queued = False
        self._flow()
        self._work()

    def _work(self) -> None:
        for _ in range(ANSWERED_AT_ONCE):
            if self._is_ended or self._is_paused:
                return
            if not self._answer_next():
                if self._is_last:
                    self._end()
                return
        self._later()

    def _answer_next(self) -> bool:
        """Answer the first whole message of what is held. False where there is none."""
        held, transport = self._held, self._transport
        assert transport is not None
        if len(held) < 2:
            return False
        length = int.from_bytes(held[:2], "big")
        if length < HEADER_BYTES:  # whoever sends this does not speak DNS
            self._end()
            return False
        if len(held) < 2 + length:
            return False
        message = bytes(held[2 : 2 + length])
        del held[: 2 + length]
        reply = self._owner.answer(message, self._host)
        self._answered += 1
        if reply is None or self._answered >= self._owner.settings.questions:
            if reply is not None:
                transport.write(len(reply).to_bytes(2, "big") + reply)
            self._end()
            return False
        transport.write(len(reply).to_bytes(2, "big") + reply)
        self._wait()
        return True

    def _end(self) -> None:
        self._is_ended = True
        self._held.clear()
        if self._transport is not None:
            self._transport.close()


def bind_tcp(host: str, port: int, *, reuse_port: bool) -> socket.socket:
    """Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        set_shared(bound, reuse_port=reuse_port)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound
