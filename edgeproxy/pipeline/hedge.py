"""A question that meets silence is asked once more beside itself, and whichever answers first counts.

Where there are several candidates `upstream.pursuit` does that by what it knows of each. This is for a site
whose only upstream now and then loses a request: clients give up before a timeout would tell. What is
merely slow costs one request more and no time, since the first one goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from edgeproxy.errors import UpstreamError
from edgeproxy.pipeline.exchange import Answer
from edgeproxy.tasks import Tasks

Ask = Callable[[], Awaitable[Answer]]


async def hedged(first: Ask, again: Ask, seconds: float, tasks: Tasks) -> Answer:
    """The first answer to come. `again` is asked when `first` has given none within `seconds`, at most once;
    a failure counts only when nobody is left who may answer. Raises UpstreamError, the last."""
    running = {tasks.start(_told(first), "ask")}
    try:
        done, _ = await asyncio.wait(running, timeout=seconds)
        if not done:
            running.add(tasks.start(_told(again), "ask again"))
        while True:
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                told = task.result()
                if isinstance(told, Answer):
                    running.discard(task)
                    return told
                running.discard(task)
                if not running:
                    raise told
    finally:
        await _abandon(running)


async def _told(ask: Ask) -> Answer | UpstreamError:
    """An error as a value: that one of two fails is nothing to be reported."""
    try:
        return await ask()
    except UpstreamError as error:
        return error


async def _abandon(running: set[asyncio.Task[Answer | UpstreamError]]) -> None:
    """End what is not waited for any more; an answer that has come meanwhile is let go."""
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)
    for task in running:
        if not task.cancelled() and isinstance(told := task.result(), Answer):
            await told.response.aclose()
