"""What measured restarts say: a table, limits, comparisons, samples and a picture."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from benchmarks.report import Comparison, Limit, Plot, Result, Series, Table, median, spread

FIRST_HIT_LIMIT = 1.0
SAME = 1.05


@dataclass(frozen=True, slots=True)
class Restarted:
    """Seconds are from the start of the new process. `first_hit_seconds` is None if there was none in time;
    `asked_before` is how many objects the origin was asked for until then, `missed` how many of the `sample`
    asked for afterwards. `wrong` says which answers were not right."""

    open_seconds: float
    first_answer_seconds: float
    first_hit_seconds: float | None
    asked_before: int
    sample: int
    missed: int
    wrong: list[str]


def _row(name: str, runs: list[Restarted]) -> list[str]:
    hits = [it.first_hit_seconds for it in runs if it.first_hit_seconds is not None]
    never = len(runs) - len(hits)
    return [
        name,
        spread([it.open_seconds for it in runs], ".3f"),
        spread([it.first_answer_seconds for it in runs], ".3f"),
        (spread(hits, ".3f") if hits else "")
        + (f"{'; ' if hits else ''}none in {never} of {len(runs)}" if never else ""),
        spread([it.asked_before for it in runs]),
        f"{sum(it.missed for it in runs)} of {sum(it.sample for it in runs)}",
        str(sum(len(it.wrong) for it in runs)),
    ]


_COLUMNS = [
    "server",
    "accepts connections s",
    "first answer s",
    "first hit s",
    "asked the origin before it",
    "then asked for again",
    "answers not right",
]


def _first_hits(runs: list[Restarted]) -> list[float]:
    """None at all unless there was one in every round."""
    hits = [it.first_hit_seconds for it in runs if it.first_hit_seconds is not None]
    return hits if len(hits) == len(runs) else []


def report(result: Result, found: dict[str, list[Restarted]], title: str) -> None:
    """Fill the result in."""
    samples: dict[str, list[float]] = {}
    for name, runs in found.items():
        result.data[name] = [asdict(it) for it in runs]
        samples[f"{name} first answer after kill -9 s"] = [it.first_answer_seconds for it in runs]
        if hits := _first_hits(runs):
            samples[f"{name} first hit after kill -9 s"] = hits
        samples[f"{name} objects lost by kill -9 failed"] = [it.missed for it in runs]
    result.data["samples"] = samples
    result.tables.append(Table(_COLUMNS, [_row(name, runs) for name, runs in found.items()], title))
    if ours := found.get("edgeproxy"):
        result.limits += _limits(ours, found)
        result.failures += [f"edgeproxy: {said}" for it in ours for said in it.wrong]
        result.comparisons += _comparisons(ours, found)
    result.plots.append(
        Plot(
            "From kill -9 to an answer",
            "bars",
            "server",
            "s",
            [
                Series(
                    "first answer",
                    [(name, median([it.first_answer_seconds for it in it_])) for name, it_ in found.items()],
                ),
                Series(
                    "first hit",
                    [(name, median(hits)) for name, it_ in found.items() if (hits := _first_hits(it_))],
                ),
            ],
        )
    )


def _limits(ours: list[Restarted], found: dict[str, list[Restarted]]) -> list[Limit]:
    hits = _first_hits(ours)
    said = f"{max(hits):.3f} s" if hits else "no hit"
    wrong = sum(len(it.wrong) for it in ours)
    missed = sum(it.missed for it in ours)
    limits = [
        Limit(
            "restart to first hit",
            f"< {FIRST_HIT_LIMIT:g} s",
            said,
            bool(hits) and max(hits) < FIRST_HIT_LIMIT,
        ),
        Limit("every byte right, also of what was interrupted", "yes", "no" if wrong else "yes", not wrong),
        Limit("objects that the kill lost", "0", str(missed), not missed),
    ]
    theirs = {
        name: median(values)
        for name, runs in found.items()
        if name != "edgeproxy" and (values := _first_hits(runs))
    }
    if hits and theirs:
        best = min(theirs, key=lambda name: theirs[name])
        measured = f"{median(hits):.3f} s, {best} {theirs[best]:.3f} s"
        is_met = median(hits) <= SAME * theirs[best]
        limits.append(Limit("restart to first hit, against the best", f"<= {SAME}x", measured, is_met))
    return limits


def _comparisons(ours: list[Restarted], found: dict[str, list[Restarted]]) -> list[Comparison]:
    others = {name: runs for name, runs in found.items() if name != "edgeproxy"}
    comparisons = [
        Comparison(
            "objects lost by kill -9, of a sample",
            median([it.missed for it in ours]),
            median([it.missed for it in runs]),
            name,
            f"of {ours[0].sample}",
            less_is_better=True,
        )
        for name, runs in others.items()
    ]
    if mine := _first_hits(ours):
        comparisons += [
            Comparison("kill -9 to first hit", median(mine), median(hits), name, "s", less_is_better=True)
            for name, runs in others.items()
            if (hits := _first_hits(runs))
        ]
    return comparisons
