"""The round trip between one client group and one node, smoothed.

Networks change levels: a route moves, a radio hands over. A moving average then lies for a long time. So two
samples in the same direction beyond what is usual (one, when it stands for many connections already) set the
value anew; all others move it by a quarter."""

from __future__ import annotations

from dataclasses import dataclass

GAIN = 0.25
DEVIATIONS = 3.0
SHARE = 0.2
LEAST_MS = 3.0
RESET_SHARE = 0.1  # the deviation believed after a shift
MANY_CONNECTIONS = 5


@dataclass(frozen=True, slots=True)
class Pair:
    """Milliseconds; `deviation` is the mean distance of samples from the value. `odd` is the sample that may
    be the first of a new level."""

    rtt: float
    deviation: float
    odd: float | None = None
    samples: int = 1


def begun(sample: float) -> Pair:
    return Pair(sample, sample * RESET_SHARE)


def updated(pair: Pair, sample: float, connections: int = 1) -> Pair:
    """With another sample: the least round trip of a connection or of a burst of probes, or what stands for
    many `connections`."""
    away = sample - pair.rtt
    bound = max(DEVIATIONS * pair.deviation, SHARE * pair.rtt, LEAST_MS)
    count = pair.samples + 1
    if abs(away) > bound:
        if connections >= MANY_CONNECTIONS:
            return Pair(sample, sample * RESET_SHARE, None, count)
        odd = pair.odd
        if odd is not None and (odd - pair.rtt > 0) == (away > 0):
            level = (odd + sample) / 2
            return Pair(level, level * RESET_SHARE, None, count)
        return Pair(pair.rtt, pair.deviation, sample, count)
    deviation = pair.deviation + GAIN * (abs(away) - pair.deviation)
    return Pair(pair.rtt + GAIN * away, deviation, None, count)
