"""What is told of a run: how far clients were sent, and how much farther than they had to go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

CLEARLY_SHARE, CLEARLY_MS = 0.05, 1.0


def percentile(values: Sequence[float], share: float) -> float:
    """The least value that `share` of all are not above."""
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, -int(-share * len(ordered) // 1) - 1))]


@dataclass(frozen=True, slots=True)
class Figures:
    """Milliseconds; `worse` is the share of answers more than 5 % and 1 ms above the best possible."""

    mean: float
    p50: float
    p95: float
    p99: float
    excess: float
    excess_p99: float
    worse: float

    def cells(self) -> list[str]:
        shown = (self.mean, self.p50, self.p95, self.p99, self.excess, self.excess_p99)
        return [*(f"{value:.1f}" for value in shown), f"{self.worse:.1%}"]


COLUMNS = ["mean ms", "p50", "p95", "p99", "above oracle, mean", "p99", "clearly worse"]


def figures(chosen: Sequence[float], best: Sequence[float]) -> Figures:
    above = [mine - least for mine, least in zip(chosen, best, strict=True)]
    worse = sum(extra > CLEARLY_SHARE * least + CLEARLY_MS for extra, least in zip(above, best, strict=True))
    return Figures(
        sum(chosen) / len(chosen),
        percentile(chosen, 0.50),
        percentile(chosen, 0.95),
        percentile(chosen, 0.99),
        sum(above) / len(above),
        percentile(above, 0.99),
        worse / len(above),
    )
