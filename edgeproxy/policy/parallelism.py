"""How many exchanges fetch one body side by side: more while that brings more, fewer when it does not.

A single TCP connection over a long way is limited by loss and window; several are not. Beside a near
origin a second one brings nothing and costs connections. So a near upstream is begun with one, a distant
one with several; then it is measured: one more is tried, kept if goodput grew by a tenth, else taken back and
not tried again for a while."""

from __future__ import annotations

from dataclasses import dataclass

PLENTY = 64 << 20  # bytes/s from which on nothing is tried where the way is short: disks are to be spared
PERIOD_SECONDS = 1.0  # of one measurement
GROWTH = 1.1
REST_PERIODS = 10  # after a try that brought nothing
DISTANT_SECONDS = 0.02  # from asking to the response head
START = 6  # exchanges with a distant upstream, as browsers have


@dataclass(frozen=True, slots=True)
class Parallelism:
    """`count` exchanges now; `goodput` (bytes/s) is what fewer of them brought when the last one was
    added. Times in seconds of any steady clock."""

    count: int
    since: float
    seen_bytes: int = 0
    goodput: float = 0.0
    is_trial: bool = False
    rest: int = 1
    is_distant: bool = False

    @staticmethod
    def begun(now: float, head_seconds: float, count_max: int, seen_bytes: int = 0) -> Parallelism:
        """For an upstream that took `head_seconds` to give a response head."""
        is_distant = head_seconds >= DISTANT_SECONDS
        count = max(1, min(START, count_max)) if is_distant else 1
        return Parallelism(count, now, seen_bytes, is_distant=is_distant)

    def measured(self, now: float, received: int, count_max: int) -> Parallelism:
        """After `received` bytes in all; unchanged before a period has passed."""
        elapsed = now - self.since
        if elapsed < PERIOD_SECONDS:
            return self
        goodput = (received - self.seen_bytes) / elapsed
        count, is_trial, rest = self.count, False, max(0, self.rest - 1)
        may_grow = count < count_max and (self.is_distant or goodput < PLENTY)
        if self.is_trial and goodput < self.goodput * GROWTH:
            count, rest = count - 1, REST_PERIODS
        elif (self.is_trial or not rest) and may_grow:
            count, is_trial = count + 1, True
        return Parallelism(max(1, count), now, received, goodput, is_trial, rest, self.is_distant)
