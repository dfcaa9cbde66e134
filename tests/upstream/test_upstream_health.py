"""The breaker as a script: answers come, time passes, and it opens, probes and closes."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import Headers
from edgeproxy.tasks import Tasks
from edgeproxy.upstream import health
from edgeproxy.upstream.health import Breaker, BreakerState
from edgeproxy.upstream.upstream import PIECE_BYTES, Origin, Reach, UpstreamRequest, UpstreamResponse

A, B = Origin("http", "a.example", 80), Origin("http", "b.example", 80)


class Answer:
    headers, content_length, version, source = Headers(), 0, "1.1", ""

    def __init__(self, status: int) -> None:
        self.status = status

    async def chunks(self, most: int = PIECE_BYTES) -> AsyncIterator[bytes]:
        yield b""

    async def aclose(self) -> None:
        return None


class Scripted:
    def __init__(self) -> None:
        self.now, self.asked = 0.0, 0
        self.next: int | ProxyError = 200
        self.to_probes: int | ProxyError = ProxyError.HTTP_RESPONSE_TIMEOUT
        self.probes: list[UpstreamRequest] = []

    async def fetch(self, request: UpstreamRequest) -> UpstreamResponse:
        if request.method == "HEAD":
            self.probes.append(request)
            if isinstance(self.to_probes, ProxyError):
                raise UpstreamError(self.to_probes, "scripted")
            return Answer(self.to_probes)
        self.asked += 1
        if isinstance(self.next, ProxyError):
            raise UpstreamError(self.next, "scripted")
        return Answer(self.next)

    async def aclose(self) -> None:
        return None


class Calm(random.Random):
    def random(self) -> float:
        return 0.0


@pytest.fixture
def upstream() -> Scripted:
    return Scripted()


@pytest.fixture
def breaker(upstream: Scripted) -> Breaker:
    return Breaker(upstream, timer=lambda: upstream.now, chance=Calm())


async def ask(breaker: Breaker, origin: Origin = A) -> Any:
    try:
        return (await breaker.fetch(UpstreamRequest("GET", origin, "/"))).status
    except UpstreamError as error:
        return error.error


@pytest.mark.parametrize(
    "bad", [ProxyError.DNS_TIMEOUT, ProxyError.CONNECTION_TIMEOUT, ProxyError.HTTP_RESPONSE_TIMEOUT]
)
async def test_five_failures_in_the_window_open_it_for_that_origin_only(
    breaker: Breaker, upstream: Scripted, bad: ProxyError
) -> None:
    upstream.next = bad
    assert [await ask(breaker) for _ in range(5)] == [bad] * 5
    assert await ask(breaker) is ProxyError.DESTINATION_UNAVAILABLE
    assert upstream.asked == 5
    assert breaker.states()[0].state is BreakerState.OPEN
    upstream.next = 200
    assert await ask(breaker, B) == 200


@pytest.mark.parametrize(
    "fine", [200, 404, 503, ProxyError.CONNECTION_REFUSED, ProxyError.HTTP_PROTOCOL_ERROR]
)
async def test_what_is_known_at_once_never_opens_it(
    breaker: Breaker, upstream: Scripted, fine: int | ProxyError
) -> None:
    upstream.next = fine
    assert [await ask(breaker) for _ in range(20)] == [fine] * 20


async def test_failures_further_apart_than_the_window_do_not_open_it(
    breaker: Breaker, upstream: Scripted
) -> None:
    upstream.next = ProxyError.HTTP_RESPONSE_TIMEOUT
    for _ in range(20):
        upstream.now += 2.6
        assert await ask(breaker) is ProxyError.HTTP_RESPONSE_TIMEOUT


async def test_a_good_trial_closes_it_and_a_bad_one_opens_it_for_longer(
    breaker: Breaker, upstream: Scripted
) -> None:
    upstream.next = ProxyError.HTTP_RESPONSE_TIMEOUT
    for _ in range(5):
        await ask(breaker)
    upstream.now = 10.0
    assert breaker.states()[0].state is BreakerState.HALF_OPEN
    assert await ask(breaker) is ProxyError.HTTP_RESPONSE_TIMEOUT
    upstream.now = 29.0
    assert await ask(breaker) is ProxyError.DESTINATION_UNAVAILABLE
    upstream.now, upstream.next = 30.0, 200
    assert [await ask(breaker) for _ in range(3)] == [200] * 3
    assert breaker.states() == ()


async def test_one_answer_in_between_starts_the_count_again(breaker: Breaker, upstream: Scripted) -> None:
    for _ in range(5):
        upstream.next = ProxyError.HTTP_RESPONSE_TIMEOUT
        for _ in range(4):
            await ask(breaker)
        upstream.next = 503
        assert await ask(breaker) == 503


# -- signs of life -----------------------------------------------------------------------------


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    running = Tasks(lambda _, error: pytest.fail(repr(error)))
    yield running
    await running.aclose()


@pytest.fixture
def probing(upstream: Scripted, tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> Breaker:
    """A breaker that probes soon. Its clock stands still, so that its time is never over by itself."""
    monkeypatch.setattr(health, "PROBE_SECONDS", 0.01)
    monkeypatch.setattr(health, "PROBE_SECONDS_MAX", 0.02)
    return Breaker(upstream, tasks=tasks, timer=lambda: upstream.now, chance=Calm())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - time passes for the breaker
            await asyncio.sleep(0.002)


async def opened(breaker: Breaker, upstream: Scripted) -> None:
    upstream.next = ProxyError.HTTP_RESPONSE_TIMEOUT
    for _ in range(5):
        await ask(breaker)


def is_half_open(breaker: Breaker) -> bool:
    return breaker.states()[0].state is BreakerState.HALF_OPEN


@pytest.mark.parametrize(
    "life", [200, 404, 503, ProxyError.CONNECTION_REFUSED, ProxyError.CONNECTION_TERMINATED]
)
async def test_who_shows_life_is_asked_again_before_its_time(
    probing: Breaker, upstream: Scripted, life: int | ProxyError
) -> None:
    await opened(probing, upstream)
    await until(lambda: len(upstream.probes) >= 3)
    assert await ask(probing) is ProxyError.DESTINATION_UNAVAILABLE, "silence is no sign of life"
    upstream.to_probes, upstream.next = life, 200
    await until(lambda: is_half_open(probing))
    assert [await ask(probing) for _ in range(3)] == [200] * 3
    assert probing.states() == ()


async def test_a_probe_goes_where_the_request_went_and_does_not_wait_as_long(
    probing: Breaker, upstream: Scripted
) -> None:
    reach = Reach(connect_timeout=1.0, head_timeout=60.0, verify_tls=False, private_addresses=True)
    upstream.next = ProxyError.HTTP_RESPONSE_TIMEOUT
    for _ in range(5):
        with pytest.raises(UpstreamError):
            await probing.fetch(UpstreamRequest("GET", A, "/secret", reach=reach, host="b.example"))
    await until(lambda: bool(upstream.probes))
    probe = upstream.probes[0]
    assert (probe.method, probe.origin, probe.target, probe.host) == ("HEAD", A, "/", "b.example")
    assert (probe.reach.connect_timeout, probe.reach.head_timeout) == (1.0, 3.0)
    assert (probe.reach.verify_tls, probe.reach.private_addresses) == (False, True)


async def test_nobody_is_probed_any_more_when_somebody_has_had_an_answer_or_its_time_is_over(
    probing: Breaker, upstream: Scripted, tasks: Tasks
) -> None:
    await opened(probing, upstream)
    upstream.now = 100.0
    await until(lambda: len(tasks) == 0)
    assert await ask(probing) is ProxyError.HTTP_RESPONSE_TIMEOUT
    assert len(tasks) == 1
    upstream.now, upstream.next = 200.0, 200
    assert await ask(probing) == 200
    await until(lambda: len(tasks) == 0)


async def test_who_shows_life_and_does_not_answer_is_believed_less_quickly_each_time(
    probing: Breaker, upstream: Scripted
) -> None:
    upstream.to_probes = 200
    await opened(probing, upstream)
    for deceptions in range(5):
        began = time.monotonic()
        await until(lambda: is_half_open(probing))
        assert time.monotonic() - began >= 0.009 * 2**deceptions
        assert await ask(probing) is ProxyError.HTTP_RESPONSE_TIMEOUT


async def test_a_trial_that_others_have_overtaken_opens_nothing(
    upstream: Scripted, tasks: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was sent while the origin was silent, and fails after the origin has answered others."""
    monkeypatch.setattr(health, "PROBE_SECONDS", 0.01)
    is_late = asyncio.Event()

    class Late(Scripted):
        async def fetch(self, request: UpstreamRequest) -> UpstreamResponse:
            if request.target == "/late":
                await is_late.wait()
                raise UpstreamError(ProxyError.HTTP_RESPONSE_TIMEOUT, "scripted")
            return await Scripted.fetch(self, request)

    late = Late()
    breaker = Breaker(late, tasks=tasks, timer=lambda: late.now, chance=Calm())
    await opened(breaker, late)
    late.now = 10.0
    trial = asyncio.ensure_future(breaker.fetch(UpstreamRequest("GET", A, "/late")))
    await asyncio.sleep(0)
    assert await ask(breaker) is ProxyError.DESTINATION_UNAVAILABLE
    late.to_probes, late.next = 200, 200
    await until(lambda: not breaker.refusal(A))
    assert await ask(breaker) == 200
    is_late.set()
    with pytest.raises(UpstreamError):
        await trial
    assert await ask(breaker) == 200
