"""Asks every node now and then whether it lives: GET of its health URL, over a connection of its own.

A node that surprises is asked again after a second, so that three failures in a row are known within 15
seconds even where each of them is a silence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from edgeproxy.message import Clock
from edgeproxy.router.registry import Listed
from edgeproxy.router.rendezvous import share
from edgeproxy.router.short_exchange import ExchangeFailed, exchange
from edgeproxy.router.tls_trust import TlsTrust
from edgeproxy.tasks import Tasks


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """Seconds, counts."""

    every_seconds: float = 5.0
    again_seconds: float = 1.0
    timeout_seconds: float = 2.0
    at_once: int = 32


class Judge(Protocol):
    """Who is told of each look, and knows where another one soon would tell something."""

    def looked(self, node: str, alive: bool) -> None: ...

    def is_suspicious(self, node: str) -> bool: ...


class Prober:
    """`run` lasts until cancelled. `timer` is monotonic."""

    def __init__(
        self,
        targets: Callable[[], Iterable[Listed]],
        judge: Judge,
        settings: ProbeSettings,
        *,
        tasks: Tasks,
        timer: Clock,
        tls: TlsTrust | None = None,
    ) -> None:
        self._targets = targets
        self._judge = judge
        self._settings = settings
        self._tasks = tasks
        self._timer = timer
        self._tls = tls
        self._due: dict[str, float] = {}
        self._began: dict[str, float] = {}
        self._running: set[str] = set()

    async def run(self) -> None:
        step = min(self._settings.every_seconds, self._settings.again_seconds) / 4
        while True:
            self.look()
            await asyncio.sleep(step)

    def look(self) -> None:
        """Begin the probes that are due."""
        now, settings = self._timer(), self._settings
        targets = {one.node.name: one.target for one in self._targets()}
        self._due = {
            # The first ones are spread over the interval, so that they do not all come at once for ever.
            name: self._due.get(name, now + settings.every_seconds * share(name) / 4)
            for name in targets
        }
        self._began = {name: at for name, at in self._began.items() if name in targets}
        for name in sorted(self._due, key=lambda one: self._due[one]):
            if self._due[name] > now or len(self._running) >= settings.at_once:
                break
            if name not in self._running:
                self._running.add(name)
                self._due[name] = now + settings.every_seconds
                self._began[name] = now
                self._tasks.start(self._probe(name, targets[name]), f"probe {name}")

    def soon(self, name: str) -> None:
        """Somebody doubts that this node serves: look again, as soon as one that surprises is."""
        if name in self._due:
            began = self._began.get(name, float("-inf"))
            earliest = max(self._timer(), began + self._settings.again_seconds)
            self._due[name] = min(self._due[name], earliest)

    async def _probe(self, name: str, url: str) -> None:
        alive = False
        try:
            answer = await exchange(url, seconds=self._settings.timeout_seconds, tls=self._tls)
            alive = is_alive(answer.status)
        except ExchangeFailed:
            pass
        finally:
            self._running.discard(name)
        if name not in self._due:
            return
        self._judge.looked(name, alive)
        if self._judge.is_suspicious(name):
            self._due[name] = min(self._due[name], self._timer() + self._settings.again_seconds)


def is_alive(status: int) -> bool:
    """Any answer but an error: a node that knows no such path lives too."""
    return status < 500
