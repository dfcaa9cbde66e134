"""What a client may cost on one HTTP/2 connection without asking for anything. Pure: budgets that fill
again with time, and with work that was done.

Each frame that carries neither request nor content costs a little, each stream that is broken off
much; exceeding is answered with GOAWAY(ENHANCE_YOUR_CALM)."""

from __future__ import annotations

PERIOD_SECONDS = 10.0  # in which an empty budget is full again
BLOCK_FRAMES_MAX = 8  # CONTINUATION frames after one HEADERS frame
EARNED = 4  # idle frames that each request allows for
EARNING_BYTES = 256  # of content sent, that allow for one more: windows are widened as it is read


class Budget:
    """At most `most` at once, and as much again in each PERIOD_SECONDS. `now` is monotonic seconds."""

    __slots__ = ("_at", "_left", "_most")

    def __init__(self, most: int, now: float) -> None:
        self._most = float(most)
        self._left = self._most
        self._at = now

    def spend(self, now: float, cost: float = 1.0) -> bool:
        """Whether `cost` could be afforded."""
        left = self._left + (now - self._at) * self._most / PERIOD_SECONDS
        self._at = now
        self._left = min(left, self._most) - cost
        return self._left >= 0.0

    def earn(self, amount: float) -> None:
        """Allow that much more, up to the most there may be."""
        self._left = min(self._left + amount, self._most)


class Guard:
    """The budgets of one connection: `resets` of streams by either side, `idle` frames."""

    __slots__ = ("idle", "resets")

    def __init__(self, resets: int, idle_frames: int, now: float) -> None:
        self.resets = Budget(resets, now)
        self.idle = Budget(idle_frames, now)
