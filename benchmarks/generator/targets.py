"""Which target is asked for next: a list in turn, Zipf over a list, or what an access log recorded."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
_DRAWN_AT_ONCE = 4096
RECORDED_MAX = 1_000_000


def zipf_weights(count: int, exponent: float) -> list[float]:
    """The weight of each rank, the first the heaviest."""
    return [rank**-exponent for rank in range(1, count + 1)]


def order(targets: Sequence[T], exponent: float | None, seed: int) -> Iterator[T]:
    """The targets without end: in turn, or drawn by Zipf over their ranks."""
    if exponent is None:
        return itertools.cycle(targets)
    return _drawn(targets, exponent, seed)


def _drawn(targets: Sequence[T], exponent: float, seed: int) -> Iterator[T]:
    dice = random.Random(seed)
    cumulated = list(itertools.accumulate(zipf_weights(len(targets), exponent)))
    while True:
        yield from dice.choices(targets, cum_weights=cumulated, k=_DRAWN_AT_ONCE)


def recorded(log: Path, most: int = RECORDED_MAX, takes: Callable[[str], bool] | None = None) -> list[str]:
    """The targets of an access log in JSON lines as edgeproxy writes it, in their order and as often as they
    were asked for: GET requests answered whole (200, or 304 to one who had it), without those whose secrets
    the log has left out. `takes` says which others to leave out; at most `most` are read. What is no such
    line is passed over. Raises ValueError if there is none."""
    with log.open(encoding="utf-8", errors="replace") as lines:
        found = list(islice(_read(lines, takes or (lambda target: True)), most))
    if not found:
        raise ValueError(f"{log.name} records no GET request answered with 200 or 304")
    return found


def _read(lines: Iterator[str], takes: Callable[[str], bool]) -> Iterator[str]:
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if not isinstance(entry, dict) or entry.get("method") != "GET" or entry.get("aborted"):
            continue
        url = entry.get("url")
        if entry.get("status") not in (200, 304) or not isinstance(url, str) or not url.startswith("/"):
            continue
        if "REDACTED" not in url and not url.endswith("...") and takes(url):
            yield url
