"""The Handler of a server: whatever it cannot answer from its memo it asks the filler."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

from edgeproxy.errors import RequestError
from edgeproxy.message import (
    Body,
    BytesBody,
    CacheOutcome,
    Headers,
    HeadOnly,
    Outcome,
    Part,
    Request,
    Response,
)
from edgeproxy.relay.asking import Asking
from edgeproxy.relay.channel import Channel, ChannelLost
from edgeproxy.relay.messages import DECODER, Answer, Hello
from edgeproxy.relay.recall import Recall
from edgeproxy.tasks import Tasks

WAIT_SECONDS = 2.0  # for a filler that is starting again
RETRY_SECONDS = 0.02
TRIES = 3  # of what may be asked again, when the filler is gone before it has answered
CHANNELS_MAX = 8192
IDLE_MAX = 128
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class _Greeting:
    """The Receiver of a channel until the filler has said that it hears it."""

    def __init__(self) -> None:
        self.heard: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def message(self, message: Any) -> None:
        if isinstance(message, Hello) and not self.heard.done():
            self.heard.set_result(True)

    def content(self, data: bytes) -> None:
        return None

    def lost(self) -> None:
        if not self.heard.done():
            self.heard.set_result(False)


class _Idle:
    """The Receiver of a channel in the pool."""

    def __init__(self, pool: list[Channel], channel: Channel) -> None:
        self._pool, self._channel = pool, channel

    def message(self, message: Any) -> None:
        self._channel.close()
        self.lost()

    def content(self, data: bytes) -> None:
        self.message(data)

    def lost(self) -> None:
        if self._channel in self._pool:
            self._pool.remove(self._channel)


class Channels:
    """Channels to the filler that listens at `path`, opened as they are needed and kept."""

    def __init__(self, path: str, wait_seconds: float = WAIT_SECONDS) -> None:
        self.path = path
        self._wait_seconds = wait_seconds
        self._idle: list[Channel] = []
        self._open: set[Channel] = set()

    async def take(self) -> Channel:
        """Raises ChannelLost if no filler hears in time, or there are too many."""
        while self._idle:
            channel = self._idle.pop()
            if not channel.is_closed:
                return channel
        self._open = {channel for channel in self._open if not channel.is_closed}
        if len(self._open) >= CHANNELS_MAX:
            raise ChannelLost("too many exchanges at a time")
        try:
            async with asyncio.timeout(self._wait_seconds):
                while True:
                    channel = await self._connect()
                    greeting = channel.receiver
                    assert isinstance(greeting, _Greeting)
                    try:
                        if await greeting.heard:
                            return channel
                    except BaseException:
                        channel.close()
                        raise
                    await asyncio.sleep(RETRY_SECONDS)
        except TimeoutError:
            raise ChannelLost("no filler answers") from None

    async def _connect(self) -> Channel:
        while True:
            connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connected.setblocking(False)
            try:
                connected.connect(self.path)
                channel = Channel(connected, DECODER, _Greeting())
                self._open.add(channel)
                return channel
            except OSError:  # not there yet, or its queue is full
                connected.close()
                await asyncio.sleep(RETRY_SECONDS)

    def give_back(self, channel: Channel) -> None:
        """Of an exchange that is over."""
        if len(self._idle) >= IDLE_MAX or channel.is_closed:
            self.drop(channel)
            return
        channel.receiver = _Idle(self._idle, channel)
        self._idle.append(channel)

    def drop(self, channel: Channel) -> None:
        channel.close()
        self._open.discard(channel)

    def close_idle(self) -> None:
        while self._idle:
            self.drop(self._idle.pop())

    def aclose(self) -> None:
        self.close_idle()
        for channel in list(self._open):
            self.drop(channel)


class RelayedBody:
    """A message.Body whose parts come over a channel."""

    def __init__(self, relay: Relay, asking: Asking, channel: Channel, length: int | None) -> None:
        self._relay, self._asking, self._channel = relay, asking, channel
        self.length = length

    @property
    def trailers(self) -> Headers:
        """Once all parts have been had."""
        return self._asking.trailers

    def parts(self) -> AsyncIterator[Part]:
        return self._asking.parts()

    async def aclose(self) -> None:
        self._relay.finished(self._asking, self._channel)


class Relay:
    """Asks through `channels`; remembers in `recall` what may be repeated."""

    def __init__(self, channels: Channels, tasks: Tasks, recall: Recall | None) -> None:
        self.channels = channels
        self._tasks = tasks
        self._recall = recall

    async def __call__(self, request: Request) -> Response:
        may_repeat = request.method in _SAFE and request.body is None
        for _ in range(TRIES):
            try:
                channel = await self.channels.take()
            except ChannelLost as error:
                return unavailable(str(error))
            try:
                return await self._ask(channel, request)
            except ChannelLost:
                if not may_repeat:
                    raise RequestError(502, "the node broke off; the request may have been done") from None
                self.channels.close_idle()  # they went to the same filler
        return unavailable("the filler broke off again and again")

    async def _ask(self, channel: Channel, request: Request) -> Response:
        """Raises ChannelLost, RequestError."""
        asking = Asking(channel, request)
        asking.begin()
        if request.body is not None:
            asking.sending = self._tasks.start(asking.send_content(request.body), "content to the filler")
        try:
            answer, data = await asking.answered
        except BaseException:
            self.finished(asking, channel)
            raise
        return self._response(asking, channel, request, answer, data)

    def _response(
        self, asking: Asking, channel: Channel, request: Request, answer: Answer, data: bytes
    ) -> Response:
        body: Body
        if answer.is_head:
            body = HeadOnly(answer.length)
        elif answer.inline:
            body = BytesBody(data)
        else:
            body = RelayedBody(self, asking, channel, answer.length)
        if answer.is_head or answer.inline:
            self.finished(asking, channel)
        reuse = None
        if answer.reuse is not None and self._recall is not None:
            reuse = self._recall.reuse(answer.reuse, data)
            if isinstance(body, BytesBody):
                body = BytesBody(reuse.data)
        return Response(answer.status, Headers(answer.headers), body, answer.outcome, reuse, answer.close)

    def finished(self, asking: Asking, channel: Channel) -> None:
        """An exchange has ended here: if it has there too, the channel is free."""
        asking.finish()
        if asking.is_over:
            self.channels.give_back(channel)
        else:
            self.channels.drop(channel)


def unavailable(why: str) -> Response:
    """There is no filler just now; there will be one soon."""
    pairs = (
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Cache-Control", "no-store"),
        ("Retry-After", "1"),
    )
    outcome = Outcome(CacheOutcome.ERROR, detail=why)
    return Response(503, Headers(pairs), BytesBody(f"{why}\n".encode()), outcome)
