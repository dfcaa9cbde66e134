"""What clients saw of an origin that broke: words for it, tables, limits, comparisons and pictures."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict, dataclass

from benchmarks import coverage
from benchmarks.ranged import Fetched, Fetching
from benchmarks.report import Comparison, Limit, Plot, Result, Series, Table, median, spread

CLIENTS = 8
REPEATED_MAX = 1 << 20
TITLES = {
    "cut": "origin cut once at half of the body",
    "stall": "origin silent once from half of the body",
    "restart": "origin killed at half of the body and started again",
    "flip": "one byte flipped once",
    "flip-always": "one byte flipped always",
}
_COLUMNS = [
    "server",
    "right and whole",
    "wrong but whole",
    "cut off",
    "refused",
    "no end",
    "MiB fetched twice",
    "origin requests",
    "seconds",
    "the next client",
    "origin bytes / body, with the next client",
]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the clients of one trouble saw, and what it cost the origin: `repeated_bytes` until it was quiet,
    `origin_ratio` (by the bytes of the body) until one more client had asked. `again` is that client's
    problem, "" for none."""

    right: int
    wrong: int
    cut: int
    refused: int
    waiting: int
    problems: dict[str, int]
    repeated_bytes: int
    origin_ratio: float
    requests: int
    seconds: float
    again: str


Rounds = list[Seen]
Found = dict[str, dict[str, Rounds]]
"""By kind of trouble, then by server."""


def classify(one: Fetched) -> str:
    """right, wrong (the whole length came and bytes are not those of the body), waiting, cut, or refused."""
    if not one.problem:
        return "right"
    if one.problem.startswith("wrong"):
        return "wrong"
    if one.problem.startswith("no end"):
        return "waiting"
    return "cut" if one.received else "refused"


def seen(
    fetching: Fetching, spans: list[coverage.Span], requests: int, again: str, origin_ratio: float = 0.0
) -> Seen:
    outcomes = Counter(classify(one) for one in fetching.fetched)
    return Seen(
        outcomes["right"],
        outcomes["wrong"],
        outcomes["cut"],
        outcomes["refused"],
        outcomes["waiting"] + fetching.unfinished,
        dict(Counter(_plain(problem) for problem in fetching.problems)),
        coverage.repeated(spans),
        origin_ratio,
        requests,
        fetching.seconds,
        again,
    )


def _plain(problem: str) -> str:
    """A problem without its figures, so that clients that saw the same count as the same."""
    return re.sub(r"\b[0-9]{4,}\b", "N", problem)


def row(name: str, kind: str, rounds: Rounds) -> list[str]:
    """A line of the table; clients are counted over all rounds."""
    after_wrong = any("after wrong" in problem for saw in rounds for problem in saw.problems)
    nexts = Counter(_plain(saw.again) or "right" for saw in rounds)
    repeated = [saw.repeated_bytes / (1 << 20) for saw in rounds]
    return [
        name,
        f"{sum(saw.right for saw in rounds)} of {CLIENTS * len(rounds)}",
        str(sum(saw.wrong for saw in rounds)),
        str(sum(saw.cut for saw in rounds)),
        str(sum(saw.refused for saw in rounds)),
        str(sum(saw.waiting for saw in rounds)) + (" (after wrong bytes)" if after_wrong else ""),
        "-" if kind.startswith("flip") else spread(repeated, ".2f"),
        spread([saw.requests for saw in rounds]),
        spread([saw.seconds for saw in rounds], ".1f"),
        "; ".join(said if len(nexts) == 1 else f"{said} ({count}x)" for said, count in nexts.items()),
        spread([saw.origin_ratio for saw in rounds], ".2f"),
    ]


def limits(kind: str, rounds: Rounds) -> list[Limit]:
    """What is asked of the node, in every round."""
    if kind.startswith("flip"):
        wrong = sum(saw.wrong + ("wrong" in saw.again) for saw in rounds)
        found = [Limit(f"{TITLES[kind]}: clients with a whole wrong body", "0", str(wrong), not wrong)]
        if kind == "flip":
            again = next((saw.again for saw in rounds if saw.again), "")
            found.append(Limit(f"{TITLES[kind]}: the next client", "right", again or "right", not again))
        return found
    clients = CLIENTS * len(rounds)
    right = sum(saw.right for saw in rounds)
    found = [Limit(f"{TITLES[kind]}: clients unaware", str(clients), str(right), right == clients)]
    if kind == "cut":
        repeated = max(saw.repeated_bytes for saw in rounds)
        met = repeated <= REPEATED_MAX and right == clients
        said = f"{repeated / (1 << 20):.2f} MiB"
        found.append(Limit(f"{TITLES[kind]}: bytes fetched twice", "<= 1 MiB", said, met))
    return found


def failures(kind: str, rounds: Rounds) -> list[str]:
    """Wrong bytes that the node gave as a whole body."""
    return [
        f"edgeproxy, {TITLES[kind]}: {saw.wrong} clients and then {saw.again or 'no one'}: wrong bytes"
        for saw in rounds
        if saw.wrong or saw.again.startswith("wrong")
    ]


def report(result: Result, found: Found) -> None:
    """Fill the result in."""
    samples: dict[str, list[float]] = {}
    result.data["samples"] = samples
    for kind, servers in found.items():
        rows = [row(name, kind, rounds) for name, rounds in servers.items()]
        result.tables.append(Table(_COLUMNS, rows, TITLES[kind]))
        if ours := servers.get("edgeproxy"):
            result.limits += limits(kind, ours)
            result.failures += failures(kind, ours)
            result.comparisons += _comparisons(kind, ours, servers)
        for name, rounds in servers.items():
            result.data[f"{kind} {name}"] = [asdict(saw) for saw in rounds]
            samples[f"{name} {kind}: clients failed"] = [CLIENTS - saw.right for saw in rounds]
            samples[f"{name} {kind}: whole wrong bodies failed"] = [saw.wrong for saw in rounds]
            samples[f"{name} {kind}: fetched twice bytes"] = [saw.repeated_bytes for saw in rounds]
            samples[f"{name} {kind} s"] = [saw.seconds for saw in rounds]
    result.plots += _plots(found)


def _comparisons(kind: str, ours: Rounds, servers: dict[str, Rounds]) -> list[Comparison]:
    """How many clients were served in spite of it; of a byte that is wrong, how many were given it."""
    others = {name: rounds for name, rounds in servers.items() if name not in ("edgeproxy", "direct")}
    if kind.startswith("flip"):
        what, unit, is_less = f"{TITLES[kind]}: clients with a whole wrong body", "clients", True
        values = {name: median([saw.wrong for saw in it]) for name, it in others.items()}
        mine = median([saw.wrong for saw in ours])
    else:
        what, unit, is_less = f"{TITLES[kind]}: clients unaware of it", f"of {CLIENTS}", False
        values = {name: median([saw.right for saw in it]) for name, it in others.items()}
        mine = median([saw.right for saw in ours])
    return [Comparison(what, mine, value, name, unit, is_less) for name, value in values.items()]


def _plots(found: Found) -> list[Plot]:
    """The share of clients served, and of whole wrong bodies, by server and trouble."""
    plots = []
    for title, kinds, key in (
        ("Clients unaware of a broken origin", [it for it in found if not it.startswith("flip")], "right"),
        ("Clients with a whole wrong body", [it for it in found if it.startswith("flip")], "wrong"),
    ):
        series = [
            Series(
                TITLES[kind],
                [
                    (name, 100 * sum(getattr(saw, key) for saw in rounds) / (CLIENTS * len(rounds)))
                    for name, rounds in found[kind].items()
                ],
            )
            for kind in kinds
        ]
        if series:
            plots.append(Plot(title, "bars", "server", "% of clients", series))
    return plots
