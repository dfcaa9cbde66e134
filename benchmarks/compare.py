"""What changed between two runs, as far as the spread of their rounds lets it be told.

Of each figure in `data["samples"]` the ratio of the medians of B and A is told with an interval of 95 %: the
percentiles of many samples drawn anew from the rounds (bootstrap), widened for few rounds. With three rounds
the plain percentiles are much too narrow (T. Hesterberg, What Teachers Should Know About the Bootstrap, 2015,
section 4.1): the interval on a logarithmic scale is stretched about the ratio by t / z and by the root of
n / (n - 1).

`python -m benchmarks.compare A B` takes two results or two directories and ends with 1 when a figure of
edgeproxy became worse."""

from __future__ import annotations

import argparse
import math
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from benchmarks.peers import PEERS
from benchmarks.report import Result, load, shown
from benchmarks.run import RUN_FILE

RESAMPLES, SEED, CONFIDENCE = 2000, 1, 0.95
LEAST_CHANGE = 0.03  # less is not worth a word, however surely it is there
ROUNDS_MIN = 3
# Units, and words for trouble, of which less is better; what ends in "/s" is a rate, of which more is.
LESS_IS_BETTER = frozenset(
    {"s", "ms", "us", "ns", "seconds", "bytes", "B", "KiB", "MiB", "GiB", "KB", "MB", "GB"}
    | {"failed", "failures", "errors", "wrong", "refused", "lost", "missed"}
)
OTHERS = frozenset({*PEERS, "gdnsd"})  # with which a figure of somebody else begins
_T = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13)  # of 95 %


class Change(StrEnum):
    """In the order in which they are told."""

    WORSE = "worse"
    BETTER = "better"
    NONE = "no difference told"
    ONLY_A = "only in A"
    ONLY_B = "only in B"


@dataclass(frozen=True, slots=True)
class Interval:
    """The ratio of two medians, B by A, and where it lies with 95 % confidence."""

    low: float
    ratio: float
    high: float


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure; `interval` is None when a median is 0, or the figure is in one run only."""

    change: Change
    scenario: str
    figure: str
    before: float | None = None
    after: float | None = None
    interval: Interval | None = None

    @property
    def is_ours(self) -> bool:
        """Whether it tells of edgeproxy: figures of peers tell how far the machine moved."""
        first = self.figure.split(" ", 1)[0].rstrip(",:")
        return first == "edgeproxy" or first not in OTHERS


def is_less_better(figure: str) -> bool:
    """By the unit at the end of a figure's name, brackets left out: "edgeproxy p99 (ms)"."""
    words = figure.replace("(", " ").replace(")", " ").split()
    return bool(words) and words[-1] in LESS_IS_BETTER


def interval(before: Sequence[float], after: Sequence[float], seed: int = SEED) -> Interval:
    """Of two samples of at least two values above 0. The same samples and seed give the same."""
    chance = random.Random(seed)
    ratio = statistics.median(after) / statistics.median(before)
    drawn = sorted(
        math.log(
            statistics.median(chance.choices(after, k=len(after)))
            / statistics.median(chance.choices(before, k=len(before)))
        )
        for _ in range(RESAMPLES)
    )
    out = (1 - CONFIDENCE) / 2
    low, high = drawn[int(out * RESAMPLES)], drawn[int((1 - out) * RESAMPLES) - 1]
    center, stretch = math.log(ratio), stretched(len(before), len(after))
    return Interval(
        math.exp(center - stretch * max(0.0, center - low)),
        ratio,
        math.exp(center + stretch * max(0.0, high - center)),
    )


def stretched(before: int, after: int) -> float:
    """How much wider an interval has to be for so few rounds, towards 1 for many."""
    freedom, least = before + after - 2, min(before, after)
    t = _T[freedom - 1] if freedom <= len(_T) else 1.96 + 2.5 / freedom
    return t / 1.96 * math.sqrt(least / (least - 1))


def changed(figure: str, before: Sequence[float], after: Sequence[float]) -> tuple[Change, Interval | None]:
    """Better or worse where all of the interval is, and the ratio is more than 3 % away. With fewer than
    three rounds nothing is told. Where something is 0 every round of B has to lie beyond every one of A."""
    if min(len(before), len(after)) < ROUNDS_MIN:
        return Change.NONE, None
    if min(*before, *after) <= 0:
        up, down = min(after) > max(before), max(after) < min(before)
        found = None
    else:
        found = interval(before, after)
        up = found.low > 1 and found.ratio > 1 + LEAST_CHANGE
        down = found.high < 1 and found.ratio < 1 / (1 + LEAST_CHANGE)
    if not up and not down:
        return Change.NONE, found
    return (Change.WORSE if up == is_less_better(figure) else Change.BETTER), found


def compared(before: Mapping[str, Result], after: Mapping[str, Result]) -> list[Finding]:
    """Every figure of the scenarios that are in both runs, and the names of those in one; worse first."""
    found = []
    for name in dict.fromkeys((*before, *after)):
        if name not in before or name not in after:
            change = Change.ONLY_B if name in after else Change.ONLY_A
            found.append(Finding(change, name, "all figures"))
            continue
        found += _of_scenario(name, samples(before[name]), samples(after[name]))
        if after[name].failures and not before[name].failures:
            found.append(Finding(Change.WORSE, name, f"failed: {after[name].failures[0]}"))
    order = list(Change)
    return sorted(found, key=lambda one: (order.index(one.change), one.scenario))


def _of_scenario(
    name: str, before: Mapping[str, Sequence[float]], after: Mapping[str, Sequence[float]]
) -> list[Finding]:
    found = []
    for figure in dict.fromkeys((*before, *after)):
        if figure not in before or figure not in after:
            found.append(Finding(Change.ONLY_B if figure in after else Change.ONLY_A, name, figure))
            continue
        change, where = changed(figure, before[figure], after[figure])
        medians = (statistics.median(before[figure]), statistics.median(after[figure]))
        found.append(Finding(change, name, figure, *medians, where))
    return found


def samples(result: Result) -> dict[str, list[float]]:
    """The figures of a result that have at least one finite number, those numbers only."""
    told = result.data.get("samples")
    if not isinstance(told, dict):
        return {}
    kept = {
        str(figure): [float(v) for v in values if isinstance(v, int | float) and math.isfinite(v)]
        for figure, values in told.items()
        if isinstance(values, list)
    }
    return {figure: values for figure, values in kept.items() if values}


def warnings(before: Mapping[str, Result], after: Mapping[str, Result]) -> list[str]:
    """What makes the two runs hard to compare: other machines, other versions of all but edgeproxy, another
    method, few rounds."""
    said: dict[str, None] = {}
    for name in (name for name in before if name in after):
        one, other = before[name], after[name]
        for key in ("cpu", "cores", "memory_gib", "system"):
            if one.machine.get(key) != other.machine.get(key):
                said[f"another machine: {key} {one.machine.get(key)} and {other.machine.get(key)}"] = None
        for program, a, b in _versions(one, other):
            said[f"another version of {program}: {a} and {b}"] = None
        if one.method != other.method:
            said[f"{name} was measured in another way (its method differs), or one of the runs was quick"] = (
                None
            )
    if few := sum(_too_few(before[name], after[name]) for name in before if name in after):
        said[f"figures of fewer than {ROUNDS_MIN} rounds, of which no difference is told: {few}"] = None
    return list(said)


def _too_few(before: Result, after: Result) -> int:
    """How many figures of both have too few rounds."""
    one, other = samples(before), samples(after)
    return sum(min(len(one[figure]), len(other[figure])) < ROUNDS_MIN for figure in one if figure in other)


def _versions(one: Result, other: Result) -> list[tuple[str, str, str]]:
    a, b = one.machine.get("versions"), other.machine.get("versions")
    if not isinstance(a, dict) or not isinstance(b, dict):
        return []
    names = [name for name in dict.fromkeys((*a, *b)) if name != "edgeproxy"]
    return [(n, a.get(n, "none"), b.get(n, "none")) for n in names if a.get(n) != b.get(n)]


def told(found: Sequence[Finding]) -> list[str]:
    """In lines: each figure that changed, figures of one run only, and how many did not change. Figures of
    peers stand apart."""
    lines = [_line(one) for one in found if one.is_ours and one.change is not Change.NONE]
    counts = {change: sum(one.change is change for one in found if one.is_ours) for change in Change}
    lines.append("edgeproxy: " + ", ".join(f"{change} {count}" for change, count in counts.items() if count))
    peers = [one for one in found if not one.is_ours and one.interval is not None]
    if peers:
        moved = [one for one in peers if one.change is not Change.NONE]
        typical = statistics.median(one.interval.ratio for one in peers if one.interval)
        lines.append(
            f"peers, which did not change by themselves: {len(moved)} of {len(peers)} figures moved, the "
            f"median of all by {typical - 1:+.1%}; differences of that size are of the machine"
        )
        lines += [f"  {_line(one)}" for one in moved]
    return lines


def _line(one: Finding) -> str:
    line = f"{one.change}: {one.scenario}: {one.figure}"
    if one.before is not None and one.after is not None:
        line += f": {shown(one.before)} -> {shown(one.after)}"
    if one.interval is not None:
        line += f" (x{one.interval.ratio:.2f}, 95 % {one.interval.low:.2f}-{one.interval.high:.2f})"
    return line


def _origin(results: Mapping[str, Result]) -> str:
    """Of which edgeproxy, and when."""
    versions = [one.machine.get("versions") for one in results.values()]
    ours = dict.fromkeys(str(one.get("edgeproxy")) for one in versions if isinstance(one, dict))
    date = min(one.date for one in results.values())
    return f"edgeproxy {' and '.join(ours) or 'of an unknown version'}, {date}"


def read(path: Path) -> dict[str, Result]:
    """Results by name, of a file or of all in a directory. Raises OSError and ValueError."""
    files = [path] if path.is_file() else sorted(path.glob("*.json"))
    results = [load(file) for file in files if file.name != RUN_FILE]
    if not results:
        raise ValueError(f"{path} holds no result of a benchmark")
    return {result.name: result for result in results}


def main() -> None:
    parser = argparse.ArgumentParser(description="Tell what changed from A to B.")
    parser.add_argument("a", type=Path, help="a result (.json) or a directory of them")
    parser.add_argument("b", type=Path)
    options = parser.parse_args()
    try:
        before, after = read(options.a), read(options.b)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    for run, results in (("A", before), ("B", after)):
        print(f"{run}: {_origin(results)}")
    for warning in warnings(before, after):
        print(f"careful: {warning}")
    found = compared(before, after)
    print("\n".join(told(found)))
    raise SystemExit(int(any(one.change is Change.WORSE and one.is_ours for one in found)))


if __name__ == "__main__":
    main()
