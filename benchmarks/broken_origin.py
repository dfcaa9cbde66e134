"""What do clients see when the origin breaks in the middle of a large body?"""

from __future__ import annotations

import argparse
import asyncio
import functools
import re
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from urllib.parse import urljoin, urlsplit

from benchmarks import bodies, coverage, machine, ranged
from benchmarks.faults import Kind
from benchmarks.origin import Counts, Origin
from benchmarks.peers import Peer, Server, adjusted
from benchmarks.ranged import Fetched, Fetching, Part
from benchmarks.report import Limit, Result, Table
from benchmarks.running import chosen, each, roomy, scratch

PEERS = "edgeproxy,nginx,nginx-slice,varnish,trafficserver,trafficserver-slice"
PEERS_QUICK = "edgeproxy,nginx,varnish,trafficserver-slice"
CLIENTS = 8
RATE = 32 << 20
AWAY = 1.0  # seconds the origin is away when it is started again
REPEATED_MAX = 1 << 20
LINK = re.compile(rb'href="([^"#]+)[^"]*"')
TITLES = {
    "cut": "origin cut once at half of the body",
    "stall": "origin silent once from half of the body",
    "restart": "origin killed at half of the body and started again",
    "flip": "one byte flipped once",
    "flip-always": "one byte flipped always",
}
_FAULTS: dict[str, tuple[Kind, int]] = {
    "cut": ("cut", 1),
    "stall": ("stall", 1),
    "flip": ("flip", 1),
    "flip-always": ("flip", 1_000_000),
}


@dataclass(frozen=True, slots=True)
class Scale:
    size: int
    patience_seconds: int


FULL = Scale(64 << 20, 5)
QUICK = Scale(16 << 20, 2)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the clients of one trouble saw, and what it cost the origin."""

    right: int
    wrong: int
    cut: int
    refused: int
    waiting: int
    problems: dict[str, int]
    repeated_bytes: int
    requests: int
    seconds: float
    again_right: bool
    again: str


def classify(one: Fetched) -> str:
    """right, wrong (the whole length came and bytes are not those of the body), waiting, cut, or refused."""
    if not one.problem:
        return "right"
    if one.problem.startswith("wrong"):
        return "wrong"
    if one.problem.startswith("no end"):
        return "waiting"
    return "cut" if one.received else "refused"


def seen(fetching: Fetching, spans: list[coverage.Span], requests: int, again: str) -> Seen:
    outcomes = Counter(classify(one) for one in fetching.fetched)
    return Seen(
        outcomes["right"],
        outcomes["wrong"],
        outcomes["cut"],
        outcomes["refused"],
        outcomes["waiting"] + fetching.unfinished,
        dict(Counter(_plain(problem) for problem in fetching.problems)),
        coverage.repeated(spans),
        requests,
        fetching.seconds,
        not again,
        again,
    )


def _plain(problem: str) -> str:
    """A problem without its figures, so that clients that saw the same count as the same."""
    return re.sub(r"\b[0-9]{4,}\b", "N", problem)


def _all_spans(*counts: Counts) -> list[coverage.Span]:
    return [(start, end) for one in counts for start, end in one.spans]


async def _herd(
    url: str, target: str, size: int, seconds_max: float, trouble: Callable[[], Counts] | None = None
) -> tuple[Fetching, Counts]:
    """All clients ask for the whole body at once; meanwhile `trouble`, in a thread."""
    queues = [iter([Part(0, size, whole=True)]) for _ in range(CLIENTS)]
    fetching: Coroutine[object, object, Fetching] = ranged.fetch_parts(
        url, target, queues, CLIENTS, seconds_max
    )
    if trouble is None:
        return await fetching, Counts()
    fetched, counts = await asyncio.gather(fetching, asyncio.to_thread(trouble))
    return fetched, counts


def _once_more(url: str, target: str, size: int, seconds_max: float) -> str:
    """The problem of one more client afterwards, "" if it got the right body."""
    queue = [iter([Part(0, size, whole=True)])]
    fetching = ranged.run(ranged.fetch_parts(url, target, queue, 1, seconds_max))
    return (*fetching.problems, "no end within its time" if fetching.unfinished else "")[0]


def _restarting(origin: Origin, after_bytes: int) -> Counts:
    """Start the origin again once it has sent that much; what it had counted before."""
    end = time.monotonic() + 15
    while origin.counts().body_bytes < after_bytes and time.monotonic() < end:
        time.sleep(0.05)
    return origin.restart(AWAY)


def _linked(server: Server, size: int, name: str) -> str:
    """The target of a body that a page of the index at this server links with its SHA-256."""
    mount = "/index" if server.name == "edgeproxy" else ""
    page = f"{server.url}{mount}/simple/{size}-{name}/"
    with urllib.request.urlopen(page, timeout=20) as answer:
        found = LINK.search(answer.read())
    if not found:
        raise OSError("no link on the page of the index")
    link: str = found[1].decode()
    return urlsplit(urljoin(page, link)).path


def _trouble(server: Server, origin: Origin, kind: str, scale: Scale) -> Seen:
    """One trouble with a body of its own. Raises OSError when it cannot even begin."""
    size, half = scale.size, scale.size // 2
    longest = size / RATE + 3 * scale.patience_seconds + 2 * AWAY
    target = f"{bodies.path(size, kind)}?rate={RATE}"
    if kind.startswith("flip"):
        target = _linked(server, size, kind.replace("-", ""))
    origin.reset()
    trouble = None
    if kind == "restart":
        trouble = functools.partial(_restarting, origin, half)
    else:
        fault, times = _FAULTS[kind]
        origin.arrange(bodies.within(target), fault, half, times)
    fetching, before = ranged.run(_herd(server.url, target, size, longest, trouble))
    counts = origin.settle(0.25, 1.0)
    again = _once_more(server.url, target, size, longest)
    return seen(fetching, _all_spans(before, counts), before.requests + counts.requests, again)


def _row(name: str, kind: str, saw: Seen) -> list[str]:
    return [
        name,
        str(saw.right),
        str(saw.wrong),
        str(saw.cut),
        str(saw.refused),
        str(saw.waiting)
        + (" (after wrong bytes)" if any("after wrong" in one for one in saw.problems) else ""),
        "-" if kind.startswith("flip") else f"{saw.repeated_bytes / (1 << 20):.2f}",
        str(saw.requests),
        f"{saw.seconds:.1f}",
        saw.again or "right",
    ]


def _limits(kind: str, saw: Seen) -> list[Limit]:
    if kind.startswith("flip"):
        wrong = saw.wrong + ("wrong" in saw.again)
        found = [Limit(f"{TITLES[kind]}: clients with a whole wrong body", "0", str(wrong), not wrong)]
        if kind == "flip":
            found.append(
                Limit(f"{TITLES[kind]}: the next client", "right", saw.again or "right", not saw.again)
            )
        return found
    found = [Limit(f"{TITLES[kind]}: clients unaware", str(CLIENTS), str(saw.right), saw.right == CLIENTS)]
    if kind == "cut":
        again = f"{saw.repeated_bytes / (1 << 20):.2f} MiB"
        met = saw.repeated_bytes <= REPEATED_MAX and saw.right == CLIENTS
        found.append(Limit(f"{TITLES[kind]}: bytes fetched twice", "<= 1 MiB", again, met))
    return found


def _method(scale: Scale, peers: list[Peer]) -> list[str]:
    return [
        f"{CLIENTS} clients ask at once for one cold body of {bodies.show_size(scale.size)}, which the "
        f"origin gives at {bodies.show_size(RATE)}/s, and check every byte; none of them asks again. At half "
        "of the body the origin once ends the connection, or once is silent for good, or is killed and "
        f"started again {AWAY:g} s later with the same bodies and validators. It honours Range and If-Range.",
        "Bytes fetched twice are those the origin sent more than once, until it is quiet. One more client "
        "asks afterwards.",
        f"Every server gives its origin up after {scale.patience_seconds} s of silence.",
        "One flipped byte: a file that a Python index links with its SHA-256, at full speed. The node serves "
        "the index as a python-index site, so the digest is known to it; the others know no digests and "
        "pass the page and the file through. Once: only the first answer is damaged; always: every one.",
        *(peer.method for peer in peers),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small and short; results are not written")
    parser.add_argument("--peers", help=f"default {PEERS}; with --quick {PEERS_QUICK}")
    parser.add_argument("--troubles", default=",".join(TITLES), help="which (default all)")
    parser.add_argument("--dry", action="store_true", help="print only, leave results and README.md alone")
    options = parser.parse_args()
    machine.pin(machine.load_core())
    scale = QUICK if options.quick else FULL
    names = options.peers or (PEERS_QUICK if options.quick else PEERS)
    peers = [
        adjusted(peer, patience_seconds=scale.patience_seconds, python_index=True) for peer in chosen(names)
    ]
    result = Result(
        "broken_origin",
        "What do clients see when the origin breaks in the middle of a large body?",
        _method(scale, peers),
    )
    kinds = options.troubles.split(",")
    rows: dict[str, list[list[str]]] = {kind: [] for kind in kinds}
    with scratch() as directory, Origin() as origin:
        for server in each(roomy(peers, len(kinds) * scale.size), directory, origin, result.skipped):
            for kind in kinds:
                try:
                    saw = _trouble(server, origin, kind, scale)
                except OSError as error:
                    result.skipped.append(f"{server.name}, {TITLES[kind]}: {type(error).__name__}: {error}")
                    continue
                rows[kind].append(_row(server.name, kind, saw))
                print(kind, rows[kind][-1], saw.problems, flush=True)
                result.data[f"{kind} {server.name}"] = asdict(saw)
                if server.name == "edgeproxy":
                    result.limits += _limits(kind, saw)
    columns = [
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
    ]
    result.tables += [Table(columns, found, TITLES[kind]) for kind, found in rows.items()]
    result.finish(options.dry or options.quick)


if __name__ == "__main__":
    main()
