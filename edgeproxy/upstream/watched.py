"""A response watched to its end: what breaks, stalls or dawdles is noted against whoever sent it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import Clock, Headers
from edgeproxy.upstream.tracker import Tracker
from edgeproxy.upstream.upstream import PIECE_BYTES, UpstreamResponse

GOODPUT_BYTES = 256 << 10  # less says more about latency
LEAST_RATE = 1024  # bytes a second, below which a candidate is left for another


class Watched:
    """Implements UpstreamResponse. `patience` is how long (in seconds of waiting for bytes) the response may
    come at less than LEAST_RATE, None for ever."""

    def __init__(
        self, response: UpstreamResponse, tracker: Tracker, timer: Clock, patience: float | None
    ) -> None:
        self._response = response
        self._tracker = tracker
        self._timer = timer
        self._patience = patience
        self._size = 0
        self._waited = 0.0
        self._began_at: float | None = None
        self._window_size, self._window_waited = 0, 0.0
        self._is_open = True

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def headers(self) -> Headers:
        return self._response.headers

    @property
    def content_length(self) -> int | None:
        return self._response.content_length

    @property
    def version(self) -> str:
        return self._response.version

    @property
    def source(self) -> str:
        return self._tracker.candidate.name

    @property
    def is_fresh(self) -> bool:
        return self._response.is_fresh

    @property
    def trailers(self) -> Headers:
        return self._response.trailers

    async def chunks(self, most: int = PIECE_BYTES) -> AsyncIterator[bytes]:
        chunks = self._response.chunks(most)
        asked_at = self._began_at = self._timer()
        try:
            async for chunk in chunks:
                self._note(len(chunk), self._timer() - asked_at)
                yield chunk
                asked_at = self._timer()
        except UpstreamError as error:
            self._tracker.broke(error, asked_at)
            raise
        finally:
            await chunks.aclose()  # type: ignore[attr-defined]

    def _note(self, size: int, waited: float) -> None:
        self._size += size
        self._waited += waited
        self._window_size += size
        self._window_waited += waited
        if self._patience is None or self._window_waited < self._patience:
            return
        if self._window_size < LEAST_RATE * self._window_waited:
            message = f"{self._window_size} bytes in {self._window_waited:.1f} s"
            raise UpstreamError(ProxyError.CONNECTION_READ_TIMEOUT, message)
        self._window_size, self._window_waited = 0, 0.0

    async def aclose(self) -> None:
        if self._is_open:
            self._is_open = False
            self._tracker.ended()
            self._tracker.received(self._size)
            if self._size >= GOODPUT_BYTES and self._began_at is not None:
                seconds = self._timer() - self._began_at
                is_least = self._waited < seconds / 2
                self._tracker.delivered(self._size, seconds, is_least=is_least)
        await self._response.aclose()
