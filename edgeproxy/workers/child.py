"""What server and filler processes have in common: the link to the supervisor, orders one after another."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import aiofastnet
import msgspec
import uvloop

from edgeproxy.errors import EdgeError
from edgeproxy.relay.channel import Channel
from edgeproxy.serving.handshakes import quiet_handshakes
from edgeproxy.workers.orders import DECODER, Done, Failed, Inherit, Order, Ready, ReloadAnswered, Stop

Obey = Callable[[Order], Awaitable[None]]

IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)


class Supervised:
    """A child's end of its link: a Receiver. Orders are obeyed in turn by `obey`; each that
    can fail is answered by Done. `wait` ends when the child is to end: True in order, False because the
    supervisor is gone."""

    def __init__(self, link: socket.socket) -> None:
        self._ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._orders: asyncio.Queue[Order] = asyncio.Queue()
        self._channel = Channel(link, DECODER, self)
        self.inherited: list[tuple[Inherit, socket.socket]] = []

    def tell(self, message: Order) -> None:
        self._channel.send(message)

    def message(self, message: Any) -> None:
        if isinstance(message, Inherit):
            listening = socket.socket(fileno=self._channel.take_descriptor())
            listening.setblocking(False)
            self.inherited.append((message, listening))
        else:
            self._orders.put_nowait(message)

    def content(self, data: bytes) -> None:
        return None

    def lost(self) -> None:
        self.end(in_order=False)

    def end(self, *, in_order: bool) -> None:
        if not self._ended.done():
            self._ended.set_result(in_order)

    async def obey(self, obey: Obey) -> None:
        """One order after another, until cancelled."""
        while True:
            order = await self._orders.get()
            try:
                await obey(order)
            except EdgeError as error:
                self.tell(Done(str(error)))
            else:
                if not isinstance(order, (Stop, ReloadAnswered)):
                    self.tell(Done())

    async def wait(self) -> bool:
        return await self._ended


def run(main: Callable[[], Awaitable[int]]) -> int:
    """Run a child's coroutine to its end, right after the fork; gives the exit status."""
    random.seed()  # or all children would make the same request ids
    for number in IGNORED:  # the supervisor says what they mean
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    factory = aiofastnet.loop_factory(uvloop.new_event_loop)
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.get_loop().set_exception_handler(quiet_handshakes)
        return runner.run(_awaited(main))


async def _awaited(main: Callable[[], Awaitable[int]]) -> int:
    return await main()


async def started(supervised: Supervised, start: Callable[[], Awaitable[Any]]) -> bool:
    """Start, and tell how that went."""
    try:
        await start()
    except EdgeError as error:
        supervised.tell(Failed(str(error)))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await supervised.wait()  # until the supervisor has heard
        return False
    supervised.tell(Ready())
    return True


def decoded(config: bytes, kind: type[Any]) -> Any:
    return msgspec.msgpack.decode(config, type=kind)
