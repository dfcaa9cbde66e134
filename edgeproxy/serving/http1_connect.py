"""A connection of HTTP/1 that leaves the server for good: CONNECT, and switches to another protocol.

Without TLS its socket is copied and given away. Over TLS the bytes come out here: they go on through a pair
of sockets (`wire`)."""

from __future__ import annotations

import time

from edgeproxy.errors import RequestError
from edgeproxy.message import Request, Response
from edgeproxy.serving import connecting
from edgeproxy.serving.exchange import Progress, account, make_request
from edgeproxy.serving.head import Head
from edgeproxy.serving.http1_answers import Answering
from edgeproxy.serving.service import Connects, OpenConnection, Reached, Upgrades
from edgeproxy.serving.wire import Carrier, Wire


class Connecting(Answering):
    """The part of a connection that gives it away."""

    __slots__ = ()

    def _turn(self, other: OpenConnection) -> None:
        """Go on as `other`."""
        raise NotImplementedError

    def _connect(self, head: Head) -> None:
        connects = self._service.connects
        if connects is None:
            self._refuse(RequestError(405, "CONNECT is not answered here"))
            return
        request = self._request_to_leave(head)
        reached = None if self._secured else connects.at_once(self._service, request)
        if reached is None:
            self._leave(head, connects, request)
            return
        self._service.expects_connect = self.served == 1 and self._memorable
        self._lingering = True  # nothing more of it is read here
        self._hand_over(reached)

    def _request_to_leave(self, head: Head) -> Request:
        return make_request(self._service, head, self._peer, self._client, None, None, self._certified)

    def _leave(self, head: Head, asked: Connects | Upgrades, request: Request) -> None:
        """The connection is to become a way to somewhere else: nothing more of it is read here."""
        self._keep = self._quick = self._reading = False
        self._transport.pause_reading()
        self._task = self._service.tasks.start(self._reach(asked, request, head), "CONNECT")

    async def _reach(self, asked: Connects | Upgrades, request: Request, head: Head) -> None:
        progress = Progress(time.monotonic())
        reached = await asked.reach(self._service, request)
        if not isinstance(reached, Response):
            self._hand_over(reached)
            return
        try:
            await self._answer(request, head, reached, progress)
        finally:
            account(self._service, request, reached.outcome, progress)
        if progress.complete:
            self._exchanged()

    def _hand_over(self, reached: Reached) -> None:
        self._task = None  # the end of the transport is not the end of what was reached
        if self._secured:
            self._wire(reached)
            return
        try:
            connected = connecting.copy_of(self._transport)
        except OSError:
            reached.drop()
            self.abort()
            return
        early = self._reader.rest()
        self._service.readmit(self._peer)
        if connecting.tell(connected, reached.head):
            reached.take(connected, early)
        else:
            connected.close()
            reached.drop()
        self._transport.abort()

    def _wire(self, reached: Reached) -> None:
        """The bytes come out of TLS here: they go on through a pair of sockets."""
        try:
            wire = Wire()
        except OSError:
            reached.drop()
            self.abort()
            return
        carrier = Carrier(self._service, self._peer, wire)
        early = self._reader.rest()
        self._service.readmit(self._peer)
        self._turn(carrier)
        self._transport.set_protocol(carrier)
        self._transport.write(reached.head)
        reached.take(wire.far, b"", wire)
        carrier.take_over(self._transport, early)
