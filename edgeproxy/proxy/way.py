"""The way of one client to one host: what it becomes, and what is told of it at the end."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from edgeproxy.message import CacheOutcome, Outcome, Request
from edgeproxy.proxy.shared import Shared
from edgeproxy.proxy.tunnel import Tunnel
from edgeproxy.serving.exchange import Progress, account
from edgeproxy.serving.service import Reset, Service

DRAIN_SECONDS = 2.0  # of silence, when the node is about to end

Dial: TypeAlias = Callable[[], Awaitable[socket.socket]]


async def _reached() -> socket.socket:
    raise AssertionError("the other end has been reached already")


class Opened:
    """A tunnel as the listener and the sweep see it: a serving OpenConnection."""

    endpoint: socket.socket | None = None  # what it measures would be the ways of two

    def __init__(self, tunnel: Tunnel, peer: str, idle_seconds: float) -> None:
        self.peer = peer
        self.served = 0
        self._tunnel = tunnel
        self._idle_seconds = idle_seconds
        self._is_draining = False
        self.pulse_seen: tuple[object, ...] = ()
        self.pulse_since = 0.0

    @property
    def streams(self) -> tuple[()]:
        return ()

    @property
    def is_idle(self) -> bool:
        return False

    def pulse(self) -> tuple[str, float, object, object]:
        seconds = DRAIN_SECONDS if self._is_draining else self._idle_seconds
        return ("tunnel", seconds, self._tunnel.up, self._tunnel.down)

    def expire(self, phase: str) -> None:
        self._tunnel.abort("silent for too long")

    def drain(self) -> None:
        self._is_draining = True

    def close(self) -> None:
        self._tunnel.abort("closed")

    def abort(self) -> None:
        self._tunnel.abort("closed")


@dataclass(frozen=True, slots=True)
class Way:
    """One that was permitted. `started` is of time.monotonic; `dial` reaches the other end, where that is not
    done yet. `status` is what the client was told."""

    shared: Shared
    service: Service
    request: Request
    host: str
    port: int
    started: float
    dial: Dial = field(default=_reached)
    status: int = 200

    def tunnel(self, connected: socket.socket, server: socket.socket, early: bytes, *resets: Reset) -> None:
        """From here on bytes go both ways, unseen. `resets` are of the sides that are one of a pair."""
        connected.setblocking(False)
        tunnel = Tunnel(connected, server, self._closed, early, [side.reset for side in resets])
        for side in resets:
            side.abort = tunnel.abort
        opened = Opened(tunnel, self.request.peer, self.shared.settings.idle_seconds)
        self.shared.opened(tunnel)
        self.service.opened(opened)
        tunnel.opened = opened
        tunnel.start()

    def _closed(self, tunnel: Tunnel) -> None:
        self.shared.closed(tunnel)
        self.service.lost(tunnel.opened, self.request.peer)
        outcome = Outcome(CacheOutcome.TUNNEL, detail=f"{tunnel.up} bytes up; {tunnel.why or 'ended'}")
        progress = Progress(self.started, self.status, tunnel.down, self.started, complete=not tunnel.why)
        account(self.service, self.request, outcome, progress)

    def refused(self, rule: str, line: str, status: int = 403) -> None:
        """Nobody could be told: it is counted and logged all the same."""
        self.shared.metrics.count("proxy_refusals_total", rule)
        outcome = Outcome(CacheOutcome.REFUSED, detail=f"{rule}: {line}")
        account(self.service, self.request, outcome, Progress(self.started, status))

    def gave_up(self) -> None:
        self.service.gave_up(self.request.peer)
