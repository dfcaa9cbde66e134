"""Asks a candidate whether it lives, while it is ejected, under suspicion or idle; and which version of HTTP
it speaks."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import Clock, Headers
from edgeproxy.upstream.candidate_health import State
from edgeproxy.upstream.remote import Remote
from edgeproxy.upstream.tracker import Tracker
from edgeproxy.upstream.upstream import Reach, Upstream

TIMEOUT_SECONDS = 3.0  # for an answer, at most
LEAST_SECONDS = 0.2  # between two probes


class Prober:
    """One for each candidate; `run` lasts until cancelled."""

    def __init__(self, remote: Remote, tracker: Tracker, upstream: Upstream, timer: Clock) -> None:
        self._remote = remote
        self._tracker = tracker
        self._upstream = upstream
        self._timer = timer

    async def run(self) -> None:
        if self._remote.may_speak_http2:
            await self.probe()
        while True:
            await self._wait()
            await self.probe()
            await asyncio.sleep(LEAST_SECONDS)

    async def _wait(self) -> None:
        """Until a probe is due, or something went wrong with who is not ejected yet."""
        suspected = self._tracker.suspected
        while (left := self._tracker.next_probe() - self._timer()) > 0:
            with suppress(TimeoutError):  # wait_for may take a cancellation for the event (CPython 3.11)
                async with asyncio.timeout(left):
                    await suspected.wait()
            if suspected.is_set():
                suspected.clear()
                if self._tracker.state in (State.HEALTHY, State.RETURNING):
                    return

    async def probe(self) -> None:
        """One probe, and what it tells."""
        remote = self._remote
        was_dead = self._tracker.health.is_dead
        why = await self._ask(self._reach(prior_knowledge=remote.http2 == "prior-knowledge"))
        if remote.may_speak_http2:
            if was_dead:
                remote.speaks_http2 = None  # another program may have taken its place
            why = await self._learn(why)
        self._tracker.probed(alive=not why, why=why)

    async def _learn(self, why: str) -> str:
        """Whether HTTP/2 works without TLS; if it does, nothing is wrong."""
        remote = self._remote
        silent = why and not why.startswith(ProxyError.HTTP_PROTOCOL_ERROR.value)
        if silent or (remote.speaks_http2 is not None and not why):
            return why
        remote.speaks_http1 = not why
        remote.speaks_http2 = not await self._ask(self._reach(prior_knowledge=True))
        return "" if remote.speaks_http2 else why

    def _reach(self, *, prior_knowledge: bool) -> Reach:
        reach = self._remote.reached()
        head_timeout = min(TIMEOUT_SECONDS, reach.head_timeout)
        return replace(reach, prior_knowledge=prior_knowledge, head_timeout=head_timeout)

    async def _ask(self, reach: Reach) -> str:
        """Why it does not seem to live; "" if it does."""
        try:
            response = await self._upstream.fetch(self._remote.probe(reach))
        except UpstreamError as error:
            return f"{error.error.value}: {error}"
        status, headers = response.status, response.headers
        await response.aclose()
        return "" if is_alive(status, headers) else f"it says {status}"


def is_alive(status: int, headers: Headers) -> bool:
    """Any answer but an error; and an error by which a cache says that it lacks something (RFC 9111 section
    5.2.1.7)."""
    return status < 500 or status == 504 or "Cache-Status" in headers or "Proxy-Status" in headers
