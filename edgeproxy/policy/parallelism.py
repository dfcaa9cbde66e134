"""How many exchanges fetch one body side by side: more while that brings more, fewer when it does not.

A single TCP connection over a long way is limited by loss and window; several are not. Beside a near
origin a second one brings nothing and costs connections. So it is measured: one more is tried, kept if
goodput grew by a tenth, else taken back and not tried again for a while."""

from __future__ import annotations

from dataclasses import dataclass

PLENTY = 64 << 20  # bytes/s from which on nothing is tried: the way is short, and disks are to be spared
PERIOD_SECONDS = 1.0  # of one measurement
GROWTH = 1.1
REST_PERIODS = 10  # after a try that brought nothing


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

    def measured(self, now: float, received: int, count_max: int) -> Parallelism:
        """After `received` bytes in all; unchanged before a period has passed."""
        elapsed = now - self.since
        if elapsed < PERIOD_SECONDS:
            return self
        goodput = (received - self.seen_bytes) / elapsed
        count, is_trial, rest = self.count, False, max(0, self.rest - 1)
        if self.is_trial and goodput < self.goodput * GROWTH:
            count, rest = count - 1, REST_PERIODS
        elif (self.is_trial or not rest) and count < count_max and goodput < PLENTY:
            count, is_trial = count + 1, True
        return Parallelism(max(1, count), now, received, goodput, is_trial, rest)
