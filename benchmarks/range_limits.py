"""What is asked of the node for ranges, what went wrong there, and comparisons with peers."""

from __future__ import annotations

from benchmarks import bodies
from benchmarks.range_costs import PARALLEL, PARALLEL_PART
from benchmarks.range_measured import Measured, missing, speeds_of
from benchmarks.report import Comparison, Limit, median, ratio

FIRST_BYTE_LIMIT_MS = 5.0
SAME = 1.05


def random_limits(ours: Measured) -> list[Limit]:
    share = max(run.cost.origin_bytes / run.cost.touched_bytes for run in ours.random)
    wrong = sum(missing(run) for run in ours.random)
    twice = max(run.cost.repeated_segments for run in ours.random)
    is_met = 0 < share <= 1.1 and not wrong
    return [
        Limit("random ranges: origin bytes / touched segments", "<= 1.1", f"{share:.3f}", is_met),
        Limit("random ranges: segments with bytes sent twice", "0", str(twice), not twice and not wrong),
        Limit("random ranges not right or not there", "0", str(wrong), not wrong),
    ]


def first_limits(ours: Measured, found: dict[str, Measured]) -> list[Limit]:
    """The node's first byte after that of the origin itself, and after that of the soonest cache."""
    direct = found["direct"].first if "direct" in found else {}
    limits = []
    for (rate, kind), values in ours.first.items():
        how = f", origin at {bodies.show_size(rate)}/s" if rate else ""
        theirs = direct.get((rate, kind), [])
        added = median(values) - median(theirs) if values and theirs else None
        limits.append(
            Limit(
                f"first byte of a cold range, {kind}{how}: after the origin's own",
                f"<= {FIRST_BYTE_LIMIT_MS:g} ms",
                "not measured" if added is None else f"{added:.2f} ms",
                None if added is None else added <= FIRST_BYTE_LIMIT_MS,
            )
        )
    return limits


def parallel_limits(ours: Measured) -> list[Limit]:
    plain, parts = speeds_of(ours)
    compared = ratio(parts, plain) if all(plain) else 0.0
    sent = max(transfers["ranges"].origin_ratio for transfers in ours.parallel)
    is_whole = all(run.is_whole for transfers in ours.parallel for run in transfers.values())
    what = f"{PARALLEL} clients with {bodies.show_size(PARALLEL_PART)} ranges"
    return [
        Limit(f"{what}: throughput / plain GET", ">= 0.9x", f"{compared:.2f}x", compared >= 0.9 and is_whole),
        Limit(f"{what}: origin bytes / body", "<= 1.001", f"{sent:.4f}", 0 < sent <= 1.001 and is_whole),
    ]


def failures(ours: Measured) -> list[str]:
    """What the node did wrong; of a peer it is a figure."""
    found = []
    for run in ours.random:
        problems = [*run.fetching.problems, *run.again_problems]
        if problems or run.fetching.unfinished:
            said = problems[0] if problems else "no end"
            found.append(f"edgeproxy, random: {len(problems) + run.fetching.unfinished} ranges: {said}")
    for transfers in ours.parallel:
        for way, run in transfers.items():
            if not run.is_whole:
                found.append(f"edgeproxy, {way}: {run.problems[0] if run.problems else 'no end'}")
    return found


def _keeping(found: dict[str, Measured]) -> list[str]:
    """Servers that brought all random ranges and had stored at least some: those that do what the node
    does, for which the origin is not asked for everything again."""
    return [
        name
        for name, measured in found.items()
        if name not in ("edgeproxy", "direct")
        and all(run.again_ratio is not None and run.again_ratio < 0.9 for run in measured.random)
    ]


def comparisons(found: dict[str, Measured]) -> list[Comparison]:
    if not (ours := found.get("edgeproxy")) or ours.was_stopped:
        return []
    told: list[Comparison] = []
    for name in _keeping(found):
        theirs = found[name]
        bytes_ = [
            median([run.cost.origin_bytes / run.cost.asked_bytes for run in it.random])
            for it in (ours, theirs)
        ]
        what = "random ranges of a cold body: origin bytes / bytes asked for"
        told.append(Comparison(what, *bytes_, name, "times", less_is_better=True))
        seconds = [median([run.fetching.seconds for run in it.random]) for it in (ours, theirs)]
        what = "random ranges of a cold body: all there"
        told.append(Comparison(what, *seconds, name, "s", less_is_better=True))
        for (rate, kind), values in ours.first.items():
            if values and (others := theirs.first.get((rate, kind))):
                what = f"first byte of a cold range, {kind}{', paced origin' if rate else ''}"
                sides = median(values), median(others)
                told.append(Comparison(what, *sides, name, "ms", less_is_better=True))
    for name, measured in found.items():
        if name in ("edgeproxy", "direct"):
            continue
        sides = zip(speeds_of(ours), speeds_of(measured), strict=True)
        for way, (mine, speeds) in zip(("plain GET", "in ranges"), sides, strict=True):
            told.append(Comparison(f"a cold body, {way}", median(mine), median(speeds), name, "MB/s"))
    return told


def against_best(told: list[Comparison]) -> list[Limit]:
    """A limit for each figure compared: that no peer is better by more than a twentieth."""
    found = []
    for what in dict.fromkeys(it.what for it in told):
        of_what = [it for it in told if it.what == what]
        is_less = of_what[0].less_is_better
        best = (min if is_less else max)(of_what, key=lambda it: it.theirs)
        is_met = best.ours <= SAME * best.theirs if is_less else SAME * best.ours >= best.theirs
        measured = f"{best.ours:.3g} {best.unit}, {best.peer} {best.theirs:.3g} {best.unit}"
        bar = f"<= {SAME}x" if is_less else f">= {1 / SAME:.2f}x"
        found.append(Limit(f"{what}, against the best", bar, measured, is_met))
    return found
