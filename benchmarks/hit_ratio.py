"""Which share of a Zipf trace does each eviction find in a cache of one hundredth of the objects?"""

from __future__ import annotations

import argparse
import itertools
import random
import time

from benchmarks.report import Limit, Result, Table

LIMIT = 0.52


def trace(objects: int, requests: int, exponent: float, seed: int) -> list[str]:
    """Keys, independently drawn: the k-th most wanted with weight 1 / k ** exponent."""
    weights = list(itertools.accumulate(1 / k**exponent for k in range(1, objects + 1)))
    drawn = random.Random(seed).choices(range(objects), cum_weights=weights, k=requests)
    return [str(number) for number in drawn]


def best_possible(objects: int, kept: int, exponent: float) -> float:
    """The share of requests for the `kept` most wanted: no eviction can do better on such a trace."""
    weights = [1 / k**exponent for k in range(1, objects + 1)]
    return sum(weights[:kept]) / sum(weights)


