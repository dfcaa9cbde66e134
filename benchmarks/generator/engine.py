"""Keeps a plan: makes requests when they are due, hands them to connections, counts what becomes of them.

An open loop makes request k at begun + k / rate, whatever became of those before it. What no connection is
free for waits, and its clock runs: a server that stalls is charged for every request that was due meanwhile
(no coordinated omission). A closed loop asks again when it has its answer."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Coroutine, Iterator
from time import monotonic

from benchmarks.alarm import Alarm
from benchmarks.generator import targets
from benchmarks.generator.connecting import Connector
from benchmarks.generator.exchange import Connection, Exchange, Wanted
from benchmarks.generator.outcome import Outcome
from benchmarks.generator.plan import Plan
from benchmarks.generator.tally import Tally

_SWEEP_SECONDS = 0.05
_RETRY_SECONDS = 0.1
_OPENING_MAX = 128  # at once, before the clock starts
_TICK_SECONDS = 50e-6  # between two looks at the schedule, at least
_LEAD_SECONDS = 0.02


class Engine:
    """One run of one plan on the loop that runs; `run` once."""

    received = 0

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._loop = asyncio.get_running_loop()
        self._connector = Connector(plan, self)
        self._next: Iterator[Wanted] = targets.order(self._connector.wanted, plan.zipf, plan.seed)
        self._dice = random.Random(plan.seed)
        self._tally = Tally(plan.rate is not None, plan.watched)
        self._free: deque[Connection] = deque()
        self._waiting: deque[Exchange] = deque()
        self._watched: deque[Exchange] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: set[Connection] = set()
        self._rtts: dict[Connection, float] = {}
        self._spare = plan.connections  # how many connections more a plan with fresh ones may open
        self._pending = 0  # exchanges made and not over
        self._made = 0
        rate = plan.rate or 0.0  # of an open loop: the first request measured, and how many there are
        self._first_measured = round(plan.warm_seconds * rate)
        self._last = round((plan.warm_seconds + plan.seconds) * rate)
        self._begun = self._from = self._until = float("inf")
        self._is_over = False

    # -- the run ------------------------------------------------------------------------------------

    async def run(self) -> Outcome:
        """Warm, measure, wait for what is still under way, at most the timeout of the plan."""
        plan = self._plan
        if not plan.is_fresh:
            await self._open_all()
        self._begun = monotonic() + _LEAD_SECONDS
        self._from = self._begun + plan.warm_seconds
        self._until = self._from + plan.seconds
        alarm = Alarm(lambda: self._tick(alarm))
        try:
            if plan.rate is not None:
                alarm.set(self._begun)
            else:
                self._start_users()
            await self._pass(self._from)
            self._tally.begin(self.received)
            await self._pass(self._until)
            self._tally.end(self.received)
            while self._pending and monotonic() < self._until + plan.timeout_seconds + 2 * _SWEEP_SECONDS:
                await asyncio.sleep(_SWEEP_SECONDS)
                self._sweep()
        finally:
            self._is_over = True
            alarm.close()
            self._close()
        return self._tally.outcome()

    async def _pass(self, until: float) -> None:
        while (left := until - monotonic()) > 0:
            await asyncio.sleep(min(left, _SWEEP_SECONDS))
            self._sweep()

    def _close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        for connection in list(self._open):
            connection.close()

    # -- what is due --------------------------------------------------------------------------------

    def _tick(self, alarm: Alarm) -> None:
        """Make every request that is due by now; those of an earlier moment keep it."""
        rate = self._plan.rate
        assert rate is not None
        now = monotonic()
        while self._made < self._last:
            due = self._begun + self._made / rate
            if due > now:
                alarm.set(max(due, monotonic() + _TICK_SECONDS))
                return
            is_measured = self._made >= self._first_measured
            if is_measured:
                self._tally.lag.add(now - due)
            self._offer(self._new(due, is_measured))

    def _start_users(self) -> None:
        users = self._plan.connections * self._plan.streams
        span = max(self._plan.think_seconds, (self._plan.rtt_seconds or (0.0, 0.0))[1])
        for _ in range(users):
            # Where there is time between two requests of one, they do not all come in the same moment.
            self._later(self._dice.uniform(0.0, span))

    def _later(self, seconds: float) -> None:
        if seconds > 0:
            self._loop.call_later(seconds, self._think)
        else:
            self._think()

    def _think(self) -> None:
        self._ask_again(monotonic())

    def _ask_again(self, due: float) -> None:
        """A user of a closed loop asks; it does so again when this is answered."""
        if due < self._until:
            self._offer(self._new(due, due >= self._from))

    def _new(self, due: float, is_measured: bool) -> Exchange:
        self._made += 1
        self._pending += 1
        return Exchange(next(self._next), due, is_measured)

    def _offer(self, exchange: Exchange) -> None:
        """Give it to a free connection, or let it wait."""
        self._watched.append(exchange)
        if self._plan.is_fresh and self._spare:
            self._spare -= 1
            self._start(self._ask_fresh(exchange))
            return
        while self._free:
            connection = self._free.popleft()
            if connection.is_open:
                self._give(connection, exchange)
                return
        if self._plan.rate is None or len(self._waiting) < self._plan.waiting_max:
            self._waiting.append(exchange)
        else:
            self.failed(exchange, "not sent")

    def _give(self, connection: Connection, exchange: Exchange) -> None:
        rtt = self._rtts.get(connection, 0.0)
        if not rtt:
            connection.ask(exchange)
            return
        exchange.rtt, exchange.connection = rtt, connection
        self._loop.call_later(rtt / 2, self._reach, connection, exchange)

    def _reach(self, connection: Connection, exchange: Exchange) -> None:
        """A request has come over its distance."""
        if exchange.is_over:
            return
        if connection.is_open:
            connection.ask(exchange)
        else:
            self.failed(exchange, "closed before an answer")

    def _waited(self) -> Exchange | None:
        """The one that has waited longest and is not over."""
        while self._waiting:
            exchange = self._waiting.popleft()
            if not exchange.is_over:
                return exchange
        return None

    def _sweep(self) -> None:
        """Give up what has taken too long. They stand in the order in which they were due."""
        latest = monotonic() - self._plan.timeout_seconds
        while self._watched and (self._watched[0].is_over or self._watched[0].due <= latest):
            exchange = self._watched.popleft()
            if exchange.is_over:
                continue
            connection = exchange.connection
            self.failed(exchange, "timeout")
            if connection is not None:
                connection.give_up(exchange)

    # -- exchange.Owner -----------------------------------------------------------------------------

    def opened(self, connection: Connection, room: int) -> None:
        self._open.add(connection)
        self._tally.connections_opened += 1
        if self._plan.rtt_seconds is not None:
            self._rtts[connection] = self._dice.uniform(*self._plan.rtt_seconds)
        if not self._plan.is_fresh:
            for _ in range(room):
                self.freed(connection)

    def freed(self, connection: Connection) -> None:
        if self._plan.is_fresh:
            connection.close()
        elif (exchange := self._waited()) is not None:
            self._give(connection, exchange)
        else:
            self._free.append(connection)

    def answered(self, exchange: Exchange, now: float) -> None:
        exchange.is_over = True
        if exchange.rtt:
            way = exchange.rtt / 2
            exchange.first_byte += way
            self._loop.call_later(way, self._arrived, exchange, now + way)
        else:
            self._arrived(exchange, now)

    def _arrived(self, exchange: Exchange, now: float) -> None:
        """An answer has come over its distance."""
        self._pending -= 1
        self._tally.answered(exchange, now)
        self._over(now)

    def failed(self, exchange: Exchange, kind: str) -> None:
        if exchange.is_over:
            return
        self._pending -= 1
        exchange.is_over = True
        self._tally.failed(exchange, kind)
        self._over(monotonic())

    def refused(self, exchange: Exchange) -> None:
        """Asked again once, as clients do: the server has told that it has not begun."""
        if exchange.is_over:
            return
        if exchange.was_refused:
            self.failed(exchange, "refused")
            return
        exchange.was_refused, exchange.connection = True, None
        self._waiting.appendleft(exchange)
        while self._free:
            connection = self._free.popleft()
            if connection.is_open:
                self.freed(connection)
                return

    def _over(self, now: float) -> None:
        """The user of a closed loop goes on: without time to think its next request is due at the moment of
        this answer, so that what the generator itself takes in between is no pause that nobody sees. It
        waits until the connection that brought the answer is told free, right after this."""
        if self._plan.rate is None:
            think = self._plan.think_seconds
            if think:
                self._later(self._dice.uniform(0.5 * think, 1.5 * think))
            else:
                self._ask_again(now)

    def lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._rtts.pop(connection, None)
        if self._is_over:
            return
        if self._plan.is_fresh:
            self._spare += 1
            if (exchange := self._waited()) is not None:
                self._spare -= 1
                self._start(self._ask_fresh(exchange))
        else:
            self._start(self._open_one())

    # -- opening ------------------------------------------------------------------------------------

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open_all(self) -> None:
        gate = asyncio.Semaphore(_OPENING_MAX)

        async def one() -> None:
            async with gate:
                if isinstance(await self._connector.connect(), str):
                    self._start(self._open_one())

        await asyncio.gather(*(one() for _ in range(self._plan.connections)))

    async def _open_one(self) -> None:
        """Until it is open or the run is over. Each time it fails, so does whoever has waited longest."""
        while not self._is_over:
            why = await self._connector.connect()
            if not isinstance(why, str):
                return
            if (exchange := self._waited()) is not None:
                self.failed(exchange, why)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _ask_fresh(self, exchange: Exchange) -> None:
        connection = await self._connector.connect()
        if isinstance(connection, str):
            await asyncio.sleep(_RETRY_SECONDS)
            self._spare += 1
            self.failed(exchange, connection)
        elif exchange.is_over:
            connection.close()
        else:
            self._give(connection, exchange)


async def follow(plan: Plan) -> Outcome:
    """Follow a plan on the loop that runs."""
    return await Engine(plan).run()
