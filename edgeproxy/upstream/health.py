"""When to stop asking an origin: a circuit breaker around any Upstream.

CLOSED counts failures in a window; enough of them open it. OPEN refuses at once. When its time is over
one request is let through as a probe (HALF_OPEN): its success closes the breaker, its failure opens it
for twice as long, up to a bound. Times are jittered so that many nodes do not probe together."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import StrEnum

from cachetools import LRUCache

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import Clock, Headers
from edgeproxy.upstream.upstream import Origin, Upstream, UpstreamRequest, UpstreamResponse

_ORIGINS_MAX = 1024
_JITTER = 0.2
_BAD_STATUSES = frozenset({502, 503, 504})
_BAD_ERRORS = frozenset(
    {
        ProxyError.DNS_TIMEOUT,
        ProxyError.DESTINATION_UNAVAILABLE,
        ProxyError.DESTINATION_IP_UNROUTABLE,
        ProxyError.CONNECTION_REFUSED,
        ProxyError.CONNECTION_TERMINATED,
        ProxyError.CONNECTION_TIMEOUT,
        ProxyError.CONNECTION_READ_TIMEOUT,
        ProxyError.CONNECTION_WRITE_TIMEOUT,
        ProxyError.TLS_PROTOCOL_ERROR,
        ProxyError.TLS_CERTIFICATE_ERROR,
        ProxyError.HTTP_RESPONSE_INCOMPLETE,
        ProxyError.HTTP_RESPONSE_HEADER_SECTION_SIZE,
        ProxyError.HTTP_RESPONSE_TIMEOUT,
        ProxyError.HTTP_PROTOCOL_ERROR,
    }
)


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True)
class OriginHealth:
    """For a status page. `seconds_left` until the next probe, 0 unless open."""

    origin: str
    state: BreakerState
    failures: int
    seconds_left: float
    last_error: str


@dataclass(slots=True)
class _Record:
    failures: deque[float]
    opened: int = 0  # how often in a row
    open_until: float = 0.0
    probing: bool = False
    last_error: str = field(default="")


class Breaker:
    """Implements Upstream around another. `failures` within `window_seconds` open it for
    `open_seconds`, doubled with each failed probe up to `open_seconds_max`."""

    def __init__(
        self,
        upstream: Upstream,
        *,
        failures: int = 5,
        window_seconds: float = 10.0,
        open_seconds: float = 10.0,
        open_seconds_max: float = 60.0,
        timer: Clock = time.monotonic,
        chance: random.Random | None = None,
    ) -> None:
        self._upstream = upstream
        self._failures = failures
        self._window = window_seconds
        self._open = open_seconds
        self._open_max = open_seconds_max
        self._timer = timer
        self._chance = chance or random.Random()
        self._records: LRUCache[Origin, _Record] = LRUCache(_ORIGINS_MAX)

    async def fetch(self, request: UpstreamRequest) -> UpstreamResponse:
        """Raises what the other raises, and UpstreamError(DESTINATION_UNAVAILABLE, sent=False) while open."""
        origin = request.origin
        record = self._records.get(origin)
        probe = record is not None and record.opened > 0
        if record is not None and probe:
            if record.probing or self._timer() < record.open_until:
                message = f"{origin.url} failed lately: {record.last_error}"
                raise UpstreamError(ProxyError.DESTINATION_UNAVAILABLE, message, sent=False)
            record.probing = True
        try:
            response = await self._upstream.fetch(request)
        except UpstreamError as error:
            self._failed(origin, error, probe=probe)
            raise
        finally:
            if record is not None and probe:
                record.probing = False
        if response.status in _BAD_STATUSES:
            self._note(origin, f"status {response.status}", probe=probe)
        elif probe:
            self._records.pop(origin, None)
        return _Watched(response, self, origin)

    async def aclose(self) -> None:
        await self._upstream.aclose()

    def states(self) -> tuple[OriginHealth, ...]:
        """Every origin that failed lately."""
        now = self._timer()
        return tuple(
            OriginHealth(
                origin.url,
                self._state(record, now),
                sum(at > now - self._window for at in record.failures),
                max(0.0, record.open_until - now),
                record.last_error,
            )
            for origin, record in list(self._records.items())
        )

    def _state(self, record: _Record, now: float) -> BreakerState:
        if record.opened == 0:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < record.open_until else BreakerState.HALF_OPEN

    def _failed(self, origin: Origin, error: UpstreamError, *, probe: bool = False) -> None:
        if error.error in _BAD_ERRORS:
            self._note(origin, f"{error.error.value}: {error}", probe=probe)

    def _note(self, origin: Origin, what: str, *, probe: bool) -> None:
        now = self._timer()
        record = self._records.get(origin)
        if record is None:
            record = self._records[origin] = _Record(deque(maxlen=self._failures))
        record.failures.append(now)
        record.last_error = what[:200]
        many = len(record.failures) == self._failures and record.failures[0] > now - self._window
        # Requests that were under way when it opened must not open it for longer.
        if probe or (many and record.opened == 0):
            record.opened += 1
            seconds = min(self._open * 2 ** min(record.opened - 1, 16), self._open_max)
            record.open_until = now + seconds * (1 + _JITTER * self._chance.random())


class _Watched:
    """A response whose body still counts: an origin that breaks off every answer is not healthy."""

    __slots__ = ("_breaker", "_origin", "_response")

    def __init__(self, response: UpstreamResponse, breaker: Breaker, origin: Origin) -> None:
        self._response = response
        self._breaker = breaker
        self._origin = origin

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

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._response.chunks():
                yield piece
        except UpstreamError as error:
            self._breaker._failed(self._origin, error)
            raise

    async def aclose(self) -> None:
        await self._response.aclose()
