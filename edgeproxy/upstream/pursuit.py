"""One request on its way through the candidates, until one gives an answer.

    ask the first ---- answer -----------------------------------------------> answer
       |  |  \\---- trouble, or the candidate is ejected meanwhile -> ask the next
       |  \\------- small, and no answer when nineteen of twenty had come -> ask the next beside it (hedge)
       \\---------- all have failed: the best that came, else the error

Whoever is still being asked when the answer is there is abandoned; everybody is when the client goes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import Clock
from edgeproxy.tasks import Tasks
from edgeproxy.upstream.candidate import Candidate, Role
from edgeproxy.upstream.candidate_health import Trouble
from edgeproxy.upstream.tracker import Tracker
from edgeproxy.upstream.upstream import UpstreamRequest, UpstreamResponse
from edgeproxy.upstream.verdict import Verdict, of_error, of_response

HEDGE_ANSWERS = 20  # before that, a p95 is a guess
HEDGE_SECONDS = 1.0  # instead of it
HEDGE_SECONDS_MIN = 0.02
HEDGE_ORIGIN_SECONDS = 2.0  # at least: parents are there so that origins are asked rarely


@dataclass(frozen=True, slots=True)
class Outcome:
    """What asking one candidate came to: `response` or `error`, and what to make of it."""

    candidate: Candidate
    verdict: Verdict
    response: UpstreamResponse | None = None
    error: UpstreamError | None = None


class Budgets(Protocol):
    """What may be asked twice. Each gives whether it is permitted, and then counts it."""

    def may_retry(self) -> bool: ...

    def may_hedge(self) -> bool: ...


class Asks(Protocol):
    """Sends a request to one candidate; raises what reading `request.body` raises."""

    async def __call__(self, candidate: Candidate, request: UpstreamRequest) -> Outcome: ...


def judged(
    candidate: Candidate,
    request: UpstreamRequest,
    came: UpstreamResponse | UpstreamError,
    *,
    was_silent: bool,
) -> Outcome:
    """`came` with its verdict."""
    if isinstance(came, UpstreamError):
        has_body = request.body is not None
        verdict = of_error(candidate, request.method, came, was_silent=was_silent, has_body=has_body)
        return Outcome(candidate, verdict, error=came)
    verdict = of_response(candidate, request.method, came.status, came.headers)
    return Outcome(candidate, verdict, response=came)


class Pursuit:
    """`run` once. `order` is not empty, and `trackers` knows everybody in it."""

    def __init__(
        self,
        request: UpstreamRequest,
        order: Sequence[Candidate],
        ask: Asks,
        *,
        trackers: dict[str, Tracker],
        budgets: Budgets,
        tasks: Tasks,
        timer: Clock,
    ) -> None:
        self._request = request
        self._left = list(order)
        self._ask = ask
        self._trackers = trackers
        self._budgets = budgets
        self._tasks = tasks
        self._timer = timer
        self._running: dict[asyncio.Task[Outcome], tuple[Candidate, float]] = {}
        self._nudge: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._may_hedge = request.method in ("GET", "HEAD") and not request.bulk
        self._kept: Outcome | None = None  # the best answer of those that were none
        self._failed: list[Outcome] = []

    async def run(self) -> UpstreamResponse:
        """Raises UpstreamError, and what reading the request's body raises."""
        try:
            if self._request.body is None and len(self._left) > 1:
                chosen = await self._run_side_by_side()
            else:
                chosen = await self._run_in_turn()
        except BaseException:
            await self._abandon(None)
            raise
        await self._abandon(chosen)
        if chosen.response is not None:
            return chosen.response
        assert chosen.error is not None
        raise chosen.error

    # -- one after another ---------------------------------------------------------------------

    async def _run_in_turn(self) -> Outcome:
        while True:
            outcome = await self._ask(self._left.pop(0), self._request)
            if await self._is_end(outcome):
                return self._end(outcome)

    async def _is_end(self, outcome: Outcome) -> bool:
        """Whether nobody is asked after `outcome`."""
        if outcome.verdict.is_final:
            return True
        await self._keep(outcome)
        return not self._left or (outcome.verdict.is_charged and not self._budgets.may_retry())

    async def _keep(self, outcome: Outcome) -> None:
        """Remember what was said; of the answers that may stand, the last."""
        self._failed.append(outcome)
        dropped: Outcome | None = outcome
        if outcome.response is not None and outcome.verdict.may_stand:
            dropped, self._kept = self._kept, outcome
        if dropped is not None and dropped.response is not None:
            await dropped.response.aclose()

    def _end(self, outcome: Outcome) -> Outcome:
        if outcome.verdict.is_final:
            return outcome
        if self._kept is not None:
            return self._kept
        if len(self._failed) == 1 and outcome.error is not None:
            return outcome
        return replace(outcome, response=None, error=_nobody(self._failed))

    # -- side by side --------------------------------------------------------------------------

    async def _run_side_by_side(self) -> Outcome:
        self._begin(self._left.pop(0))
        while True:
            waits: set[asyncio.Future[Any]] = {*self._running, self._nudge}
            await asyncio.wait(waits, timeout=self._patience(), return_when=asyncio.FIRST_COMPLETED)
            ended = [task for task in self._running if task.done()]
            may_go_on = True
            for task in ended:
                candidate, _ = self._running.pop(task)
                self._trackers[candidate.name].unwatch(self._nudge)
                outcome = task.result()
                is_end = await self._is_end(outcome)
                if outcome.verdict.is_final or (is_end and not self._running):
                    self._outrun()
                    return self._end(outcome)
                may_go_on = not is_end
            if self._left and may_go_on and self._next_is_due(has_failed=bool(ended)):
                self._begin(self._left.pop(0))
            elif self._nudge.done():
                self._watch_anew()

    def _next_is_due(self, *, has_failed: bool) -> bool:
        """Whether to ask one more now: in place of one that failed, or beside those that are silent."""
        if has_failed or self._nudge.done():
            return True
        self._may_hedge = self._may_hedge and self._budgets.may_hedge()
        return self._may_hedge

    def _begin(self, candidate: Candidate) -> None:
        """Ask one more."""
        request = self._request
        if self._failed or self._running:  # the client has had its interim responses
            request = replace(request, interim=None)
        task = self._tasks.start(self._ask(candidate, request), f"ask {candidate.name}")
        self._running[task] = (candidate, self._timer())
        self._watch_anew()

    def _watch_anew(self) -> None:
        """Be woken when one of those being asked is ejected, from now on."""
        for candidate, _ in self._running.values():
            self._trackers[candidate.name].unwatch(self._nudge)
        if self._nudge.done():
            self._nudge = asyncio.get_running_loop().create_future()
        for candidate, _ in self._running.values():
            self._trackers[candidate.name].watch(self._nudge)

    def _patience(self) -> float | None:
        """How long the last one asked may take before the next is asked as well; None for ever."""
        if not self._may_hedge or not self._left:
            return None
        candidate, began_at = next(reversed(self._running.values()))
        health = self._trackers[candidate.name].health
        seconds = HEDGE_SECONDS
        if health.answers >= HEDGE_ANSWERS and health.p95 is not None:
            seconds = max(HEDGE_SECONDS_MIN, health.p95)
        if self._left[0].role is Role.ORIGIN:
            seconds = max(seconds, HEDGE_ORIGIN_SECONDS)
        return max(0.0, began_at + seconds - self._timer())

    def _outrun(self) -> None:
        """Note against those still being asked that another was faster, if they gave no sign of life."""
        for candidate, began_at in self._running.values():
            tracker = self._trackers[candidate.name]
            if tracker.was_silent(began_at):
                tracker.troubled(Trouble.SLOW, "another answered first")

    async def _abandon(self, chosen: Outcome | None) -> None:
        """Leave everybody but the one chosen."""
        for candidate, _ in self._running.values():
            self._trackers[candidate.name].unwatch(self._nudge)
        running, self._running = list(self._running), {}
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        responses = [
            task.result().response for task in running if not task.cancelled() and not task.exception()
        ]
        if self._kept is not None:
            responses.append(self._kept.response)
        for response in responses:
            if response is not None and (chosen is None or response is not chosen.response):
                await response.aclose()


def _nobody(failed: Sequence[Outcome]) -> UpstreamError:
    """Why none of several gave an answer."""
    said = "; ".join(f"{one.candidate.name}: {one.verdict.why or one.error}" for one in failed)
    sent = any(one.error is None or one.error.sent for one in failed)
    return UpstreamError(ProxyError.DESTINATION_UNAVAILABLE, said[:300], sent=sent)
