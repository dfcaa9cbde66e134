"""How often a stand-in hub fails, and which of its answers: drawn by a seed, the same in every run."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

Failure = Literal["", "status", "reset", "cut", "silent"]


@dataclass(frozen=True, slots=True)
class Rates:
    """Shares of all answers: `status` are a 503, `reset` end the connection without an answer, `cut` end it
    at half of the body, `silent` never come. `think` and `cdn_think` are the seconds before each answer."""

    status: float = 0.0
    reset: float = 0.0
    cut: float = 0.0
    silent: float = 0.0
    think: float = 0.0
    cdn_think: float = 0.0
    seed: int = 0

    @property
    def failing(self) -> float:
        return self.status + self.reset + self.cut + self.silent


@dataclass
class Draws:
    """What happens to each answer. `who` asks for what the how manieth time decides, and not what others do
    meanwhile: two clients that ask side by side do not change each other's luck."""

    rates: Rates
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)

    def draw(self, who: str, path: str) -> Failure:
        """Of the next answer to `who` for `path`."""
        self.asked[who, path] += 1
        number = self.asked[who, path]
        found = failure(self.rates, random.Random(f"{self.rates.seed}/{who}/{path}/{number}").random())
        if found:
            self.failed[who] += 1
        return found


def failure(rates: Rates, dice: float) -> Failure:
    """What a throw between 0 and 1 means."""
    kinds: tuple[tuple[Failure, float], ...] = (
        ("status", rates.status),
        ("reset", rates.reset),
        ("cut", rates.cut),
        ("silent", rates.silent),
    )
    for kind, share in kinds:
        if dice < share:
            return kind
        dice -= share
    return ""
