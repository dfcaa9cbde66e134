"""The filler's end of a channel: one request after another to the Handler, and its answers back.

The filler is never ahead of the client: a slice of a file has been sent to the client before the body is
asked for the next, of bytes at most four pieces are on their way. So what a body does when a part has
been taken (a window that moves on, a file that is let go) happens as if the client were here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from edgeproxy.errors import BodyAborted, EdgeError, RequestError
from edgeproxy.message import Body, BytesBody, Clock, FileSlice, Handler, Headers, HeadOnly, OpenFile, Request
from edgeproxy.message import Response as HandlerResponse
from edgeproxy.metrics import Metrics
from edgeproxy.relay.channel import Channel, ChannelLost
from edgeproxy.relay.marks import Marks
from edgeproxy.relay.messages import (
    Answer,
    Ask,
    Broken,
    ContentBroken,
    ContentEnd,
    End,
    Hello,
    Interim,
    Refused,
    Report,
    Slice,
    Taken,
)
from edgeproxy.serving.request_body import IncomingBody
from edgeproxy.serving.response_head import breakdown
from edgeproxy.tasks import Tasks

INLINE_BYTES = 1 << 20
PIECE_BYTES = 256 << 10
PIECES_AHEAD = 4  # of content, either way
_BODILESS = frozenset({204, 304})


class Reports(Protocol):
    """Takes what servers have counted, by the channel it came over."""

    def received(self, channel: Channel, report: Report) -> None: ...

    def gone(self, channel: Channel) -> None: ...


class Answers:
    """What all channels of a filler share. `ended` is told of each that is gone, `answered` when an exchange
    has ended."""

    def __init__(
        self,
        handler: Handler,
        *,
        marks: Marks | None,
        reports: Reports,
        tasks: Tasks,
        metrics: Metrics,
        clock: Clock,
        report: Callable[[str], None],
        ended: Callable[[Answering], None],
        answered: Callable[[], None],
    ) -> None:
        self.handler = handler
        self.marks = marks
        self.reports = reports
        self.tasks = tasks
        self.metrics = metrics
        self.clock = clock
        self.report = report
        self.ended = ended
        self.answered = answered


class Answering:
    """A Receiver for one channel's whole life. `channel` is set by whoever made it."""

    channel: Channel

    def __init__(self, shared: Answers) -> None:
        self._shared = shared
        self._body: IncomingBody | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_told = False  # all of the answer has been sent, though the exchange may not have ended
        self._next: Ask | None = None  # came as soon as that was read
        self._unsent = 0  # parts the client has not been sent yet
        self._sent: asyncio.Future[None] | None = None

    def begin(self, channel: Channel) -> None:
        self.channel = channel
        channel.send(Hello())

    @property
    def is_busy(self) -> bool:
        return self._task is not None

    # -- what the channel tells ----------------------------------------------------------------

    def message(self, message: Any) -> None:
        match message:
            case Taken(count):
                self._unsent -= count
                if self._sent is not None and not self._sent.done():
                    self._sent.set_result(None)
            case Ask() if self._task is None:
                self._start(message)
            case Ask() if self._is_told and self._next is None:
                self._next = message
            case ContentEnd():
                if self._body is not None:
                    self._body.finish()
            case ContentBroken(status, text):
                if self._body is not None:
                    self._body.fail(RequestError(status, text) if status else BodyAborted(text))
            case Report():
                self._shared.reports.received(self.channel, message)
            case _:
                self.channel.close()
                self.lost()

    def content(self, data: bytes) -> None:
        if self._body is not None:
            self._body.feed(data)

    def lost(self) -> None:
        self._next = None
        if self._body is not None:
            self._body.fail(BodyAborted("the client left within its request"))
        if self._task is not None:
            self._task.cancel()
        self._shared.reports.gone(self.channel)
        self._shared.ended(self)

    # -- one exchange --------------------------------------------------------------------------

    def _start(self, ask: Ask) -> None:
        channel, shared = self.channel, self._shared
        if ask.has_content:
            self._body = IncomingBody(
                ask.content_length,
                lambda: channel.send(Taken(PIECES_AHEAD)),
                lambda: channel.send(Taken(1)),
            )
        self._is_told, is_open = False, True

        def interim(status: int, headers: Headers) -> None:
            if is_open:
                channel.send(Interim(status, headers.pairs))

        request = Request(
            method=ask.method,
            target=ask.target,
            headers=Headers(ask.headers),
            scheme=ask.scheme,
            authority=ask.authority,
            version=ask.version,
            client=ask.client,
            peer=ask.peer,
            certified=ask.certified,
            listener=ask.listener,
            body=self._body,
            interim=interim if ask.takes_interim else None,
            id=ask.id,
            traceparent=ask.traceparent,
            received_at=ask.received_at,
            target_scheme=ask.target_scheme,
            is_named=ask.is_named,
        )
        self._task = shared.tasks.start(self._exchange(request), "relayed exchange")

        def answered(_: object) -> None:
            nonlocal is_open
            is_open = False

        self._task.add_done_callback(answered)

    async def _exchange(self, request: Request) -> None:
        try:
            response = await self._ask(request)
            if response is not None:
                await self._send(request, response)
        except ChannelLost:
            pass
        finally:
            self._task = self._body = None
            following, self._next = self._next, None
            if following is not None:
                self._start(following)
            self._shared.answered()

    async def _ask(self, request: Request) -> HandlerResponse | None:
        shared = self._shared
        try:
            response: HandlerResponse = await shared.handler(request)
            return response
        except RequestError as error:
            self._is_told = True
            self.channel.send(Refused(error.status, str(error), error.close))
            return None
        except Exception as error:  # noqa: BLE001 - the outermost step: one request fails, not the node
            shared.metrics.count("task_errors_total")
            shared.report(f"request {request.id} failed: {type(error).__name__}: {error}")
            return breakdown()

    async def _send(self, request: Request, response: HandlerResponse) -> None:
        body = response.body
        try:
            if self._send_head(request, response):
                await self._send_parts(body)
                self._is_told = True
                self.channel.send(End(getattr(body, "trailers", Headers()).pairs))
                await self._all_sent(0)
        except ChannelLost:
            raise
        except EdgeError as error:
            self.channel.send(Broken(str(error)))
        except Exception as error:  # noqa: BLE001 - likewise
            self._shared.metrics.count("task_errors_total")
            self._shared.report(f"request {request.id} failed: {type(error).__name__}: {error}")
            self.channel.send(Broken("internal error"))
        finally:
            await body.aclose()

    def _send_head(self, request: Request, response: HandlerResponse) -> bool:
        """Send all but the parts; whether those have to follow."""
        body = response.body
        bare = request.method == "HEAD" or response.status in _BODILESS or isinstance(body, HeadOnly)
        data: bytes | None = None
        if not bare and type(body) is BytesBody and len(body.data) <= INLINE_BYTES:
            data = body.data
        reuse, marks = response.reuse, self._shared.marks
        reusing = None
        if (
            reuse is not None
            and len(reuse.data) == reuse.size
            and marks is not None
            and response.status == 200
            and not response.close
        ):
            if data is None and bare and len(reuse.data) <= INLINE_BYTES:
                data = reuse.data
            if data is not None:
                reusing = marks.reusing(reuse, self._shared.clock())
        if bare and reusing is None:
            data = None
        self.channel.send(
            Answer(
                response.status,
                response.headers.pairs,
                response.outcome,
                response.close,
                body.length,
                bare,
                data is not None,
                reusing,
            )
        )
        if data is not None:
            self.channel.send_content(data)
        self._is_told = bare or data is not None
        return not self._is_told

    async def _send_parts(self, body: Body) -> None:
        files: list[OpenFile] = []
        parts = body.parts()
        try:
            async for part in parts:
                if isinstance(part, FileSlice):
                    self._send_slice(part, files)
                    await self._all_sent(0)
                else:
                    view = memoryview(part)
                    for start in range(0, len(view), PIECE_BYTES):
                        await self._all_sent(PIECES_AHEAD - 1)
                        self.channel.send_content(view[start : start + PIECE_BYTES])
                        self._unsent += 1
                    await self.channel.drained()
        finally:
            aclose = getattr(parts, "aclose", None)
            if aclose is not None:
                await aclose()

    def _send_slice(self, part: FileSlice, files: list[OpenFile]) -> None:
        if not part.length:
            return
        number = next((n for n, file in enumerate(files) if file is part.file), len(files))
        is_new = number == len(files)
        if is_new:
            files.append(part.file)
        descriptor = part.file.fileno() if is_new else -1
        self.channel.send(Slice(number, part.offset, part.length, is_new), descriptor)
        self._unsent += 1

    async def _all_sent(self, but: int) -> None:
        """Wait until at most `but` parts are on their way. Raises ChannelLost."""
        while self._unsent > but:
            if self.channel.is_closed:
                raise ChannelLost("the server is gone")
            self._sent = asyncio.get_running_loop().create_future()
            await self._sent
