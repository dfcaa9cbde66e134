"""A long way for TCP, as a model: no socket and no clock, bytes in and bytes out at the right time.

    source --feed--> waiting --window--> lane (shared, serves in turns) --delay, jitter--> sink
                        ^                                                                    |
                        +------------------- acknowledged, a delay later --------------------+

Theory. What a connection may have under way is its congestion window. It begins with ten segments (RFC 6928)
and grows by what is acknowledged, so it doubles with each round trip (slow start, RFC 5681 section 3.1), up
to what fits on the way: bandwidth x round trip. A loss is noticed late: what was sent after it waits for a
retransmission, the window falls to seven tenths and comes back along a cubic curve (RFC 9438). A
connection that was silent for longer than a retransmission time has its window halved for each such time
(RFC 5681 section 4.1, in the gentler form of RFC 7661). Growth counts only while the window is used.

Without this an emulator flatters fresh connections (a page of small objects over six of them) and
denies parallel ones their use (several windows open in the same time).

Left out on purpose: queues that overflow. Connections take turns on the lane, piece by piece, as behind a
fair queue, so that none makes the others wait and no loss comes but that which was ordered.

Everything happens at its own time, however late the caller looks: a process that slept three milliseconds
catches up, and neither bandwidth nor round trips are lost. What is random depends on the seed, the number of
the connection, the direction and the position in its bytes, never on time or on how reads were cut."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

SEGMENT = 1460
INITIAL_WINDOW = 10 * SEGMENT
PIECE_MAX = 256 << 10
PIECE_SECONDS = 0.001  # of the lane's rate; what one connection sends before it is the next one's turn
WAITING_SECONDS = 0.02  # of the lane's rate kept ready, so that a late caller does not leave it idle
WAITING_MIN = 256 << 10
LATENESS_SECONDS = 0.005  # of acknowledgements; the window is that much larger than the way
RETRANSMISSION_MIN = 0.2
JITTER_BLOCK = 16 << 10
_CUBIC, _AFTER_LOSS = 0.4, 0.7  # RFC 9438 sections 4.1 and 4.6

EndKind = Literal["end", "reset", "cut"]


@dataclass(frozen=True, slots=True)
class Distance:
    """How far away a server is. Seconds, and bytes a second; a rate of 0 is no limit.

    `rtt` is there and back. `jitter`: each 16 KiB come up to that much later, in order. `window` is the most
    one connection may have under way, 0 for what fits on the way (real hosts often have 4 MiB).
    `loss` is the probability that a segment is lost. A connection is cut after `cut_after` bytes
    from the server, or at random after `cut_every` on average (0: never), by reset or by a clean end."""

    rtt: float = 0.0
    rate_down: float = 0.0
    rate_up: float = 0.0
    jitter: float = 0.0
    slow_start: bool = True
    window: int = 0
    loss: float = 0.0
    cut_after: int = 0
    cut_every: int = 0
    cut_kind: Literal["reset", "end"] = "reset"
    seed: int = 0

    def window_max(self, rate: float) -> int:
        """The most one connection may have under way in a direction of `rate`."""
        if not rate:
            return self.window or 64 << 20
        fits = int(rate * (self.rtt + LATENESS_SECONDS))
        return max(INITIAL_WINDOW, min(fits, self.window or fits))

    @property
    def retransmission(self) -> float:
        """Silence after a loss that nothing else told of (RFC 6298, with the least time of Linux)."""
        return self.rtt + RETRANSMISSION_MIN


class Timeline:
    """What is to happen when. `now` is the time of what is happening, in seconds of any steady clock."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, when: float, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (when, self._count, action))

    def run(self, now: float) -> None:
        """Everything due by `now`, each at its own time."""
        events = self._events
        while events and events[0][0] <= now:
            when, _, action = heapq.heappop(events)
            self.now = max(self.now, when)
            action()
        self.now = max(self.now, now)

    @property
    def next(self) -> float | None:
        return self._events[0][0] if self._events else None


class Window:
    """What one connection may have under way, in bytes."""

    def __init__(self, most: int, *, slow_start: bool) -> None:
        self._most = most
        self._least = min(INITIAL_WINDOW, most)
        self.size = float(self._least if slow_start else most)
        self._lost_at: float | None = None
        self._before_loss = 0.0

    def grow(self, acknowledged: int, now: float) -> None:
        if self._lost_at is None:
            size = self.size + acknowledged
        else:
            segments = self._before_loss / SEGMENT
            back = (segments * (1 - _AFTER_LOSS) / _CUBIC) ** (1 / 3)
            size = SEGMENT * (_CUBIC * (now - self._lost_at - back) ** 3 + segments)
        self.size = min(self._most, max(self.size, size))

    def lose(self, now: float) -> None:
        self._lost_at, self._before_loss = now, self.size
        self.size = max(self._least, self.size * _AFTER_LOSS)

    def rest(self, times: int) -> None:
        """After so many retransmission times of silence."""
        self.size = max(self._least, self.size / 2 ** min(times, 64))


class Sink(Protocol):
    """Where bytes come out. `end` is told once, after the last of them."""

    def take(self, data: memoryview) -> None: ...

    def end(self, kind: EndKind) -> None: ...


class Lane:
    """One direction of a link: `rate` for all its flows together, which take turns."""

    def __init__(self, timeline: Timeline, distance: Distance, *, down: bool) -> None:
        self.timeline = timeline
        self.rate = distance.rate_down if down else distance.rate_up
        self.piece = int(max(SEGMENT, min(PIECE_MAX, self.rate * PIECE_SECONDS or PIECE_MAX)))
        self._turns: deque[Flow] = deque()
        self._is_busy = False

    def join(self, flow: Flow) -> None:
        """`flow` has something it may send and is not in the row yet."""
        self._turns.append(flow)
        if not self._is_busy:
            self._serve()

    def _serve(self) -> None:
        self._is_busy = True
        while self._turns:
            flow = self._turns.popleft()
            takes = flow.depart(self.piece)
            if takes:
                self.timeline.at(self.timeline.now + takes, self._serve)
                return
        self._is_busy = False


class Flow:
    """One direction of one connection. The caller stops to feed while `is_full` and is told by `drained`."""

    def __init__(
        self,
        lane: Lane,
        distance: Distance,
        sink: Sink,
        *,
        number: int = 0,
        down: bool = True,
        drained: Callable[[], None] = lambda: None,
    ) -> None:
        self._lane, self._timeline, self._distance = lane, lane.timeline, distance
        self._sink, self._drained = sink, drained
        self._one_way = distance.rtt / 2
        self._window = Window(distance.window_max(lane.rate), slow_start=distance.slow_start)
        self._waiting_max = max(WAITING_MIN, int(lane.rate * WAITING_SECONDS))
        self._waiting: deque[memoryview] = deque()
        self._waiting_bytes = 0
        self._under_way: deque[memoryview | EndKind] = deque()
        self._sent_bytes = 0  # and not acknowledged
        self._arrived = 0  # pieces that the sink does not take yet
        self._is_held = False
        self._is_in_row = False
        self._end: EndKind | None = None
        self._is_over = False
        self._due = 0.0  # of the last piece under way: nothing overtakes it
        self._departed_at = 0.0
        self._position = 0
        dice = random.Random(f"{distance.seed}/{number}/{down}")
        self._jitter = _Jitter(random.Random(dice.random()), distance.jitter)
        self._losses = _Losses(random.Random(dice.random()), distance.loss)
        self._cut_at = _cut_position(random.Random(dice.random()), distance) if down else 0
        self.stalls = 0
        self.delivered_bytes = 0

    @property
    def is_full(self) -> bool:
        return self._waiting_bytes > self._waiting_max

    @property
    def held_bytes(self) -> int:
        """All that is kept in memory for this flow."""
        return self._waiting_bytes + self._sent_bytes

    def feed(self, data: bytes) -> None:
        if self._end is None and data:
            self._waiting.append(memoryview(data))
            self._waiting_bytes += len(data)
            self._join()

    def finish(self, kind: EndKind) -> None:
        """After what has been fed, `kind`; again without effect, but for a reset after an end."""
        if self._end is None or (self._end == "end" and kind == "reset"):
            self._end, self._is_over = kind, False
            self._send_end()

    def drop(self) -> None:
        """Nothing comes out any more."""
        self._is_over = True
        self._end = self._end or "cut"
        self._waiting.clear()
        self._under_way.clear()
        self._waiting_bytes = self._sent_bytes = self._arrived = 0

    def hold(self) -> None:
        """The sink takes nothing for now: what arrives is kept and not acknowledged."""
        self._is_held = True

    def release(self) -> None:
        self._is_held = False
        while self._arrived and not self._is_held:
            self._arrived -= 1
            self._deliver()

    # -- sending -----------------------------------------------------------------------------------

    def _join(self) -> None:
        if self._waiting and not self._is_in_row and self._sent_bytes < self._window.size:
            self._is_in_row = True
            self._lane.join(self)

    def depart(self, most: int) -> float:
        """Send one piece of at most that many bytes. How long it takes the lane, 0.0 if nothing went."""
        self._is_in_row = False
        if not self._waiting:
            return 0.0
        now = self._timeline.now
        self._rest(now)
        piece = self._waiting[0]
        count = min(most, len(piece), max(0, int(self._window.size) - self._sent_bytes))
        if self._cut_at:
            count = min(count, self._cut_at - self._position)
        if not count:
            return 0.0
        if count == len(piece):
            self._waiting.popleft()
        else:
            self._waiting[0] = piece[count:]
        was_full = self.is_full
        self._waiting_bytes -= count
        takes = count / self._lane.rate if self._lane.rate else 0.0
        self._send(piece[:count], now + takes)
        if self._cut_at and self._position >= self._cut_at:
            self._waiting.clear()
            self._waiting_bytes = 0
            self._end = "cut"
        self._send_end()
        if was_full and not self.is_full:
            self._drained()
        self._join()
        return takes

    def _send(self, data: memoryview, now: float) -> None:
        start, self._position = self._position, self._position + len(data)
        due = now + self._one_way + self._jitter.at(start)
        if lost := self._losses.within(self._position):
            self.stalls += lost
            self._window.lose(now)
            due += self._distance.retransmission
        self._sent_bytes += len(data)
        self._departed_at = now
        self._enqueue(data, due)

    def _send_end(self) -> None:
        if self._end is not None and not self._waiting and not self._is_over:
            self._is_over = True
            self._enqueue(self._end, self._timeline.now + self._one_way)

    def _enqueue(self, what: memoryview | EndKind, due: float) -> None:
        self._due = max(self._due, due)
        self._under_way.append(what)
        self._timeline.at(self._due, self._arrive)

    def _rest(self, now: float) -> None:
        if self._distance.slow_start and not self._sent_bytes and self._departed_at:
            self._window.rest(int((now - self._departed_at) / self._distance.retransmission))

    # -- arriving ----------------------------------------------------------------------------------

    def _arrive(self) -> None:
        if self._is_held:
            self._arrived += 1
        elif self._under_way:
            self._deliver()

    def _deliver(self) -> None:
        what = self._under_way.popleft()
        if isinstance(what, str):
            self._sink.end(what)
            return
        count = len(what)
        self.delivered_bytes += count
        self._timeline.at(self._timeline.now + self._one_way, lambda: self._acknowledged(count))
        self._sink.take(what)

    def _acknowledged(self, count: int) -> None:
        # Only a window that is used grows (RFC 7661): half of it, since growth comes in between.
        if 2 * self._sent_bytes >= self._window.size:
            self._window.grow(count, self._timeline.now)
        self._sent_bytes = max(0, self._sent_bytes - count)
        self._join()


class _Jitter:
    """How much later the block at a position comes: drawn once for each block, in their order."""

    def __init__(self, dice: random.Random, most: float) -> None:
        self._dice, self._most = dice, most
        self._block, self._value = -1, 0.0

    def at(self, position: int) -> float:
        while self._most and self._block < position // JITTER_BLOCK:
            self._block += 1
            self._value = self._dice.uniform(0.0, self._most)
        return self._value


class _Losses:
    """Where bytes are lost: positions drawn once, one after the other."""

    def __init__(self, dice: random.Random, probability: float) -> None:
        self._dice, self._each = dice, probability / SEGMENT
        self._next = self._draw(0)

    def _draw(self, after: int) -> float:
        return after + self._dice.expovariate(self._each) if self._each else float("inf")

    def within(self, position: int) -> int:
        """How many losses lie before `position` and have not been told yet."""
        count = 0
        while self._next < position:
            count += 1
            self._next = self._draw(int(self._next) + 1)
        return count


def _cut_position(dice: random.Random, distance: Distance) -> int:
    """0 for never."""
    places = [distance.cut_after] if distance.cut_after else []
    if distance.cut_every:
        places.append(1 + int(dice.expovariate(1 / distance.cut_every)))
    return min(places, default=0)
