"""Where the filler accepts channels."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

from edgeproxy.message import Clock, Handler
from edgeproxy.metrics import Metrics
from edgeproxy.relay.answering import Answering, Answers
from edgeproxy.relay.channel import Channel
from edgeproxy.relay.marks import Marks
from edgeproxy.relay.messages import DECODER
from edgeproxy.relay.reports import Heard, Tally
from edgeproxy.tasks import Tasks

_REST_SECONDS = 0.05
_AT_ONCE = 64


class RelayListener:
    """Answers with `handler` what comes over channels to `listening`, which it owns; `heard` is told what
    servers noticed."""

    def __init__(
        self,
        handler: Handler,
        listening: socket.socket,
        *,
        marks: Marks | None,
        tasks: Tasks,
        metrics: Metrics,
        clock: Clock,
        report: Callable[[str], None],
        heard: Heard = lambda _: None,
    ) -> None:
        listening.setblocking(False)
        self._socket = listening
        self._channels: set[Answering] = set()
        self._ended = asyncio.Event()
        self._tally = Tally(metrics, marks, heard)
        self._shared = Answers(
            handler,
            marks=marks,
            reports=self._tally,
            tasks=tasks,
            metrics=metrics,
            clock=clock,
            report=report,
            ended=self._lost,
            answered=self._ended.set,
        )
        self._timer: asyncio.TimerHandle | None = None

    @property
    def told(self) -> list[dict[str, Any]]:
        """What each server has to tell people."""
        return self._tally.told

    @property
    def connections(self) -> int:
        """Open client connections of all servers, as they said last."""
        return int(self._tally.total("connections"))

    @property
    def memo_entries(self) -> float:
        return self._tally.total("memo_entries")

    def serve(self, handler: Handler) -> None:
        """Answer with another handler from now on."""
        self._shared.handler = handler
        if self._shared.marks is not None:
            self._shared.marks.clear()

    def _lost(self, answering: Answering) -> None:
        self._channels.discard(answering)
        self._ended.set()

    def start(self) -> None:
        self._timer = None
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._ready)

    def _ready(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connected, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # out of descriptors: it is tried again
                loop = asyncio.get_running_loop()
                loop.remove_reader(self._socket.fileno())
                self._timer = loop.call_later(_REST_SECONDS, self.start)
                return
            answering = Answering(self._shared)
            self._channels.add(answering)
            answering.begin(Channel(connected, DECODER, answering))

    async def drain(self, seconds: float) -> None:
        """Accept no more, let what runs end for so long, then break it off."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
        elif self._socket.fileno() >= 0:
            loop.remove_reader(self._socket.fileno())
        self._socket.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while any(answering.is_busy for answering in self._channels):
                    self._ended.clear()
                    await self._ended.wait()
        for answering in list(self._channels):
            answering.channel.close()
            answering.lost()
