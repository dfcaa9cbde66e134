"""The breaker as a script: answers come, time passes, and it opens, probes and closes."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import Headers
from edgeproxy.upstream.health import Breaker, BreakerState
from edgeproxy.upstream.upstream import Origin, UpstreamRequest, UpstreamResponse

A, B = Origin("http", "a.example", 80), Origin("http", "b.example", 80)


class Answer:
    headers, content_length, version, source = Headers(), 0, "1.1", ""

    def __init__(self, status: int) -> None:
        self.status = status

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b""

    async def aclose(self) -> None:
        return None


class Scripted:
    def __init__(self) -> None:
        self.now, self.asked = 0.0, 0
        self.next: int | ProxyError = 200

    async def fetch(self, request: UpstreamRequest) -> UpstreamResponse:
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


async def test_a_good_probe_closes_it_and_a_bad_one_opens_it_for_longer(
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
