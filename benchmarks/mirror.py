"""What does a near node bring to clients of a far and unreliable hub?"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence

from benchmarks import bodies, machine
from benchmarks.far_hub import (
    EXPONENT,
    MIX,
    WAYS,
    WEIGHTS_BYTES,
    Round,
    Scale,
    Seen,
    measure_round,
    reduction,
    seen,
)
from benchmarks.hub_client import Taken
from benchmarks.hub_models import SMALL
from benchmarks.peers import Absent
from benchmarks.report import Limit, Plot, Result, Series, Table, median, spread
from benchmarks.running import scratch

FULL = Scale(24, 50, 40, 3)
QUICK = Scale(6, 80, 3, 1, nearer=5)
LEAST_REDUCTION = 0.85
LEAST_SUCCESS = 0.996
LATE_SECONDS = 0.05
BUCKETS = 20


def _whole(rounds: Sequence[Round], way: str) -> list[Seen]:
    """Of each round."""
    return [seen(found[way]) for found in rounds]


def _all(rounds: Sequence[Round], way: str) -> list[Taken]:
    return [one for found in rounds for one in found[way]]


def _summary(rounds: Sequence[Round]) -> Table:
    rows = []
    for way in WAYS:
        whole, together = _whole(rounds, way), seen(_all(rounds, way))
        rows.append(
            [
                way,
                spread([one.mean_ms for one in whole]),
                spread([one.first_byte_ms for one in whole]),
                spread([one.p95_ms for one in whole]),
                f"{100 * together.success:.2f}",
                f"{together.failed} of {together.requests}",
                f"{100 * together.hits / together.requests:.1f}",
            ]
        )
    columns = ["way", "mean ms", "first byte ms", "p95 ms", "success %", "failed", "hits %"]
    return Table(columns, rows, "All requests, from an empty store")


def _by_kind(rounds: Sequence[Round]) -> Table:
    sizes = {"info": "-", "weights": bodies.show_size(WEIGHTS_BYTES)}
    sizes |= {path: bodies.show_size(size) for path, size in SMALL.items()}
    rows = []
    for kind in MIX:
        row = [kind, sizes[kind]]
        for way in WAYS:
            of_kind = seen([one for one in _all(rounds, way) if one.kind == kind])
            row += [f"{of_kind.mean_ms:.0f}", f"{100 * of_kind.success:.1f}"]
        rows.append(row)
    missed = seen([one for one in _all(rounds, "edgeproxy") if not one.is_hit])
    rows.append(
        ["all that were no hits", "-", "-", "-", f"{missed.mean_ms:.0f}", f"{100 * missed.success:.1f}"]
    )
    columns = ["what", "size", "direct mean ms", "direct success %", "node mean ms", "node success %"]
    return Table(columns, rows, "By what was asked for")


def by_time(taken: Sequence[Taken], buckets: int) -> list[tuple[float | str, float]]:
    """Mean latency in milliseconds of what was due in each of so many equal spans of time, by its end."""
    last = max((one.when for one in taken), default=0.0)
    points: list[tuple[float | str, float]] = []
    for number in range(buckets):
        start, end = last * number / buckets, last * (number + 1) / buckets
        due = [one for one in taken if start <= one.when < end and not one.problem]
        if due:
            points.append((round(end, 3), round(seen(due).mean_ms, 3)))
    return points


def _plots(rounds: Sequence[Round]) -> list[Plot]:
    bars, lines = [], []
    for way in WAYS:
        whole = _whole(rounds, way)
        mean, first = median([one.mean_ms for one in whole]), median([one.first_byte_ms for one in whole])
        bars.append(Series(way, [("mean", mean), ("first byte", first)]))
        lines.append(Series(way, by_time(_all(rounds, way), BUCKETS)))
    title = "Latency while the node's store fills"
    return [
        Plot("A far hub, and a node near by", "bars", "", "ms", bars),
        Plot(title, "lines", "seconds since the first request", "mean ms", lines, is_y_log=True),
    ]


def _limits(rounds: Sequence[Round], *, judged: bool) -> list[Limit]:
    pairs = list(zip(_whole(rounds, "direct"), _whole(rounds, "edgeproxy"), strict=True))
    less = median([reduction(direct.mean_ms, node.mean_ms) for direct, node in pairs])
    first = median([reduction(direct.first_byte_ms, node.first_byte_ms) for direct, node in pairs])
    success = seen(_all(rounds, "edgeproxy")).success
    return [
        Limit(what, f">= {least:.1%}", f"{measured:.2%}", measured >= least if judged else None)
        for what, least, measured in (
            ("mean latency, less than direct by", LEAST_REDUCTION, less),
            ("first byte, earlier than direct by", LEAST_REDUCTION, first),
            ("success through the node", LEAST_SUCCESS, success),
        )
    ]


def _samples(rounds: Sequence[Round]) -> dict[str, list[float]]:
    samples: dict[str, list[float]] = {}
    for way in WAYS:
        whole = _whole(rounds, way)
        samples[f"{way} mean ms"] = [one.mean_ms for one in whole]
        samples[f"{way} first byte ms"] = [one.first_byte_ms for one in whole]
        samples[f"{way} share failed"] = [1 - one.success for one in whole]
    return samples


def _method(scale: Scale) -> list[str]:
    shares = ", ".join(f"{kind} {share}" for kind, share in MIX.items())
    far, rates = scale.distance, scale.rates(0)
    return [
        f"A stand-in hub of {scale.models} models (benchmarks/hub.py) and its content delivery network are "
        f"{far.rtt * 1000:.0f} ms of round trip away at {far.rate_down * 8 / 1e6:.0f} Mbit/s, with up to "
        f"{far.jitter * 1000:.0f} ms of jitter and {far.loss:.1%} of segments lost (benchmarks/wire.py), and "
        f"take {rates.think * 1000:.0f} and {rates.cdn_think * 1000:.0f} ms before each answer. Clients are "
        "beside the node. There is no TLS: it would cost direct clients one or two more round trips for each "
        "connection.",
        f"{rates.failing:.1%} of all answers of both hosts fail: {rates.status:.1%} are a 503, "
        f"{rates.reset:.1%} a reset, {rates.cut:.1%} end at half of the body, {rates.silent:.1%} never come. "
        "Which ones is drawn from a seed by who asks, for what, and for the how manieth time.",
        f"{scale.requests_per_second:g} requests a second for {scale.seconds:g} s at random times, whatever "
        "has become of those before, and the same ones directly and through the node, at the same time over "
        f"the same link: a model by Zipf({EXPONENT:g}), and of it, out of {sum(MIX.values())}, {shares}. "
        "Each has fresh connections, follows redirects as the hub's own clients do, and checks every byte.",
        f"Success is the right bytes within {scale.timeout:g} s of when the request was due; no client asks "
        "twice, the node may ask the hub again. Means are of what succeeded.",
        f"{scale.rounds} round(s), each with other requests and an empty node, so that the first request for "
        "each object is in the figures; medians of rounds (least-greatest).",
        "edgeproxy: default configuration with a huggingface site, one worker.",
    ]


def _tell(result: Result, rounds: Sequence[Round], *, judged: bool) -> None:
    result.tables += [_summary(rounds), _by_kind(rounds)]
    result.plots += _plots(rounds)
    result.limits += _limits(rounds, judged=judged)
    result.data["samples"] = _samples(rounds)
    for way in WAYS:
        taken = _all(rounds, way)
        result.data[f"{way} problems"] = dict(Counter(one.problem for one in taken if one.problem))
        result.failures += sorted({f"{way}: {one.problem}" for one in taken if "wrong bytes" in one.problem})
        late = sorted(one.late_seconds for one in taken)[int(0.99 * len(taken))]
        result.data[f"{way} begun late, p99 ms"] = 1000 * late
        if late > LATE_SECONDS:
            result.bounded.append(f"{way}: one request in a hundred was begun {1000 * late:.0f} ms late")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small and short; results are not written")
    parser.add_argument("--dry", action="store_true", help="print only, leave results and README.md alone")
    options = parser.parse_args()
    machine.pin(machine.load_core())
    scale = QUICK if options.quick else FULL
    result = Result("mirror", __doc__ or "", _method(scale))
    if options.quick:
        result.method.append(
            f"Quick: one short round, mostly from an empty store, of a hub {scale.nearer} times nearer; "
            "limits are not judged."
        )
    rounds: list[Round] = []
    with scratch() as directory:
        try:
            rounds.extend(measure_round(directory, scale, number) for number in range(scale.rounds))
        except Absent as reason:
            result.failures.append(str(reason))
    if rounds:
        _tell(result, rounds, judged=not options.quick)
    result.finish(options.dry or options.quick)


if __name__ == "__main__":
    main()
