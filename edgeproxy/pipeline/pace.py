"""How fast the bytes of a large body come, and what follows from it: what will be here in a moment, how
many exchanges run side by side, and how much each is asked for.

An exchange that was asked for all the rest and is ended earlier has more on its way, and that comes twice:
what the connection holds, up to bandwidth x round trip. So there are three ways to begin.

- By range, because the body is known (its digest, its size, a part that is here): windows from the start.
  Nothing is ever cut. Whether more than one is fetched at a time is settled by the first response head.
- With an answer that goes on to the end, from a distant upstream over a connection just opened: it is
  kept for a few round trips only. TCP begins slowly, so little is behind the cut yet, and the others have
  begun meanwhile: the reader sees no gap.
- With such an answer otherwise: it goes on. It is cut for the sake of others only where what comes twice is a
  thousandth of the body."""

from __future__ import annotations

from edgeproxy.policy.claims import NEAR_BYTES
from edgeproxy.policy.parallelism import DISTANT_SECONDS, Parallelism

TWICE_SHARE = 1 / 1024  # of a body may be fetched twice
ON_ITS_WAY_BYTES = 512 << 10  # behind a cut even where the way is short: buffers of both ends
BODY_BYTES_LARGE = int(ON_ITS_WAY_BYTES / TWICE_SHARE)
WINDOWED_BYTES_MIN = 64 << 20  # smaller ones are fetched by one exchange, whatever the distance
FIRST_BYTES = 256 << 10  # of an answer that is cut early: five round trips of a fresh connection
NEAR_SECONDS = 0.4
# What is on its way when an exchange is cut (megabytes where the way is short) is nothing beside a large
# body and much of a small one: who reads that waits a little longer instead.
NEAR_SECONDS_SMALL = 2.5


class Pace:
    """Of one fill. Times in seconds of any steady clock; `count_max` bounds the exchanges side by side."""

    def __init__(self, size: int, count_max: int, now: float) -> None:
        self.received = 0
        self._size, self._count_max = size, count_max
        self._busy_since, self._received_before = now, 0
        self._head_seconds: float | None = None
        self._is_windowed = size >= WINDOWED_BYTES_MIN and count_max > 1
        self._side_by_side = Parallelism(1, now)

    @property
    def count(self) -> int:
        """Exchanges that should run side by side."""
        return self._side_by_side.count

    @property
    def is_windowed(self) -> bool:
        """Whether an exchange is to bring a window, not all the rest."""
        return self._is_windowed or self.count > 1

    def first_stop(self, position: int, stop: int, head_seconds: float, now: float, *, is_fresh: bool) -> int:
        """Where an answer already begun, which brings [position, stop), is to be ended. `is_fresh`: over a
        connection opened for it."""
        cut = is_fresh and head_seconds >= DISTANT_SECONDS and stop - position >= BODY_BYTES_LARGE
        self._head_seconds = head_seconds
        self._is_windowed = cut and self._count_max > 1
        if not self._is_windowed:
            return stop
        self._side_by_side = Parallelism.begun(now, head_seconds, self._count_max)
        return position + FIRST_BYTES

    def answered(self, head_seconds: float, now: float) -> None:
        """An upstream took that long for a response head; the first time counts."""
        if self._head_seconds is not None:
            return
        self._head_seconds = head_seconds
        if self._is_windowed:
            self._side_by_side = Parallelism.begun(now, head_seconds, self._count_max, self.received)
            self._is_windowed = self.count > 1

    def resumed(self, now: float) -> None:
        """The first of the running exchanges begins."""
        self._busy_since, self._received_before = now, self.received

    def near_bytes(self, now: float) -> int:
        """What will be here in a moment. An exchange that has just begun is given time to show its pace:
        cut at once, it would cost what is on its way."""
        if now - self._busy_since < NEAR_SECONDS:
            return self._size
        seconds = NEAR_SECONDS if self._size >= BODY_BYTES_LARGE else NEAR_SECONDS_SMALL
        return max(NEAR_BYTES, int(self._goodput(now) * seconds))

    def measure(self, now: float, *, refuses_ranges: bool) -> None:
        most = self._count_max
        if refuses_ranges or not (self.is_windowed or self._may_cut(now)):
            most = 1
        self._side_by_side = self._side_by_side.measured(now, self.received, most)

    def _may_cut(self, now: float) -> bool:
        on_its_way = ON_ITS_WAY_BYTES + self._goodput(now) * (self._head_seconds or 0.0)
        return on_its_way <= self._size * TWICE_SHARE

    def _goodput(self, now: float) -> float:
        elapsed = now - self._busy_since
        return (self.received - self._received_before) / elapsed if elapsed > 0 else 0.0
