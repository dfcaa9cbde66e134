"""Tells every router how this node fares: a heartbeat every ten seconds, sooner when something changed.

Each router is told by a task of its own; one that cannot be reached is tried less and less often, and holds
up nobody. What was measured is told once, in the announcement that is due next: it is evidence for averages,
not accounts, and may be lost."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from edgeproxy.message import Clock
from edgeproxy.router.announcement import BODY_BYTES_MAX, Announcement
from edgeproxy.router.announcements import PATH, Heard
from edgeproxy.router.short_exchange import ExchangeFailed, exchange
from edgeproxy.router.tls_trust import TlsTrust
from edgeproxy.tasks import Tasks

REFUSED_SECONDS = 300.0  # between two lines about the same trouble with one router


@dataclass(frozen=True, slots=True)
class AnnouncerSettings:
    """`routers` are URLs without path ("https://router.example"). Seconds."""

    routers: tuple[str, ...]
    token: str
    heartbeat_seconds: float = 10.0
    timeout_seconds: float = 5.0
    least_seconds: float = 1.0  # between two announcements
    most_seconds: float = 60.0  # between two attempts at a router that cannot be reached


class Announcer:
    """`gather` makes the announcement of a given time (wall-clock seconds), `heard` is told whom a router
    wants to be looked at (names and URLs). `run` lasts until cancelled."""

    def __init__(
        self,
        settings: AnnouncerSettings,
        gather: Callable[[float], Announcement],
        *,
        clock: Clock,
        tasks: Tasks,
        report: Callable[[str], None],
        heard: Callable[[list[tuple[str, str]]], None] = lambda _: None,
        tls: TlsTrust | None = None,
    ) -> None:
        self._settings = settings
        self._gather = gather
        self._clock = clock
        self._tasks = tasks
        self._report = report
        self._heard = heard
        self._tls = tls
        self._hurried = asyncio.Event()
        self._busy: set[str] = set()
        self._resting: dict[str, tuple[float, float]] = {}  # until when, and for how long next time
        self._told: dict[str, tuple[str, float]] = {}  # the last trouble, and when it was reported

    def hurry(self) -> None:
        """Something routers should know at once."""
        self._hurried.set()

    async def run(self) -> None:
        while True:
            self.announce()
            await asyncio.sleep(self._settings.least_seconds)
            # Up to a tenth early: nodes that were started together do not stay together.
            rest = self._settings.heartbeat_seconds * random.uniform(0.9, 1.0) - self._settings.least_seconds
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, rest)):
                    await self._hurried.wait()
            self._hurried.clear()

    def announce(self) -> None:
        """Tell every router that can be reached; who is still being told the former one is passed over."""
        now = self._clock()
        ready = [
            url
            for url in self._settings.routers
            if url not in self._busy and self._resting.get(url, (0.0, 0.0))[0] <= now
        ]
        if not ready:
            return
        body = msgspec.json.encode(self._gather(now))
        if len(body) > BODY_BYTES_MAX:
            self._trouble("", f"an announcement of {len(body)} bytes is too large to be sent", now)
            return
        for url in ready:
            self._busy.add(url)
            self._tasks.start(self._tell(url, body), "announce")

    async def _tell(self, url: str, body: bytes) -> None:
        settings = self._settings
        fields = (("Authorization", f"Bearer {settings.token}"), ("Content-Type", "application/json"))
        try:
            answer = await exchange(
                f"{url}{PATH}",
                seconds=settings.timeout_seconds,
                method="POST",
                fields=fields,
                content=body,
                tls=self._tls,
            )
        except ExchangeFailed as failed:
            self._failed(url, str(failed))
            return
        finally:
            self._busy.discard(url)
        if answer.status != 200:
            line = answer.content.decode("utf-8", "replace").partition("\n")[0][:200]
            self._failed(url, f"{answer.status} {line}")
            return
        self._resting.pop(url, None)
        if self._told.pop(url, None) is not None:
            self._report(f"the router {url} takes announcements again")
        try:
            said = msgspec.json.decode(answer.content, type=Heard)
        except msgspec.MsgspecError:
            return
        self._heard([(peer.name, peer.probe) for peer in said.peers])

    def _failed(self, url: str, why: str) -> None:
        now = self._clock()
        _, wait = self._resting.get(url, (0.0, self._settings.least_seconds))
        self._resting[url] = now + wait, min(2 * wait, self._settings.most_seconds)
        self._trouble(url, why, now)

    def _trouble(self, url: str, why: str, now: float) -> None:
        before, at = self._told.get(url, ("", float("-inf")))
        if before != why or now - at >= REFUSED_SECONDS:
            self._told[url] = why, now
            self._report(f"the router {url} did not take the announcement: {why}")
