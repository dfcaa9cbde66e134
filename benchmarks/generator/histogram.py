"""A histogram of durations with the precision rule of HdrHistogram: three significant digits at any size.

Own code because the library for it (hdrhistogram) has no wheels for arm64. Values are whole microseconds. Up
to 2047 each has a counter of its own; beyond, a counter spans the values that agree in their first eleven
bits, so that none is told wrong by more than one in 1024. Memory is bounded by the longest value taken."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

_BITS = 11  # 2**11 counters from 0, so that the upper half of each span has 2**10: three digits
_OWN = 1 << _BITS
_HALF = _OWN >> 1
MICROSECONDS_MAX = (1 << 32) - 1  # 71 minutes; what lasted longer is counted as that
_COUNTERS = ((32 - _BITS) << (_BITS - 1)) + _OWN


def counter_of(microseconds: int) -> int:
    """The number of the counter that a value falls into."""
    if microseconds < _OWN:
        return microseconds
    shift = microseconds.bit_length() - _BITS
    return (shift << (_BITS - 1)) + (microseconds >> shift)


def highest_of(counter: int) -> int:
    """The greatest value, in microseconds, that falls into a counter."""
    if counter < _OWN:
        return counter
    shift = (counter >> (_BITS - 1)) - 1
    return ((counter - (shift << (_BITS - 1)) + 1) << shift) - 1


class Histogram:
    """Durations by how often they were seen. `total_us`, `least_us` and `most_us` are exact."""

    __slots__ = ("_counts", "count", "least_us", "most_us", "total_us")

    def __init__(self) -> None:
        self._counts = [0] * _COUNTERS
        self.count = self.total_us = self.most_us = 0
        self.least_us = MICROSECONDS_MAX

    def __repr__(self) -> str:
        return (
            f"<Histogram of {self.count}: mean {self.mean_ms:.3f} ms, "
            f"median {self.percentile_ms(50):.3f} ms, p99 {self.percentile_ms(99):.3f} ms>"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]

    def add(self, seconds: float) -> None:
        """Count one duration; less than nothing counts as nothing."""
        value = int(seconds * 1e6)
        if value < 0:
            value = 0
        elif value > MICROSECONDS_MAX:
            value = MICROSECONDS_MAX
        self.count += 1
        self.total_us += value
        if value < self.least_us:
            self.least_us = value
        if value > self.most_us:
            self.most_us = value
        if value >= _OWN:
            shift = value.bit_length() - _BITS
            value = (shift << (_BITS - 1)) + (value >> shift)
        self._counts[value] += 1

    def merge(self, other: Histogram) -> None:
        """Count all that `other` has counted too."""
        for counter, count in enumerate(other._counts):
            if count:
                self._counts[counter] += count
        self.count += other.count
        self.total_us += other.total_us
        self.least_us = min(self.least_us, other.least_us)
        self.most_us = max(self.most_us, other.most_us)

    @classmethod
    def merged(cls, histograms: Iterable[Histogram]) -> Self:
        whole = cls()
        for one in histograms:
            whole.merge(one)
        return whole

    @property
    def mean_ms(self) -> float:
        """The exact mean in milliseconds, 0 of nothing."""
        return self.total_us / self.count / 1000 if self.count else 0.0

    @property
    def max_ms(self) -> float:
        return self.most_us / 1000

    @property
    def min_ms(self) -> float:
        return self.least_us / 1000 if self.count else 0.0

    def percentile_ms(self, q: float) -> float:
        """The least duration in milliseconds that at least `q` of a hundred were not longer than: never
        below the true one, and above it by at most one in 1024. 0 of nothing. Raises ValueError for a `q`
        that is not within 0 to 100."""
        if not 0 <= q <= 100:
            raise ValueError(f"a percentile is within 0 to 100, not {q}")
        # Rounded so that 99.9 % of 1000, which is 999.0000000000001, is not 1000.
        wanted = max(1, -int(-round(q / 100 * self.count, 6) // 1))
        seen = 0
        for counter, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted:
                return min(highest_of(counter), self.most_us) / 1000
        return 0.0

    def share_within(self, milliseconds: float) -> float:
        """The share of durations that were not longer than `milliseconds`, from 0 to 1, as precise as the
        counters; 1 of nothing."""
        if not self.count:
            return 1.0
        last = counter_of(min(MICROSECONDS_MAX, max(0, int(milliseconds * 1000))))
        return sum(self._counts[: last + 1]) / self.count

    def to_json(self) -> dict[str, object]:
        counts = [[counter, count] for counter, count in enumerate(self._counts) if count]
        return {
            "count": self.count,
            "total_us": self.total_us,
            "least_us": self.least_us,
            "most_us": self.most_us,
            "counts": counts,
        }

    @classmethod
    def from_json(cls, told: dict[str, object]) -> Self:
        """The histogram that `to_json` told. Raises KeyError, TypeError or IndexError for anything else."""
        made = cls()
        made.count, made.total_us = told["count"], told["total_us"]  # type: ignore[assignment]
        made.least_us, made.most_us = told["least_us"], told["most_us"]  # type: ignore[assignment]
        for counter, count in told["counts"]:  # type: ignore[attr-defined]
            made._counts[counter] = count
        return made
