"""Response rate limiting: how many answers of one kind a network of clients gets in a second over UDP, where
anybody can ask in another's name. A part of what is beyond is answered with TC, so that an honest client
comes back over TCP; the rest is not answered."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Verdict(IntEnum):
    """What becomes of an answer."""

    SEND = 0
    SLIP = 1
    DROP = 2


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """`per_second` answers of one kind to one network, 0: no limit; a burst of `burst_seconds` of that.
    Every `slip`-th of the others is answered truncated, 0: none. At most twice `entries` networks and kinds
    are remembered."""

    per_second: float = 200.0
    burst_seconds: float = 2.0
    slip: int = 2
    entries: int = 50_000


class ResponseLimit:
    """Token buckets in two generations: what has not been asked for while the younger one filled up, or for
    two bursts, is forgotten, and has its tokens back by then."""

    def __init__(self, settings: LimitSettings, now: float = 0.0) -> None:
        self._rate = settings.per_second
        self._most = max(1.0, settings.per_second * settings.burst_seconds)
        self._slip = settings.slip
        self._entries = settings.entries
        self._turn_seconds = 2 * max(settings.burst_seconds, 1.0)
        self._turned = now
        self._young: dict[object, list[float]] = {}
        self._old: dict[object, list[float]] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def judge(self, key: object, now: float) -> Verdict:
        """`key` is the network and the kind of answer."""
        if not self._rate:
            return Verdict.SEND
        if len(self._young) >= self._entries or now - self._turned > self._turn_seconds:
            self._old, self._young, self._turned = self._young, {}, now
        bucket = self._young.get(key)
        if bucket is None:
            bucket = self._young[key] = self._old.get(key) or [self._most, now, 0.0]
        tokens = min(self._most, bucket[0] + max(0.0, now - bucket[1]) * self._rate)
        bucket[1] = now
        if tokens >= 1.0:
            bucket[0] = tokens - 1.0
            return Verdict.SEND
        bucket[0] = tokens
        bucket[2] += 1.0
        return Verdict.SLIP if self._slip and not bucket[2] % self._slip else Verdict.DROP
