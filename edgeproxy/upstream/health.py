"""When to stop asking an origin: a circuit breaker around any Upstream.

CLOSED counts failures in a row within a window; enough of them open it. OPEN refuses at once. When its
time is over one request is let through as a trial (HALF_OPEN): its success closes the breaker, its
failure opens it for twice as long, up to a bound. Times are jittered so that many nodes do not ask
together.

Meanwhile the origin is probed every few seconds: with the first sign of life the time is over. Who gives
signs of life and then no answer is believed less quickly each time.

Only what costs a client its patience counts: an origin that does not answer in time. A refused
connection, an error status or a broken body is known at once, says little about the next URL, and is
gone the moment the origin is back: refusing for longer would make a short outage a long one."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from dataclasses import dataclass, field, replace
from enum import StrEnum

from cachetools import LRUCache

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import Clock, Headers
from edgeproxy.tasks import Tasks
from edgeproxy.upstream.upstream import Origin, Upstream, UpstreamRequest, UpstreamResponse

_ORIGINS_MAX = 1024
_JITTER = 0.2
PROBE_SECONDS = 1.0  # from opening to the first probe; doubled with each that comes to nothing
PROBE_SECONDS_MAX = 4.0
PROBE_TIMEOUT_SECONDS = 3.0  # for an answer
PROBED_MAX = 64  # origins at a time; the others wait until their time is over
_SILENCE = frozenset(
    {
        ProxyError.DNS_TIMEOUT,
        ProxyError.CONNECTION_TIMEOUT,
        ProxyError.HTTP_RESPONSE_TIMEOUT,
    }
)
_PATIENCE = ("connect_timeout", "head_timeout")


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
    is_tried: bool = False
    is_probed: bool = False
    has_shown_life: bool = False  # since it was opened
    deceptions: int = 0  # in a row: it had shown life, and then did not answer
    last_error: str = field(default="")


class Breaker:
    """Implements Upstream around another. `failures` in a row within `window_seconds` open it for
    `open_seconds`, doubled with each failed trial up to `open_seconds_max`. Without `tasks` nobody probes."""

    def __init__(
        self,
        upstream: Upstream,
        *,
        tasks: Tasks | None = None,
        failures: int = 5,
        window_seconds: float = 10.0,
        open_seconds: float = 10.0,
        open_seconds_max: float = 30.0,
        timer: Clock = time.monotonic,
        chance: random.Random | None = None,
    ) -> None:
        self._upstream = upstream
        self._tasks = tasks
        self._probed = 0
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
        refusal = self.refusal(origin)
        if refusal:
            raise UpstreamError(ProxyError.DESTINATION_UNAVAILABLE, refusal, sent=False)
        record = self._records.get(origin)
        tried = record if record is not None and record.opened else None
        if tried is not None:
            tried.is_tried = True
        try:
            response = await self._upstream.fetch(request)
        except UpstreamError as error:
            if error.error in _SILENCE:
                self._note(request, f"{error.error.value}: {error}", tried)
            raise
        finally:
            if tried is not None:
                tried.is_tried = False
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
        if not record.is_tried and self._timer() >= record.open_until:
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

    def _note(self, request: UpstreamRequest, what: str, tried: _Record | None) -> None:
        now, origin = self._timer(), request.origin
        record = self._records.get(origin)
        if record is None:
            record = self._records[origin] = _Record(deque(maxlen=self._failures))
        record.failures.append(now)
        record.last_error = what[:200]
        many = len(record.failures) == self._failures and record.failures[0] > now - self._window
        # Requests that were under way when it opened must not open it for longer, nor a trial that others
        # have overtaken.
        if tried is record or (many and record.opened == 0):
            self._open_for_a_while(record, now)
            self._probe_later(request, record)

    def _open_for_a_while(self, record: _Record, now: float) -> None:
        record.opened += 1
        seconds = min(self._open * 2 ** min(record.opened - 1, 16), self._open_max)
        record.open_until = now + seconds * (1 + _JITTER * self._chance.random())
        record.deceptions = record.deceptions + 1 if record.has_shown_life else 0
        record.has_shown_life = False

    # -- signs of life -------------------------------------------------------------------------

    def _probe_later(self, request: UpstreamRequest, record: _Record) -> None:
        if self._tasks is not None and not record.is_probed and self._probed < PROBED_MAX:
            record.is_probed = True
            self._probed += 1
            self._tasks.start(self._watch(_probe(request), record), f"probe {request.origin.url}")

    async def _watch(self, probe: UpstreamRequest, record: _Record) -> None:
        """Probe an origin until it shows life, its time is over, or somebody has had an answer."""
        wait = min(PROBE_SECONDS * 2.0 ** min(record.deceptions, 16), self._open_max)
        try:
            while True:
                await asyncio.sleep(wait * (1 + _JITTER * self._chance.random()))
                is_over = self._timer() >= record.open_until and not record.is_tried
                if is_over or self._records.get(probe.origin) is not record:
                    return
                if await self._lives(probe):
                    record.has_shown_life = True
                    record.open_until, record.is_tried = self._timer(), False
                    return
                wait = min(2 * wait, PROBE_SECONDS_MAX)
        finally:
            record.is_probed = False
            self._probed -= 1

    async def _lives(self, probe: UpstreamRequest) -> bool:
        """Whether it does not keep silent: refusing us is an answer as well."""
        try:
            response = await self._upstream.fetch(probe)
        except UpstreamError as error:
            return error.error not in _SILENCE
        await response.aclose()
        return True


def _probe(request: UpstreamRequest) -> UpstreamRequest:
    """HEAD of the root of an origin, reached as `request` reaches it."""
    reach = request.reach
    patience = {name: min(getattr(reach, name), PROBE_TIMEOUT_SECONDS) for name in _PATIENCE}
    headers = Headers((("User-Agent", "edgeproxy"),))
    return UpstreamRequest(
        "HEAD", request.origin, "/", headers, reach=replace(reach, **patience), host=request.host, retry=False
    )
