"""The handler behind a router, and what is learned of files by asking it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from edgeproxy.errors import RequestError
from edgeproxy.message import Handler, Request, Response
from edgeproxy.router.asking_fields import OF_ONE_CLIENT, is_common
from edgeproxy.router.file_facts import NOTHING, FileFacts, KnownFiles, facts_of
from edgeproxy.tasks import Tasks


class Behind:
    """`small_bytes`: smaller answers are the same for everybody, wherever they are."""

    def __init__(self, inner: Handler, known: KnownFiles, tasks: Tasks, small_bytes: int) -> None:
        self._inner = inner
        self._known = known
        self._tasks = tasks
        self._small_bytes = small_bytes
        self._learning: dict[str, asyncio.Task[FileFacts]] = {}

    async def answer(self, request: Request) -> Response:
        """The answer from here, to a request that is for a file."""
        response = await self._inner(request)
        length = response.body.length
        if request.method in ("GET", "HEAD") and response.status == 200 and is_common(request.headers):
            self._known.put(request.target, facts_of(response))
        if length is not None and length < self._small_bytes:
            return response
        # For this client; another one that sends the same bytes may be near to another node.
        return replace(response, reuse=None)

    async def learn(self, request: Request) -> FileFacts:
        """What HEAD tells. Everybody who waits for the facts of one file shares one question."""
        target = request.target
        task = self._learning.get(target)
        if task is None:
            task = self._learning[target] = self._tasks.start(self._learned(request), "facts of a file")
            task.add_done_callback(lambda _: self._learning.pop(target, None))
        return await asyncio.shield(task)

    async def _learned(self, request: Request) -> FileFacts:
        try:
            facts = facts_of(await self.asked(request))
        except RequestError:
            return NOTHING  # it will be said again to whoever asks
        self._known.put(request.target, facts)
        return facts

    async def asked(self, request: Request, keep: tuple[str, ...] = ()) -> Response:
        """The answer to HEAD, without what is about one client but for the fields to `keep`."""
        unwanted = [name for name in OF_ONE_CLIENT if name not in keep]
        headers = request.headers.without(unwanted)
        asking = replace(request, method="HEAD", headers=headers, body=None, interim=None)
        response = await self._inner(asking)
        await response.body.aclose()
        return response
