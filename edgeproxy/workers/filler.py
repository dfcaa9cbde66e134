"""The filler: a Node without client listeners, which answers what servers ask."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson

from edgeproxy.config import Config
from edgeproxy.errors import StartError
from edgeproxy.node import Node
from edgeproxy.node_place import Place
from edgeproxy.own_log import OWN_LOG
from edgeproxy.workers.child import Supervised, decoded, started
from edgeproxy.workers.orders import (
    Order,
    Reconfigure,
    Release,
    ReloadAnswered,
    ReloadAsked,
    Stop,
)

ANSWER_SECONDS = 60.0  # for a supervisor to reload


class Filler:
    """`orphaned` is called when the supervisor is gone, to leave nothing behind."""

    def __init__(
        self, config: Config, place: Place, link: socket.socket, orphaned: Callable[[], None]
    ) -> None:
        self._supervised = Supervised(link)
        self._orphaned = orphaned
        self._reloading = asyncio.Lock()
        self._answer: asyncio.Future[ReloadAnswered] | None = None
        self._node = Node(config, replace(place), reload=self._ask_reload)
        self._stopping: asyncio.Task[None] | None = None

    async def run(self) -> int:
        """Until told to end; gives the exit status."""
        if not await started(self._supervised, self._node.start):
            return 1
        orders = self._node.tasks.start(self._supervised.obey(self._obey), "orders")
        in_order = await self._supervised.wait()
        if not in_order:
            self._orphaned()
            return 1
        orders.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._node.stop()
        return 0

    async def _obey(self, order: Order) -> None:
        match order:
            case Stop():
                self._supervised.end(in_order=True)
            case Reconfigure(encoded):
                config = decoded(encoded, Config)
                found = await self._node.reload(config)
                if found.touches("log"):
                    OWN_LOG.configure(config.log.level)
            case Release():
                await self._node.release()
            case ReloadAnswered():
                if self._answer is not None and not self._answer.done():
                    self._answer.set_result(order)
            case _:
                pass

    async def _ask_reload(self, restart: bool) -> dict[str, Any]:
        async with self._reloading:
            self._answer = asyncio.get_running_loop().create_future()
            self._supervised.tell(ReloadAsked(restart))
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    answered = await self._answer
            except TimeoutError:
                raise StartError("the supervisor does not answer") from None
            if answered.trouble:
                raise StartError(answered.trouble)
            return dict(orjson.loads(answered.document))
