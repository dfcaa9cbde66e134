"""Requests that come while it is not decided who answers them: they wait."""

from __future__ import annotations

import asyncio

from edgeproxy.message import Handler, Request, Response


class Gate:
    """A Handler that asks another, once `open` has said which."""

    def __init__(self) -> None:
        self._handler: asyncio.Future[Handler] = asyncio.get_running_loop().create_future()

    async def __call__(self, request: Request) -> Response:
        handler = await asyncio.shield(self._handler)
        response: Response = await handler(request)
        return response

    def open(self, handler: Handler) -> None:
        if not self._handler.done():
            self._handler.set_result(handler)
