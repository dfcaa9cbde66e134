"""The content of a request on its way to the handler."""

import asyncio

import pytest
from serving_stand import until

from edgeproxy.errors import BodyAborted
from edgeproxy.serving.request_body import QUEUE_BYTES, IncomingBody


def body_and_calls(length: int | None = None) -> tuple[IncomingBody, list[str]]:
    calls: list[str] = []
    return IncomingBody(length, lambda: calls.append("wanted"), lambda: calls.append("eased")), calls


async def read(body: IncomingBody) -> bytes:
    return b"".join([piece async for piece in body])


async def test_pieces_come_in_order_and_end_only_with_the_proven_end() -> None:
    body, calls = body_and_calls()
    reading = asyncio.create_task(read(body))
    await until(lambda: calls == ["wanted"])
    body.feed(b"a")
    body.feed(b"")
    await until(lambda: body.queued == 0)
    assert not reading.done()
    body.feed(b"b")
    body.finish()
    assert await asyncio.wait_for(reading, 5) == b"ab"
    assert calls == ["wanted", "eased", "eased"]


async def test_content_that_is_here_already_is_not_asked_for() -> None:
    body, calls = body_and_calls(2)
    body.feed(b"ab")
    body.finish()
    assert await read(body) == b"ab"
    assert body.length == 2
    assert "wanted" not in calls


async def test_a_failure_comes_after_what_was_received_and_the_first_one_counts() -> None:
    body, _ = body_and_calls()
    body.feed(b"ab")
    body.fail(BodyAborted("first"))
    body.fail(BodyAborted("second"))
    pieces = aiter(body)
    assert await anext(pieces) == b"ab"
    with pytest.raises(BodyAborted, match="first"):
        await anext(pieces)


async def test_a_body_that_has_ended_cannot_fail_any_more() -> None:
    body, _ = body_and_calls()
    body.finish()
    body.fail(BodyAborted("late"))
    assert await read(body) == b""


async def test_a_body_is_read_once() -> None:
    body, _ = body_and_calls()
    body.finish()
    await read(body)
    with pytest.raises(BodyAborted):
        await read(body)


async def test_it_is_full_beyond_its_bound_until_the_handler_takes_some() -> None:
    body, _ = body_and_calls()
    body.feed(bytes(QUEUE_BYTES))
    assert not body.full
    body.feed(b"x")
    assert body.full
    await anext(aiter(body))
    assert not body.full
