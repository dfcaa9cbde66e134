"""Asking once more beside an upstream that is silent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from pipeline_house import House, Scripted

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.pipeline.exchange import Answer
from edgeproxy.pipeline.hedge import hedged
from edgeproxy.policy.rules import Rules
from edgeproxy.tasks import Tasks

RESET = UpstreamError(ProxyError.CONNECTION_TERMINATED, "reset")
BUSY = UpstreamError(ProxyError.DESTINATION_UNAVAILABLE, "busy")
SOON, NEVER = 0.0, 3600.0


@dataclass
class Asked:
    """One question: what comes of it is said by `answers` or `fails`."""

    come: asyncio.Future[Answer] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    count: int = 0
    is_left: bool = False

    async def __call__(self) -> Answer:
        self.count += 1
        try:
            return await asyncio.shield(self.come)
        except asyncio.CancelledError:
            self.is_left = True
            raise

    def answers(self) -> Scripted:
        response = Scripted()
        self.come.set_result(Answer(response, "", 0.1))
        return response

    def fails(self, error: UpstreamError) -> None:
        self.come.set_exception(error)


@pytest.fixture
async def begin() -> Iterator[Callable[..., asyncio.Task[Answer]]]:
    failures: list[BaseException] = []
    tasks = Tasks(lambda name, error: failures.append(error))

    def begin(first: Asked, again: Asked, seconds: float) -> asyncio.Task[Answer]:
        return asyncio.ensure_future(hedged(first, again, seconds, tasks))

    yield begin
    assert not len(tasks), "nobody is asked any more"
    await tasks.aclose()
    assert not failures


async def _asked(again: Asked) -> None:
    async with asyncio.timeout(5):
        while not again.count:  # noqa: ASYNC110 - a timer of the code under test
            await asyncio.sleep(0)


async def _settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_answers_in_time_is_asked_once(begin) -> None:
    first, again = Asked(), Asked()
    asking = begin(first, again, NEVER)
    response = first.answers()
    assert (await asking).response is response
    assert (first.count, again.count) == (1, 0)


async def test_silence_is_asked_beside_and_left_when_the_second_answers(begin) -> None:
    first, again = Asked(), Asked()
    asking = begin(first, again, SOON)
    await _asked(again)
    response = again.answers()
    assert (await asking).response is response
    assert first.is_left


async def test_what_was_only_slow_still_counts(begin) -> None:
    first, again = Asked(), Asked()
    asking = begin(first, again, SOON)
    await _asked(again)
    response = first.answers()
    assert (await asking).response is response
    assert again.is_left


async def test_of_two_answers_at_once_the_other_is_closed(begin) -> None:
    first, again = Asked(), Asked()
    asking = begin(first, again, SOON)
    await _asked(again)
    responses = [first.answers(), again.answers()]
    chosen = (await asking).response
    assert [response.closed for response in responses] == [response is not chosen for response in responses]


async def test_a_failure_counts_when_nobody_is_left(begin) -> None:
    first, again = Asked(), Asked()
    asking = begin(first, again, SOON)
    await _asked(again)
    again.fails(BUSY)
    await _settle()
    assert not asking.done()
    first.fails(RESET)
    with pytest.raises(UpstreamError, match="reset"):
        await asking


async def test_what_fails_in_time_is_not_asked_again_here(begin) -> None:
    first, again = Asked(), Asked()
    asking = begin(first, again, NEVER)
    first.fails(RESET)
    with pytest.raises(UpstreamError, match="reset"):
        await asking
    assert not again.count


async def test_who_is_cancelled_leaves_both(begin) -> None:
    first, again = Asked(), Asked()
    asking = begin(first, again, SOON)
    await _asked(again)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (first.is_left, again.is_left) == (True, True)


async def test_a_fill_asks_a_silent_origin_once_more_where_the_rules_say_so(house: House) -> None:
    house.site.rules = Rules(hedge_after=0.01)
    house.upstream.answers("/a", Scripted())
    house.upstream.gate = asyncio.Event()
    asking = asyncio.ensure_future(house.get("/a"))
    async with asyncio.timeout(5):
        while len(house.upstream.requests) < 2:  # noqa: ASYNC110 - a timer of the fill's own
            await asyncio.sleep(0.005)
    house.upstream.gate.set()
    assert (await asking)[:2] == (200, b"hello world")
    assert len(house.upstream.requests) == 2
    assert await house.get("/a") == (200, b"hello world", "hit")
