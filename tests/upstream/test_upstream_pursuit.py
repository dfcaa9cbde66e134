"""One request through its candidates, each of which is told what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from upstream_town import Calm, Came, request

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import Headers
from edgeproxy.metrics import Metrics
from edgeproxy.tasks import Tasks
from edgeproxy.upstream.candidate import ORIGIN, Candidate, Role
from edgeproxy.upstream.candidate_health import Health
from edgeproxy.upstream.pursuit import Outcome, Pursuit, judged
from edgeproxy.upstream.tracker import Tracker
from edgeproxy.upstream.upstream import UpstreamRequest

Act = Callable[[UpstreamRequest], Any]


class Run:
    """`acts` says by name what each candidate does: give a Came or an error, or wait for ever (None)."""

    def __init__(self, **acts: Any) -> None:
        self.acts = acts
        self.order = [ORIGIN if name == "origin" else Candidate(name, Role.PARENT) for name in acts]
        self.asked: list[str] = []
        self.sent: list[UpstreamRequest] = []
        self.came: list[Came] = []
        self.retries = self.hedges = 100
        self.loop = asyncio.get_running_loop()
        self.trackers = {
            one.name: Tracker(
                one, "", metrics=Metrics(), timer=self.loop.time, chance=Calm(), report=lambda _: None
            )
            for one in self.order
        }

    def may_retry(self) -> bool:
        self.retries -= 1
        return self.retries >= 0

    def may_hedge(self) -> bool:
        self.hedges -= 1
        return self.hedges >= 0

    async def ask(self, candidate: Candidate, request: UpstreamRequest) -> Outcome:
        self.asked.append(candidate.name)
        self.sent.append(request)
        act = self.acts[candidate.name]
        if act is None:
            await asyncio.Event().wait()
        if isinstance(act, Came):
            self.came.append(act)
        await asyncio.sleep(0)
        return judged(candidate, request, act, was_silent=False)

    async def result(self, asked: UpstreamRequest | None = None) -> Any:
        pursuit = Pursuit(
            asked or request(),
            self.order,
            self.ask,
            trackers=self.trackers,
            budgets=self,
            tasks=Tasks(lambda _, error: pytest.fail(repr(error))),
            timer=self.loop.time,
        )
        try:
            return (await pursuit.run()).status
        except UpstreamError as error:
            return error

    @property
    def open(self) -> int:
        return sum(not came.is_closed for came in self.came)


def bad(status: int = 503, **fields: str) -> Came:
    return Came(status, Headers((name.replace("_", "-"), value) for name, value in fields.items()))


RELAYED = {"Proxy_Status": "top; error=connection_timeout"}
REFUSED = UpstreamError(ProxyError.CONNECTION_REFUSED, "refused", sent=False)
CUT = UpstreamError(ProxyError.CONNECTION_TERMINATED, "cut")


async def test_the_last_answer_that_may_stand_is_given_when_there_is_no_better() -> None:
    run = Run(a=bad(502), b=bad(503), c=REFUSED)
    assert await run.result() == 503
    assert run.open == 1, "the answer given is open and no other"


async def test_a_gateways_word_about_others_is_no_answer() -> None:
    run = Run(a=bad(502, **RELAYED), b=bad(504, **RELAYED))
    error = await run.result()
    assert (error.error, error.status) == (ProxyError.DESTINATION_UNAVAILABLE, 503)
    assert str(error) == "a: it says 502; b: it says 504"
    assert run.open == 0


async def test_a_single_error_is_told_as_it_is() -> None:
    assert await Run(a=CUT).result() is CUT
    assert (await Run(a=REFUSED, b=CUT).result()).error is ProxyError.DESTINATION_UNAVAILABLE
    refused_twice = await Run(a=REFUSED, b=REFUSED).result()
    assert not refused_twice.sent


async def test_without_budget_nothing_is_asked_again_but_what_cost_nothing() -> None:
    run = Run(a=bad(503), b=Came())
    run.retries = 0
    assert await run.result() == 503
    assert run.asked == ["a"]
    free = Run(a=REFUSED, b=Came())
    free.retries = 0
    assert await free.result() == 200


async def test_interim_responses_come_from_the_first_alone() -> None:
    run = Run(a=REFUSED, b=Came())
    assert await run.result(replace(request(), interim=lambda *_: None)) == 200
    assert [sent.interim is None for sent in run.sent] == [False, True]


async def test_a_hedge_is_sent_once_the_usual_time_has_passed() -> None:
    run = Run(a=None, b=Came())
    run.trackers["a"].health = Health(answers=100, p95=0.05)
    began = run.loop.time()
    assert await run.result() == 200
    assert run.asked == ["a", "b"]
    assert run.loop.time() - began >= 0.05
    assert run.trackers["a"].health.why == "slow: another answered first"


async def test_every_further_candidate_may_be_a_hedge_while_the_budget_lasts() -> None:
    run = Run(a=None, b=None, c=Came())
    for name in "ab":
        run.trackers[name].health = Health(answers=100, p95=0.02)
    assert await run.result() == 200
    poor = Run(a=None, b=Came())
    poor.trackers["a"].health = Health(answers=100, p95=0.02)
    poor.hedges = 0
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(poor.result(), 0.2)
    assert poor.asked == ["a"]


async def test_the_origin_is_no_hedge_for_a_moments_delay() -> None:
    run = Run(a=None, origin=Came())
    run.trackers["a"].health = Health(answers=100, p95=0.02)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(run.result(), 0.3)
    assert run.asked == ["a"]


async def test_a_failure_beside_a_hedge_waits_for_the_other() -> None:
    run = Run(a=None, b=REFUSED, c=Came())
    run.trackers["a"].health = Health(answers=100, p95=0.02)
    assert await run.result() == 200
    assert run.asked == ["a", "b", "c"]
    assert run.open == 1


async def test_an_ejection_of_nobody_who_is_left_changes_nothing() -> None:
    """The last one is ejected while it is asked: there is nobody else, and its answer still counts."""
    run = Run(a=REFUSED, b=None)
    task = asyncio.ensure_future(run.result())
    await asyncio.sleep(0.02)
    run.trackers["b"].probed(alive=False, why="scripted")
    await asyncio.sleep(0.02)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
