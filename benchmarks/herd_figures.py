"""What measured herds say: a table, limits, comparisons, samples and pictures."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from benchmarks.report import Comparison, Limit, Plot, Result, Series, Table, median, spread

SECONDS_MAX = 25.0
RATIO_MAX = 1.001
LATE_MAX_MS = 20.0
BUSY, LOAD_BOUND = 0.9, 0.97
SPARED_MAX = 1.1
SAME = 1.05  # the origin's pace is the least that any of them takes


@dataclass(frozen=True, slots=True)
class Herd:
    """One herd. `late_*` are of the client that came when `share_at_join` of the body had left the origin;
    None if it had no right answer. `busy` and `load_busy` are shares of the two cores."""

    upstream_requests: int
    origin_bytes: int
    origin_ratio: float
    complete: int
    wrong: int
    seconds: float
    first_byte_ms_median: float
    share_at_join: float
    late_first_byte_ms: float | None
    late_seconds: float | None
    peak_memory_mb: float
    busy: float
    load_busy: float


def row(name: str, herds: list[Herd], clients: int) -> list[str]:
    lates = [herd.late_first_byte_ms for herd in herds if herd.late_first_byte_ms is not None]
    wholes = [herd.late_seconds for herd in herds if herd.late_seconds is not None]
    unanswered = len(herds) - len(lates)
    memory = max(herd.peak_memory_mb for herd in herds)
    return [
        name,
        spread([herd.upstream_requests for herd in herds]),
        spread([herd.origin_ratio for herd in herds], ".4f"),
        f"{sum(herd.complete for herd in herds)} of {clients * len(herds)}",
        str(sum(herd.wrong for herd in herds)),
        spread([herd.seconds for herd in herds], ".1f")
        + (" (stopped)" if any(herd.seconds >= SECONDS_MAX for herd in herds) else ""),
        spread([herd.first_byte_ms_median for herd in herds]),
        f"{median([herd.share_at_join for herd in herds]):.0%}",
        (spread(lates, ".1f") if lates else "")
        + (f"{'; ' if lates else ''}no answer {unanswered}x" if unanswered else ""),
        spread(wholes, ".1f") if wholes else "-",
        f"{memory:.0f}" if memory else "-",
        f"{100 * median([herd.busy for herd in herds]):.0f}" if memory else "-",
    ]


_COLUMNS = [
    "server",
    "origin requests",
    "origin bytes / body",
    "right and whole",
    "wrong bytes",
    "all done s",
    "first byte ms",
    "late joiner at",
    "its first byte ms",
    "its whole body s",
    "peak memory MB",
    "server busy %",
]


def _limits(herds: list[Herd], clients: int) -> list[Limit]:
    lates = [herd.late_first_byte_ms for herd in herds]
    known = [late for late in lates if late is not None]
    ratio = max(herd.origin_ratio for herd in herds)
    complete = min(herd.complete for herd in herds)
    is_whole = complete == clients
    late_said = spread(known, ".1f") + " ms" if known else "no answer"
    return [
        Limit("origin bytes / body bytes", f"<= {RATIO_MAX}", f"{ratio:.4f}", 0 < ratio <= RATIO_MAX),
        Limit("clients with the right whole body", str(clients), str(complete), is_whole),
        Limit(
            "late joiner's first byte, median",
            f"<= {LATE_MAX_MS:g} ms",
            late_said,
            len(known) == len(lates) and median(known) <= LATE_MAX_MS,
        ),
    ]


def _against(found: dict[str, list[Herd]], result: Result) -> None:
    """Limits that no other server that spares the origin is sooner, and comparisons with those."""
    ours = found.get("edgeproxy")
    others = {name: herds for name, herds in found.items() if name not in ("edgeproxy", "direct")}
    if not ours:
        return
    for what, unit, key in (
        ("a herd on one cold object: all served", "s", "seconds"),
        ("a herd on one cold object: first byte of a late joiner", "ms", "late_first_byte_ms"),
        ("a herd on one cold object: origin bytes / body", "times", "origin_ratio"),
    ):
        mine = _values(ours, key)
        # Sooner at the price of the origin's bytes is no comparison.
        theirs = {
            name: values
            for name, herds in others.items()
            if (values := _values(herds, key)) and (key == "origin_ratio" or _spares(herds))
        }
        if not mine or not theirs:
            continue
        result.comparisons += [
            Comparison(what, median(mine), median(values), name, unit, less_is_better=True)
            for name, values in theirs.items()
        ]
        if key == "origin_ratio":
            continue
        best = min(theirs, key=lambda name: median(theirs[name]))
        least = median(theirs[best])
        measured = f"{median(mine):.1f} {unit}, {best} {least:.1f} {unit}"
        is_met = median(mine) <= SAME * least
        result.limits.append(Limit(f"{what}, against the best", f"<= {SAME}x", measured, is_met))


def _spares(herds: list[Herd]) -> bool:
    return median([herd.origin_ratio for herd in herds]) <= SPARED_MAX


def _values(herds: list[Herd], key: str) -> list[float]:
    """Of herds that were all served."""
    values = [getattr(herd, key) for herd in herds if herd.seconds < SECONDS_MAX]
    return values if len(values) == len(herds) and None not in values else []


def report(result: Result, found: dict[str, list[Herd]], clients: int, title: str) -> None:
    """Fill the result in."""
    samples: dict[str, list[float]] = {}
    result.data |= {name: [asdict(herd) for herd in herds] for name, herds in found.items()}
    result.data["samples"] = samples
    for name, herds in found.items():
        samples[f"{name} herd of {clients} s"] = [herd.seconds for herd in herds]
        samples[f"{name} herd origin bytes"] = [herd.origin_bytes for herd in herds]
        samples[f"{name} herd clients failed"] = [clients - herd.complete for herd in herds]
        if lates := _values(herds, "late_first_byte_ms"):
            samples[f"{name} late joiner's first byte ms"] = lates
        busy, load_busy = (median([getattr(herd, key) for herd in herds]) for key in ("busy", "load_busy"))
        if name != "direct" and busy < BUSY and load_busy >= LOAD_BOUND:
            result.bounded.append(f"{name}, all done")
    result.tables.append(Table(_COLUMNS, [row(name, herds, clients) for name, herds in found.items()], title))
    for herd in found.get("edgeproxy", []):
        if herd.complete < clients or herd.late_first_byte_ms is None:
            result.failures.append(
                f"edgeproxy: {herd.complete} of {clients} clients had the right whole body "
                f"({herd.wrong} wrong), the late one {'not ' if herd.late_first_byte_ms is None else ''}so"
            )
    if ours := found.get("edgeproxy"):
        result.limits += _limits(ours, clients)
    _against(found, result)
    for what, unit, key in (
        ("Origin bytes by body bytes", "times", "origin_ratio"),
        ("First byte of a late joiner", "ms", "late_first_byte_ms"),
        ("All clients served", "s", "seconds"),
    ):
        points = [(name, median(values)) for name, herds in found.items() if (values := _values(herds, key))]
        # Every server is a bar of its own name.
        series = [Series("median", [*points])]
        result.plots.append(Plot(what, "bars", "server", unit, series, is_y_log=key != "seconds"))
