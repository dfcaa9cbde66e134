"""Siblings, parents and origins as one Upstream: failover is an Upstream of Upstreams.

Whom to ask is decided by `selection`, what an answer is worth by `verdict`, how one request goes through the
candidates by `pursuit`; here they are put together with what is known of each candidate."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

from cachetools import LRUCache

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import Clock
from edgeproxy.metrics import Metrics
from edgeproxy.tasks import Tasks
from edgeproxy.upstream.candidate import ORIGIN, Candidate, Role
from edgeproxy.upstream.candidate_health import may_eject
from edgeproxy.upstream.health import Breaker, BreakerState
from edgeproxy.upstream.prober import Prober
from edgeproxy.upstream.pursuit import Outcome, Pursuit, judged
from edgeproxy.upstream.remote import ASKED_BY_SIBLING, Remote
from edgeproxy.upstream.retry_budget import RetryBudget
from edgeproxy.upstream.selection import Asked, Selection, select
from edgeproxy.upstream.tracker import Tracker, UpstreamStatus
from edgeproxy.upstream.upstream import Origin, Upstream, UpstreamRequest, UpstreamResponse
from edgeproxy.upstream.watched import Watched

ORIGINS_MAX = 256  # of which latency and goodput are kept
REPLAY_BYTES = 256 << 10  # a request's content up to here is held so that another candidate can get it
_STATES = {BreakerState.CLOSED: "healthy", BreakerState.OPEN: "ejected", BreakerState.HALF_OPEN: "half-open"}


class Chain:
    """Implements Upstream. `remotes` are parents and siblings, asked through `upstream`; origins are asked
    through `origins`. `own` is this node's name among siblings. `report` takes a line for the log."""

    def __init__(
        self,
        remotes: Sequence[Remote],
        upstream: Upstream,
        origins: Breaker,
        *,
        metrics: Metrics,
        tasks: Tasks,
        report: Callable[[str], None],
        own: str = "",
        origin_forbidden: bool = False,
        timer: Clock = time.monotonic,
        chance: random.Random | None = None,
    ) -> None:
        self._remotes = {remote.candidate.name: remote for remote in remotes}
        self._upstream = upstream
        self._origins = origins
        self._metrics = metrics
        self._tasks = tasks
        self._report = report
        self._own = own
        self._origin_forbidden = origin_forbidden
        self._timer = timer
        self._chance = chance or random.Random()
        self._trackers = {
            remote.candidate.name: self._tracker(remote.candidate, remote.origin.url + remote.prefix)
            for remote in remotes
        }
        self._by_origin: LRUCache[Origin, Tracker] = LRUCache(ORIGINS_MAX)
        self._retries = RetryBudget.full(share=0.2, per_second=10.0, most=200)
        self._hedges = RetryBudget.full(share=0.1, per_second=0.5, most=20)

    def __repr__(self) -> str:
        return f"<Chain {list(self._trackers.values())}>"

    def _tracker(self, candidate: Candidate, url: str) -> Tracker:
        tracker = Tracker(
            candidate,
            url,
            metrics=self._metrics,
            timer=self._timer,
            chance=self._chance,
            report=self._report,
        )
        role = candidate.role
        tracker.may_eject = lambda: may_eject(
            other.health for other in self._trackers.values() if other.candidate.role is role
        )
        return tracker

    def start(self) -> None:
        """Begin to probe, until the tasks are closed."""
        for name, remote in self._remotes.items():
            prober = Prober(remote, self._trackers[name], self._upstream, self._timer)
            self._tasks.start(prober.run(), f"probe {name}")

    @property
    def running(self) -> int:
        """Exchanges in flight, as far as can be told."""
        return self._origins.running + int(getattr(self._upstream, "running", 0))

    async def aclose(self) -> None:
        await self._upstream.aclose()
        await self._origins.aclose()

    # -- asking --------------------------------------------------------------------------------

    async def fetch(self, request: UpstreamRequest) -> UpstreamResponse:
        """Raises UpstreamError, at once if nobody can be asked; and what reading `request.body` raises."""
        if not self._remotes and not self._origin_forbidden:
            order: tuple[Candidate, ...] = (ORIGIN,)
        else:
            selection = self.select(request)
            order = selection.order
            if not order:
                raise _nobody(selection)
            if not _is_repeatable(request):
                order = order[:1]
            request = await _prepared(request, len(order))
        self._retries = self._retries.deposited(self._timer())
        self._hedges = self._hedges.deposited(self._timer())
        origin = self._origin_tracker(request.origin)
        pursuit = Pursuit(
            request,
            order,
            self._ask,
            trackers={**self._trackers, ORIGIN.name: origin},
            budgets=self,
            tasks=self._tasks,
            timer=self._timer,
        )
        return await pursuit.run()

    def select(self, request: UpstreamRequest) -> Selection:
        """Who would be asked now, and why not the others."""
        asked = Asked(
            site=request.site,
            key=request.key or request.origin.url + request.target,
            method=request.method,
            is_bulk=request.bulk,
            is_moved=request.moved,
            has_credentials=any(name in request.headers for name in ("Authorization", "Cookie")),
            by_sibling=ASKED_BY_SIBLING in request.headers,
            avoid=request.avoid,
            draw=self._chance.random(),
        )
        no_origin = "origins are not asked here" if self._origin_forbidden else ""
        standings = [tracker.standing for tracker in self._trackers.values()]
        return select(
            standings,
            asked,
            self._timer(),
            own=self._own,
            no_origin=no_origin or self._origins.refusal(request.origin),
        )

    async def _ask(self, candidate: Candidate, request: UpstreamRequest) -> Outcome:
        """One candidate, to its head."""
        is_origin = candidate.role is Role.ORIGIN
        tracker = self._origin_tracker(request.origin) if is_origin else self._trackers[candidate.name]
        began_at = tracker.began()
        try:
            if is_origin:
                response = await self._origins.fetch(request)
            else:
                response = await self._upstream.fetch(self._remotes[candidate.name].addressed(request))
        except UpstreamError as error:
            tracker.ended()
            self._doubt_version(candidate, error)
            outcome = judged(candidate, request, error, was_silent=tracker.was_silent(began_at))
        except BaseException:
            tracker.ended()
            raise
        else:
            patience = None if is_origin else self._remotes[candidate.name].reach.progress_timeout
            outcome = judged(
                candidate, request, Watched(response, tracker, self._timer, patience), was_silent=False
            )
        self._note(tracker, request, outcome, began_at)
        return outcome

    def _note(self, tracker: Tracker, request: UpstreamRequest, outcome: Outcome, began_at: float) -> None:
        verdict = outcome.verdict
        if outcome.error is None and verdict.trouble is None:
            is_small = request.method in ("GET", "HEAD") and not request.bulk and verdict.is_final
            tracker.answered(self._timer() - began_at if is_small else None)
        else:
            tracker.troubled(verdict.trouble, verdict.why)
        if not verdict.is_final:
            self._metrics.count("failovers_total", outcome.candidate.name)

    def _doubt_version(self, candidate: Candidate, error: UpstreamError) -> None:
        """A parent that spoke HTTP/2 without TLS and now talks nonsense may have been replaced."""
        remote = self._remotes.get(candidate.name)
        if remote is not None and error.error is ProxyError.HTTP_PROTOCOL_ERROR and remote.may_speak_http2:
            remote.speaks_http2 = None

    def _origin_tracker(self, origin: Origin) -> Tracker:
        tracker = self._by_origin.get(origin)
        if tracker is None:
            tracker = self._by_origin[origin] = self._tracker(ORIGIN, origin.url)
            tracker.may_eject = lambda: False
        return tracker

    # -- budgets -------------------------------------------------------------------------------

    def may_retry(self) -> bool:
        left = self._retries.withdrawn(self._timer())
        self._retries = left or self._retries
        return left is not None

    def may_hedge(self) -> bool:
        left = self._hedges.withdrawn(self._timer())
        self._hedges = left or self._hedges
        if left is not None:
            self._metrics.count("hedges_total")
        return left is not None

    # -- looking at it -------------------------------------------------------------------------

    def states(self) -> tuple[UpstreamStatus, ...]:
        """Every parent and sibling, and the origins asked lately."""
        broken = {health.origin: health for health in self._origins.states()}
        found = [tracker.status for tracker in self._trackers.values()]
        for tracker in list(self._by_origin.values()):
            status = tracker.status
            health = broken.pop(status.url, None)
            status = replace(status, name=status.url, state="healthy", ejected_seconds=0.0)
            if health is not None:
                state = _STATES[health.state]
                status = replace(
                    status, state=state, why=health.last_error, ejected_seconds=health.seconds_left
                )
            found.append(status)
        return tuple(found)


def _is_repeatable(request: UpstreamRequest) -> bool:
    """Whether what is sent can be sent again."""
    length = 0 if request.body is None else request.body.length
    return length is not None and length <= REPLAY_BYTES


async def _prepared(request: UpstreamRequest, candidates: int) -> UpstreamRequest:
    """Without the mark of a sibling; with its content at hand, where little is to be sent and several may get
    it."""
    if ASKED_BY_SIBLING in request.headers:
        request = replace(request, headers=request.headers.without((ASKED_BY_SIBLING,)))
    body = request.body
    if body is None or candidates == 1:
        return request
    return replace(request, body=_Replayed(b"".join([piece async for piece in body])))


class _Replayed:
    """Content of a request that may be read again: a message.RequestBody."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.length = len(data)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._data:
            yield self._data


def _nobody(selection: Selection) -> UpstreamError:
    said = "; ".join(f"{refused.name}: {refused.why}" for refused in selection.refused)
    return UpstreamError(ProxyError.DESTINATION_UNAVAILABLE, said[:300], sent=False)
