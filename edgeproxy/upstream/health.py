"""When to stop asking an origin: a circuit breaker around any Upstream.

CLOSED counts failures in a row within a window; enough of them open it. OPEN refuses at once. When its
time is over one request is let through as a probe (HALF_OPEN): its success closes the breaker, its
failure opens it for twice as long, up to a bound. Times are jittered so that many nodes do not probe
together.

Only what costs a client its patience counts: an origin that does not answer in time. A refused
connection, an error status or a broken body is known at once, says little about the next URL, and is
gone the moment the origin is back: refusing for longer would make a short outage a long one."""

from __future__ import annotations

import random
import time
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

from cachetools import LRUCache

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import Clock
from edgeproxy.upstream.upstream import Origin, Upstream, UpstreamRequest, UpstreamResponse

_ORIGINS_MAX = 1024
_JITTER = 0.2
_SILENCE = frozenset(
    {
        ProxyError.DNS_TIMEOUT,
        ProxyError.CONNECTION_TIMEOUT,
        ProxyError.HTTP_RESPONSE_TIMEOUT,
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
    """Implements Upstream around another. `failures` in a row within `window_seconds` open it for
    `open_seconds`, doubled with each failed probe up to `open_seconds_max`."""

    def __init__(
        self,
        upstream: Upstream,
        *,
        failures: int = 5,
        window_seconds: float = 10.0,
        open_seconds: float = 10.0,
        open_seconds_max: float = 30.0,
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
        refusal = self.refusal(origin)
        if refusal:
            raise UpstreamError(ProxyError.DESTINATION_UNAVAILABLE, refusal, sent=False)
        if record is not None and probe:
            record.probing = True
        try:
            response = await self._upstream.fetch(request)
        except UpstreamError as error:
            self._failed(origin, error, probe=probe)
            raise
        finally:
            if record is not None and probe:
                record.probing = False
        self._records.pop(origin, None)
        return response

    @property
    def running(self) -> int:
        """Exchanges in flight."""
        return int(getattr(self._upstream, "running", 0))

    async def aclose(self) -> None:
        await self._upstream.aclose()

    def refusal(self, origin: Origin) -> str:
        """Why `origin` would be refused at once; "" if it would be asked."""
        record = self._records.get(origin)
        if record is None or record.opened == 0:
            return ""
        if not record.probing and self._timer() >= record.open_until:
            return ""
        return f"{origin.url} failed lately: {record.last_error}"

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

    def _failed(self, origin: Origin, error: UpstreamError, *, probe: bool) -> None:
        if error.error in _SILENCE:
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
