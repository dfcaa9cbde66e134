"""Requests wait until it is decided who answers them."""

from __future__ import annotations

import asyncio

from edgeproxy.message import Request, Response
from edgeproxy.relay.gate import Gate
from edgeproxy.tasks import Tasks


async def test_whoever_came_before_and_after_is_answered_by_the_one_chosen_first() -> None:
    async def one(request: Request) -> Response:
        return Response(201)

    async def other(request: Request) -> Response:
        return Response(202)

    gate, tasks = Gate(), Tasks(lambda name, error: None)
    waiting = [tasks.start(gate(Request("GET", "/")), "ask") for _ in range(3)]
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in waiting)
    waiting.pop().cancel()  # its client has left
    gate.open(one)
    gate.open(other)
    assert [(await task).status for task in waiting] == [201, 201]
    assert (await gate(Request("GET", "/"))).status == 201
