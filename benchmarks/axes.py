"""Axes of a plot: where a value comes to lie, and which values are written beside. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

TINY = 1e-100  # is taken for 0, so that no quotient leaves the numbers there are
_SIGNS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True, slots=True)
class Axis:
    """`low` and `high` are the values at `start` and `end`, which are lengths in the drawing."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def at(self, value: float) -> float:
        """Where `value` lies; outside of the axis, at its end."""
        share = (self._along(value) - self._along(self.low)) / (
            self._along(self.high) - self._along(self.low)
        )
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)

    def rounded(self, most: int = 6) -> Axis:
        """The same, going on to the next round value; a logarithmic axis stays as it is."""
        if self.is_log:
            return self
        ticks = self.ticks(most)
        step = ticks[1] - ticks[0]
        beyond = ticks[-1] if ticks[-1] >= self.high - 1e-9 * step else ticks[-1] + step
        return replace(self, high=max(self.high, beyond))

    def _along(self, value: float) -> float:
        return math.log10(max(value, self.low)) if self.is_log else value

    def ticks(self, most: int = 6) -> list[float]:
        """At most `most` round values on the axis, in order, at least its own two ends if none is round."""
        found = _decades(self.low, self.high, most) if self.is_log else _steps(self.low, self.high, most)
        return found if len(found) > 1 else [self.low, self.high]


def axis(
    values: Iterable[float], start: float, end: float, *, is_log: bool = False, with_zero: bool = True
) -> Axis:
    """An axis that holds all finite `values`. `with_zero` is for lengths: a linear axis holds 0 then, and a
    logarithmic one begins at a round value below the least above 0. With none above 0 it is a linear one."""
    finite = [value if abs(value) > TINY else 0.0 for value in values if math.isfinite(value)]
    positive = [value for value in finite if value > 0]
    if is_log and positive:
        low, high = _below(min(positive)) if with_zero else min(positive), max(positive)
        if high <= low:  # one value lies in the middle
            low, high = low / 3, high * 3
        return Axis(low, high, start, end, True)
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    if with_zero:
        low, high = min(0.0, low), max(0.0, high)
    if high <= low:
        high = low + (abs(low) or 1.0)
    return Axis(low, high, start, end)


def _below(value: float) -> float:
    """The next 1, 2 or 5 of a decade below `value`, so that also the least has a length."""
    decade = 10.0 ** math.floor(math.log10(value))
    return max((m * d for d in (decade / 10, decade) for m in (1, 2, 5) if m * d < value), default=value / 2)


def _decades(low: float, high: float, most: int) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ((1, 2, 5), (1, 3), (1,)):
        found = [f * 10.0**e for e in range(first, last + 1) for f in factors]
        found = [value for value in found if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
        if len(found) <= most:
            return found
    return found[:: -(-len(found) // most)]


def _steps(low: float, high: float, most: int) -> list[float]:
    rough = (high - low) / most
    decade = 10.0 ** math.floor(math.log10(rough))
    step = next(f * decade for f in (1, 2, 2.5, 5, 10, 20) if (high - low) / (f * decade) <= most - 1)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def tick_text(value: float) -> str:
    """As short as can be: 20k, 1.5M, 0.05."""
    for factor, sign in _SIGNS:
        if abs(value) >= factor:
            return f"{value / factor:.3g}{sign}"
    return f"{value:.3g}"
