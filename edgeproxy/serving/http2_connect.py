"""CONNECT on a stream of HTTP/2 (RFC 9113 section 8.5): its DATA frames are the bytes of a connection.

    asked -> refused: an answer as any other
       +---> 200 -> both directions open -> one ended -> both ended, or the stream is reset

The windows of stream and connection hold each direction to what the other side takes: nothing is read from
the wire before all that was read has left, and the client may send more only when the wire has taken what it
sent."""

from __future__ import annotations

import time

from edgeproxy.errors import BodyAborted, EdgeError, RequestError
from edgeproxy.message import Headers, Request, Response
from edgeproxy.serving.exchange import Progress, account, make_request
from edgeproxy.serving.head import Head
from edgeproxy.serving.http2_answers import Answering
from edgeproxy.serving.http2_frames import DATA, END_STREAM, Code, frame
from edgeproxy.serving.http2_guard import EARNED
from edgeproxy.serving.http2_hpack import encode_response
from edgeproxy.serving.http2_stream import Stream
from edgeproxy.serving.request_body import IncomingBody
from edgeproxy.serving.response_head import refusal
from edgeproxy.serving.service import Connects, Reached
from edgeproxy.serving.wire import Wire

_ENDLESS = 1 << 62


class Connecting(Answering):
    """The part of a connection that turns streams into ways to somewhere else."""

    __slots__ = ()

    def _connect(self, connects: Connects, stream: Stream, head: Head) -> None:
        """The bytes of `stream` are for somebody else: no content of a request, and nobody's to bound."""
        stream.is_way = True
        stream.content_max = _ENDLESS
        if not stream.remote_ended:
            stream.body = IncomingBody(None, lambda: None, lambda: self._credit(stream))
        request = make_request(self._service, head, self._peer, self._client, None, None, self._certified)
        stream.task = self._service.tasks.start(self._reach(connects, stream, request), "CONNECT")

    async def _reach(self, connects: Connects, stream: Stream, request: Request) -> None:
        """Ask, and refuse or open the way."""
        progress = Progress(time.monotonic())
        reached = await connects.reach(self._service, request)
        if not isinstance(reached, Response):
            wire = self._wired()
            if wire is not None:
                await self._carry(stream, reached, wire)
                return
            reached.drop()
            reached = refusal(RequestError(503, "too many connections at a time"))
        try:
            await self._answer(stream, request, reached, progress)
        finally:
            account(self._service, request, reached.outcome, progress)

    def _wired(self) -> Wire | None:
        """A wire that counts as a connection of the client; None where there is no room for one."""
        try:
            wire = Wire()
        except OSError:
            return None
        if self._service.admit(self._peer, wire.near.fileno()) is None:
            return wire
        wire.close()
        wire.far.close()
        return None

    async def _carry(self, stream: Stream, reached: Reached, wire: Wire) -> None:
        """Tell that the way is open, and carry bytes until both directions have ended."""
        reached.take(wire.far, b"", wire)
        service, is_whole = self._service, False
        up = service.tasks.start(_carry_up(stream.body, wire), "CONNECT")
        try:
            stream.answered = True
            if not stream.is_closed:
                date = service.date.at(service.clock())
                self._head(stream, encode_response(200, Headers(), length=None, date=date), ends=False)
            await self._carry_down(stream, wire)
            await up
            is_whole = True
        except (OSError, BodyAborted):
            pass  # the stream is reset below
        finally:
            if not is_whole:
                wire.abort("the client left")
                self._reset(stream, Code.CONNECT_ERROR, cancel=False)
            up.cancel()
            wire.close()
        if not stream.is_closed:
            self._finished(stream)

    async def _carry_down(self, stream: Stream, wire: Wire) -> None:
        """Raises OSError for a reset, BodyAborted when the stream is closed."""
        output = self._output
        while data := await wire.read():
            if stream.is_closed:
                raise BodyAborted("the stream is closed")
            await stream.send(output, data, len(data), end=False)
            self._guard.idle.earn(EARNED)  # however little it was: its windows are widened for each
        if wire.was_reset:
            raise ConnectionResetError("what was reached broke off")
        if not stream.is_closed:
            output.put(frame(DATA, END_STREAM, stream.id))
            stream.is_ended = True


async def _carry_up(body: IncomingBody | None, wire: Wire) -> None:
    try:
        if body is not None:
            async for piece in body:
                await wire.write(piece)
        wire.end()
    except EdgeError:
        wire.abort("the client left")
    except OSError:
        pass  # who took it is gone; its end is read in its turn
