"""What is known of one candidate while the node runs: its health, what is under way, what was counted. The
one place where that changes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from edgeproxy.errors import UpstreamError
from edgeproxy.message import Clock
from edgeproxy.metrics import Metrics
from edgeproxy.upstream import candidate_health as health_of
from edgeproxy.upstream.candidate import Candidate, Role
from edgeproxy.upstream.candidate_health import Health, State, Trouble
from edgeproxy.upstream.selection import Standing
from edgeproxy.upstream.verdict import of_break


@dataclass(frozen=True, slots=True)
class UpstreamStatus:
    """For a status page. `goodput_bytes` is bytes a second of bulk, `ejected_seconds` what is left."""

    name: str
    role: Role
    state: str
    why: str = ""
    latency_seconds: float | None = None
    goodput_bytes: int | None = None
    in_use: int = 0
    ejected_seconds: float = 0.0
    requests: int = 0
    url: str = ""
    region: str = ""


class Tracker:
    """`report` is told when the candidate is ejected and when it is back, `may_eject` whether enough others
    remain. `suspected` is set when something went wrong, so that it is probed at once."""

    def __init__(
        self,
        candidate: Candidate,
        url: str,
        *,
        metrics: Metrics,
        timer: Clock,
        chance: random.Random,
        report: Callable[[str], None],
    ) -> None:
        self.candidate = candidate
        self.health = Health()
        self.in_use = 0
        self.requests = 0
        self.used_at = timer()
        self.suspected = asyncio.Event()
        self.may_eject: Callable[[], bool] = lambda: True
        self._url = url
        self._metrics = metrics
        self._timer = timer
        self._chance = chance
        self._report = report
        self._watching: set[asyncio.Future[None]] = set()

    def __repr__(self) -> str:
        return f"<Tracker {self.candidate.name} {self.state} in_use={self.in_use}>"

    @property
    def state(self) -> State:
        return health_of.state(self.health, self._timer())

    @property
    def standing(self) -> Standing:
        return Standing(self.candidate, self.health, self.in_use)

    @property
    def status(self) -> UpstreamStatus:
        health, now = self.health, self._timer()
        return UpstreamStatus(
            self.candidate.name,
            self.candidate.role,
            health_of.state(health, now).value,
            health.why,
            health.latency,
            None if health.goodput is None else int(health.goodput),
            self.in_use,
            max(0.0, health.ejected_until - now) if health.is_ejected else 0.0,
            self.requests,
            self._url,
            self.candidate.region,
        )

    # -- exchanges -----------------------------------------------------------------------------

    def began(self) -> float:
        """An exchange begins; gives when."""
        self.in_use += 1
        self.requests += 1
        self.used_at = self._timer()
        return self.used_at

    def ended(self) -> None:
        self.in_use -= 1
        self.used_at = self._timer()

    def was_silent(self, since: float) -> bool:
        return self.health.answered_at < since

    def answered(self, seconds: float | None) -> None:
        self._metrics.count("candidate_requests_total", self.candidate.name, "answered")
        self._become(health_of.answered(self.health, self._timer(), seconds))

    def troubled(self, trouble: Trouble | None, why: str) -> None:
        """None: an exchange that came to nothing, and not by the candidate's fault."""
        result = "passed on" if trouble is None else trouble.value
        self._metrics.count("candidate_requests_total", self.candidate.name, result)
        if trouble is None:
            return
        if self.candidate.role is Role.ORIGIN:  # whether to ask an origin is the breaker's business
            self.health = replace(self.health, why=health_of.reason(trouble, why))
            return
        now, draw = self._timer(), self._chance.random()
        others = self.may_eject()
        self._become(health_of.troubled(self.health, now, trouble, why, draw, others=others))
        self.suspected.set()

    def received(self, size: int) -> None:
        self._metrics.count("candidate_bytes_total", self.candidate.name, by=size)

    def delivered(self, size: int, seconds: float, *, is_least: bool) -> None:
        """`is_least`: whoever took the bytes was slower, so that the true figure is at least this."""
        if is_least and (self.health.goodput or 0.0) * seconds >= size:
            return
        self._become(health_of.delivered(self.health, size, seconds))

    def broke(self, error: UpstreamError, moved_at: float) -> None:
        """A body broke off; the last of it came at `moved_at`."""
        trouble = of_break(error, was_silent=self.was_silent(moved_at))
        self.troubled(trouble, f"in mid-body, {error.error.value}: {error}")

    # -- probes and ejection -------------------------------------------------------------------

    def probed(self, *, alive: bool, why: str = "") -> None:
        now, draw = self._timer(), self._chance.random()
        self._become(health_of.probed(self.health, now, alive=alive, why=why, draw=draw))

    def next_probe(self) -> float:
        return health_of.next_probe(self.health, self.used_at, self._chance.random())

    def watch(self, future: asyncio.Future[None]) -> None:
        """Have `future` done when the candidate is ejected."""
        self._watching.add(future)

    def unwatch(self, future: asyncio.Future[None]) -> None:
        self._watching.discard(future)

    def _become(self, health: Health) -> None:
        before, self.health = self.health, health
        role, name = self.candidate.role.value, self.candidate.name
        if health.ejections > before.ejections or (health.is_ejected and not before.is_ejected):
            self._metrics.count("ejections_total", name)
            if not before.is_ejected:
                self._report(f"{role} {name} is not asked for now: {health.why}")
            for future in self._watching:
                if not future.done():
                    future.set_result(None)
        elif before.is_ejected and not health.is_ejected:
            self._report(f"{role} {name} is back")
