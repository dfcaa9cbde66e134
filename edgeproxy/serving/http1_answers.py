"""Response to bytes on one connection of HTTP/1.1 or HTTP/1.0: the answering half of http1.

A connection ends with a FIN (over TLS, with a closing alert) only after a whole answer; where content is
owed it ends with a reset."""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import replace
from typing import Any

from edgeproxy.errors import BodyAborted, RequestError
from edgeproxy.message import Body, BytesBody, Certified, Headers, Request, Response
from edgeproxy.serving import ending
from edgeproxy.serving.body_writer import SENDFILE_BYTES, BodyWriter
from edgeproxy.serving.chunked import Decoder
from edgeproxy.serving.exchange import Progress, account, account_refusal, ask, make_request
from edgeproxy.serving.head import Head
from edgeproxy.serving.head_syntax import HeadReader
from edgeproxy.serving.repeats import Repeated
from edgeproxy.serving.request_body import IncomingBody
from edgeproxy.serving.request_memo import JOINED_BYTES, Remembered, is_reusable
from edgeproxy.serving.response_head import (
    Framing,
    breakdown,
    encode_head,
    encode_interim,
    framing_of,
    refusal,
)
from edgeproxy.serving.service import Service

DROP_BYTES = 64 << 10  # unwanted request content read to keep a connection


class Answering(asyncio.Protocol):
    """The answering half of a client connection, with the state of both halves. `peer` is the other
    end's address, "" for a unix socket; `proxied` tells that a PROXY header comes first, `client` what one
    told that is gone already. `certified` is the client's verified certificate."""

    __slots__ = (
        "_awaited",
        "_body",
        "_certified",
        "_client",
        "_content",
        "_decoder",
        "_dropped",
        "_eof",
        "_fresh",
        "_head",
        "_head_bytes",
        "_keep",
        "_lingering",
        "_memo",
        "_memorable",
        "_owes_continue",
        "_peer",
        "_proxied",
        "_quick",
        "_reader",
        "_reading",
        "_ready",
        "_secured",
        "_service",
        "_task",
        "_transport",
        "_writer",
        "pulse_seen",
        "pulse_since",
        "served",
        "served_max",
    )

    def __init__(
        self,
        service: Service,
        peer: str,
        proxied: bool,
        *,
        client: str = "",
        certified: Certified | None = None,
    ) -> None:
        self._service = service
        self._peer, self._client = peer, client or peer
        self._proxied = proxied
        self._certified = certified
        self._secured = False
        self._memo = service.memo
        # Only what does not depend on who asks is answered from the memo.
        self._memorable = not (proxied or client or certified) and peer not in service.trusted
        self._transport: Any = None
        self._writer: BodyWriter = None  # type: ignore[assignment]  # until connection_made
        self._reader = HeadReader(service.limits)
        self._decoder: Decoder | None = None  # of content still to come
        self._body: IncomingBody | None = None  # who takes that content; None drops it
        self._head: Head | None = None
        self._head_bytes = b""
        self._task: asyncio.Task[None] | None = None
        self._keep = True
        self._owes_continue = False
        self._content = 0
        self._dropped = 0
        self._eof = False
        self._fresh = True  # not known yet to be HTTP/1
        self._reading = True
        self._lingering = False
        self._awaited: object | None = None  # marks the exchange whose answer has not begun
        self._ready = False  # the same, for answers that are this client's
        self._quick = False  # idle, nothing unread, able to write: the memo may answer
        self.served = 0
        self.served_max = service.limits.requests_per_connection or 1 << 62
        self.pulse_seen: tuple[object, ...] = ()
        self.pulse_since = 0.0

    def _pump(self, looked_up: bytes = b"") -> None:
        """Take requests from the unread bytes until one is being answered."""
        raise NotImplementedError

    @property
    def peer(self) -> str:
        return self._peer

    @property
    def endpoint(self) -> socket.socket | None:
        found: socket.socket | None = self._transport.get_extra_info("socket")
        return found

    def close(self) -> None:
        ending.close(self._transport)

    def abort(self) -> None:
        self._writer.reset_on_close(True)
        if self._task is not None and ending.sends_files(self._transport):
            # A TLS transport cannot be broken off while somebody waits for it to send a file.
            self._task.cancel()
        ending.break_off(self._transport)

    def _can_send(self, entry: Remembered) -> bool:
        """Whether content in a file can leave from here without waiting for the disk."""
        if len(entry.data) == entry.size or (not self._secured and entry.is_at_hand()):
            return True
        entry.uses -= 1
        return False

    def _send_recalled(self, entry: Remembered, now: float) -> None:
        answer = entry.answer
        if entry.file is not None and not self._secured and (not entry.data or entry.is_at_hand()):
            self._transport.write(entry.head)
            self._writer.queue_file(entry.file, entry.size)
        elif type(answer) is bytes:
            self._transport.write(answer)
        else:
            self._transport.writelines(answer)
        self.served += 1
        log = self._service.log
        if log.enabled:
            log.put((entry, now, self._client))

    def _start(self, body: IncomingBody | None) -> None:
        head = self._head
        assert head is not None
        self._awaited = waiting = object()

        def interim(status: int, headers: Headers) -> None:
            # What comes too late would be taken for a part of this answer, or for another's.
            if self._awaited is waiting and not self._transport.is_closing():
                self._transport.write(encode_interim(status, headers))

        # RFC 9110 section 15.2: never to a client of HTTP/1.0.
        tell = interim if head.version == "1.1" else None
        request = make_request(self._service, head, self._peer, self._client, body, tell, self._certified)
        self._quick = self._ready = False
        at_once = self._service.at_once
        if at_once is not None and body is None:
            response = at_once(request)
            if response is not None and self._answer_at_once(request, head, response):
                return
        self._task = self._service.tasks.start(self._exchange(request, head), "exchange")

    def _answer_at_once(self, request: Request, head: Head, response: Response) -> bool:
        """Send an answer that is there without a task for it. Whether that could be done."""
        body = response.body
        if type(body) is not BytesBody:
            return False
        progress = Progress(time.monotonic())
        framing = framing_of(response, request.method, request.version)
        keep, self._keep = self._keep, self._may_continue(response, framing)
        try:
            encoded = self._encode(request, response, framing)
        except ValueError:
            self._keep = keep
            return False
        self._awaited = None
        data = b"" if framing is Framing.NONE else body.data
        if len(data) <= JOINED_BYTES:
            self._transport.write(encoded + data)
        else:
            self._transport.writelines((encoded, data))
        progress.status, progress.sent, progress.complete = response.status, len(data), True
        progress.head_at = progress.started
        account(self._service, request, response.outcome, progress)
        if head.memorable and is_reusable(response):
            self._remember(request, response)
        elif response.repeat is not None and self._keep and head.version == "1.1" and head.length == 0:
            self._service.repeats.remember(self._client, self._head_bytes, request, response, data)
        self._head = None
        if not self._keep and not self._transport.is_closing():
            self._end()
        return True

    def _send_repeated(self, entry: Repeated, now: float) -> None:
        self._transport.write(entry.answer)
        self.served += 1
        service, outcome = self._service, entry.response.outcome
        if service.log.enabled:
            progress = Progress(time.monotonic(), entry.response.status, entry.size, complete=True)
            progress.head_at = progress.started
            request = replace(entry.request, received_at=now, id=service.ids.make(), traceparent="")
            account(service, request, outcome, progress)
            return
        metrics = service.metrics
        metrics.count("requests_total", outcome.site, outcome.cache.value, str(entry.response.status))
        metrics.observe("request_seconds", 0.0, outcome.site)

    async def _exchange(self, request: Request, head: Head) -> None:
        progress = Progress(time.monotonic())
        response = await ask(self._service, request)
        try:
            await self._answer(request, head, response, progress)
        finally:
            progress.sent = progress.sent or self._writer.sent
            self._writer.sent = 0
            account(self._service, request, response.outcome, progress)
        if progress.complete:
            self._exchanged()

    async def _answer(self, request: Request, head: Head, response: Response, progress: Progress) -> None:
        self._awaited = None
        framing = framing_of(response, request.method, request.version)
        self._keep = self._may_continue(response, framing)
        try:
            encoded = self._encode(request, response, framing)
        except ValueError as error:
            await response.body.aclose()
            self._service.report(f"request {request.id}: {error}")
            response, framing = breakdown(), Framing.LENGTH
            encoded = self._encode(request, response, framing)
        progress.status = response.status
        progress.head_at = time.monotonic()
        try:
            await self._send(encoded, response.body, framing)
            progress.complete = True
        except BodyAborted as error:
            self._service.report(f"request {request.id} aborted: {error}")
        except Exception as error:  # noqa: BLE001 - the outermost step of sending
            self._service.metrics.count("task_errors_total")
            self._service.report(f"request {request.id} failed: {type(error).__name__}: {error}")
        finally:
            if not progress.complete:
                self._task = None
                self.abort()
            await response.body.aclose()
        if progress.complete and head.memorable and is_reusable(response):
            self._remember(request, response)

    def _encode(self, request: Request, response: Response, framing: Framing) -> bytes:
        if self._keep:
            connection = "" if request.version == "1.1" else "keep-alive"
        else:
            connection = "close"
        return encode_head(
            response.status,
            response.headers,
            length=response.body.length,
            framing=framing,
            connection=connection,
            date=self._service.date.at(self._service.clock()),
        )

    async def _send(self, encoded: bytes, body: Body, framing: Framing) -> None:
        if framing is Framing.NONE:
            self._transport.write(encoded)
        elif type(body) is BytesBody:
            self._transport.writelines((encoded, body.data))
            self._writer.sent += len(body.data)
        else:
            if framing is Framing.CLOSE:
                self._writer.reset_on_close(True)
            await self._writer.send(encoded, body, framing)
            if framing is Framing.CLOSE:
                self._writer.reset_on_close(False)

    def _may_continue(self, response: Response, framing: Framing) -> bool:
        """Whether another request may follow this answer."""
        if not self._keep or response.close or framing is Framing.CLOSE or self._service.draining:
            return False
        if self._decoder is None:
            return True
        # Content that the client has not sent and may never send, or too much to read and drop.
        return not self._owes_continue and (self._decoder.left or 0) <= DROP_BYTES

    def _remember(self, request: Request, response: Response) -> None:
        reuse = response.reuse
        if not self._memorable or reuse is None or request.body is not None:
            return
        if request.method == "GET":
            is_sendable = reuse.file is not None and reuse.size <= SENDFILE_BYTES and not self._secured
            if type(response.body) is not BytesBody and not is_sendable:
                return
        entry = Remembered(
            request.method, request.target, request.authority, request.headers, reuse, response.outcome
        )
        entry.bind(self._service.metrics)
        self._memo.remember(self._head_bytes, entry)

    def _exchanged(self) -> None:
        """An answer is out; go on with what the client has sent meanwhile."""
        self._task = None
        self._head = None
        if self._transport.is_closing():
            return
        if not self._keep:
            self._end()
            return
        if self._decoder is not None:
            self._body = None  # what the handler left is dropped
            self._dropped = DROP_BYTES
        self._pump()

    def _refuse(self, error: RequestError, *, foreign: bool = False) -> None:
        """Answer bytes that are no acceptable request, and end; with a reset where they are of no HTTP/1
        at all: whoever reads our answer as something else must not take its end for an orderly one."""
        account_refusal(self._service, self._client, error)
        response = refusal(error)
        body = response.body
        assert isinstance(body, BytesBody)
        self._transport.writelines(
            (
                encode_head(
                    response.status,
                    response.headers,
                    length=body.length,
                    framing=Framing.LENGTH,
                    connection="close",
                    date=self._service.date.at(self._service.clock()),
                ),
                body.data,
            )
        )
        if foreign:
            self._writer.reset_on_close(True)
            self.close()
            return
        self._end(unread=True)

    def _end(self, unread: bool = False) -> None:
        """Close after the last answer. While the client may still be sending, a close would become a
        reset that destroys the answer on its way (RFC 9112 section 9.6): end our side, drop theirs."""
        self._quick = self._ready = False
        self._head = None
        if self._eof or not (unread or self._decoder is not None or len(self._reader)):
            self.close()
            return
        self._lingering = True
        self._decoder = None
        self._dropped = 0
        self._reader.rest()
        if not self._reading:
            self._reading = True
            self._transport.resume_reading()
        if self._secured:
            ending.close_when_answered(self._transport)
        elif self._transport.can_write_eof():
            self._transport.write_eof()
