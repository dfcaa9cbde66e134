"""Where the filler accepts channels."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from relay_stand import NOW, HeldCopy, Repeats, Stand, read

from edgeproxy.message import BytesBody, Request, Response


async def test_draining_lets_running_exchanges_end_and_accepts_no_more(relayed: Any) -> None:
    release = asyncio.Event()

    async def handler(request: Request) -> Response:
        await release.wait()
        return Response(200, body=BytesBody(b"done"))

    one: Stand = relayed(handler)
    asking = one.tasks.start(one.get(), "ask")
    await asyncio.sleep(0.02)
    draining = one.tasks.start(one.listener.drain(5.0), "drain")
    await asyncio.sleep(0.02)
    assert not draining.done()
    os.unlink(one.path)
    release.set()
    assert await read(await asking) == b"done"
    await draining


async def test_draining_breaks_off_what_takes_too_long(relayed: Any) -> None:
    async def handler(request: Request) -> Response:
        await asyncio.Event().wait()
        return Response(200)

    one: Stand = relayed(handler)
    asking = one.tasks.start(one.relay(Request("POST", "/")), "ask")
    await asyncio.sleep(0.02)
    await one.listener.drain(0.05)
    asking.cancel()


async def test_another_handler_ends_what_was_marked_for_the_former(
    relayed: Any,
) -> None:
    async def first(request: Request) -> Response:
        return Response(200, body=BytesBody(b"1"), reuse=Repeats(HeldCopy(), b"1"))

    async def second(request: Request) -> Response:
        return Response(200, body=BytesBody(b"2"))

    one: Stand = relayed(first)
    reuse = (await one.get()).reuse
    assert reuse is not None
    assert reuse.held.sequence == 0
    one.listener.serve(second)
    assert reuse.held.sequence == -1
    assert await read(await one.get()) == b"2"
    assert reuse.held.fresh_until > NOW
