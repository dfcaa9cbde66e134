"""What do clients see when the origin breaks in the middle of a large body?"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import re
import time
import urllib.request
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from benchmarks import bodies, coverage, machine, ranged
from benchmarks.faults import Kind
from benchmarks.origin import Counts, Origin
from benchmarks.peers import Absent, Peer, Server, adjusted
from benchmarks.ranged import Fetching, Part
from benchmarks.report import Result
from benchmarks.running import chosen, roomy, scratch
from benchmarks.trouble_figures import CLIENTS, TITLES, Found, Seen, report, row, seen

QUESTION = "What do clients see when the origin breaks in the middle of a large body?"
PEERS = "edgeproxy,nginx,nginx-slice,haproxy,varnish,squid,trafficserver,trafficserver-slice,direct"
PEERS_QUICK = "edgeproxy,nginx,direct"
TROUBLES_QUICK = "cut,stall,flip"
RATE = 32 << 20
AWAY = 1.0  # seconds the origin is away when it is started again
AT_ONCE = 3  # servers
LINK = re.compile(rb'href="([^"#]+)[^"]*"')
_FAULTS: dict[str, tuple[Kind, int]] = {
    "cut": ("cut", 1),
    "stall": ("stall", 1),
    "flip": ("flip", 1),
    "flip-always": ("flip", 1_000_000),
}


@dataclass(frozen=True, slots=True)
class Scale:
    """`longest_seconds` is how long the clients wait for a body."""

    rounds: int
    size: int
    patience_seconds: int
    longest_seconds: float
    quiet_seconds: float


FULL = Scale(3, 32 << 20, 3, 12.0, 0.25)
QUICK = Scale(1, 8 << 20, 1, 2.4, 0.1)


def _all_spans(*counts: Counts) -> list[coverage.Span]:
    return [(start, end) for one in counts for start, end in one.spans]


async def _herd(
    url: str, target: str, scale: Scale, trouble: Callable[[], Counts] | None = None
) -> tuple[Fetching, Counts]:
    """All clients ask for the whole body at once; meanwhile `trouble`, in a thread."""
    queues = [iter([Part(0, scale.size, whole=True)]) for _ in range(CLIENTS)]
    fetching: Coroutine[object, object, Fetching] = ranged.fetch_parts(
        url, target, queues, CLIENTS, scale.longest_seconds
    )
    if trouble is None:
        return await fetching, Counts()
    fetched, counts = await asyncio.gather(fetching, asyncio.to_thread(trouble))
    return fetched, counts


def _once_more(url: str, target: str, scale: Scale) -> str:
    """The problem of one more client afterwards, "" if it got the right body."""
    queue = [iter([Part(0, scale.size, whole=True)])]
    fetching = ranged.run(ranged.fetch_parts(url, target, queue, 1, scale.longest_seconds))
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


def _trouble(server: Server, origin: Origin, kind: str, scale: Scale, turn: int) -> Seen:
    """One trouble with a body of its own. Raises OSError when it cannot even begin."""
    size, half = scale.size, scale.size // 2
    target = f"{bodies.path(size, f'{kind}-{turn}')}?rate={RATE}"
    if kind.startswith("flip"):
        letter = "abcdefgh"[turn % 8]
        target = _linked(server, size, kind.replace("-", "") + letter)
    origin.reset()
    trouble = None
    if kind == "restart":
        trouble = functools.partial(_restarting, origin, half)
    else:
        fault, times = _FAULTS[kind]
        origin.arrange(bodies.within(target), fault, half, times)
    fetching, before = ranged.run(_herd(server.url, target, scale, trouble))
    counts = origin.settle(scale.quiet_seconds, 4 * scale.quiet_seconds)
    again = _once_more(server.url, target, scale)
    sent = (before.body_bytes + origin.counts().body_bytes) / size
    return seen(fetching, _all_spans(before, counts), before.requests + counts.requests, again, sent)


def _run_server(server: Server, origin: Origin, kinds: list[str], scale: Scale) -> tuple[Found, list[str]]:
    """All troubles of one server; what could not even begin is told."""
    found: Found = {}
    skipped = []
    for turn in range(scale.rounds):
        for kind in kinds:
            try:
                saw = _trouble(server, origin, kind, scale, turn)
            except OSError as error:
                skipped.append(f"{server.name}, {TITLES[kind]}: {type(error).__name__}: {error}")
                continue
            found.setdefault(kind, {}).setdefault(server.name, []).append(saw)
            print(kind, row(server.name, kind, [saw]), saw.problems, flush=True)
    return found, skipped


def _run(peers: list[Peer], directory: Path, kinds: list[str], scale: Scale, result: Result) -> Found:
    """Every server with an origin of its own, some at once; in the order of the peers."""
    found: Found = {kind: {} for kind in kinds}
    with contextlib.ExitStack() as stack:
        pairs = []
        for peer in roomy(peers, len(kinds) * scale.rounds * scale.size):
            origin = stack.enter_context(Origin())
            try:
                server = peer.start(directory / peer.name, origin.url)
            except Absent as reason:
                result.skipped.append(f"{peer.name}: {reason}".replace(str(directory), "..."))
                continue
            stack.callback(server.stop)
            pairs.append((server, origin))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for of_server, skipped in pool.map(lambda pair: _run_server(*pair, kinds, scale), pairs):
                result.skipped += skipped
                for kind, servers in of_server.items():
                    found[kind] |= servers
    return found


def _method(scale: Scale, peers: list[Peer]) -> list[str]:
    quick = ["A short run: fewer peers and troubles, a smaller body, one round."] if scale.rounds == 1 else []
    return [
        *quick,
        f"{CLIENTS} clients ask at once for one cold body of {bodies.show_size(scale.size)}, which the "
        f"origin gives at {bodies.show_size(RATE)}/s, and check every byte; none of them asks again, and "
        f"they wait {scale.longest_seconds:g} s at most. At half of the body the origin once ends the "
        "connection, or once is silent for good, or is killed and started again "
        f"{AWAY:g} s later with the same bodies and validators. It honours Range and If-Range.",
        "Bytes fetched twice are those the origin sent more than once, until it is quiet. One more client "
        "asks afterwards; what the origin sent until then is told by the bytes of the body (1 is the least).",
        f"Every server gives its origin up after {scale.patience_seconds} s of silence; that is shorter than "
        "their defaults, and the same for all. Retries are their defaults.",
        f"{scale.rounds} round(s), each with bodies of its own; clients are counted over all rounds. Each "
        f"server has an origin of its own, and {AT_ONCE} servers run at once: what clients see is measured "
        "here, not speed.",
        "One flipped byte: a file that a Python index links with its SHA-256, at full speed. The node serves "
        "the index as a python-index site, so the digest is known to it; the others know no digests and "
        "pass the page and the file through. Once: only the first answer is damaged; always: every one.",
        "A peer with wrong bytes is a figure of the table; a whole wrong body from the node fails the run.",
        *(peer.method for peer in peers),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small and short; results are not written")
    parser.add_argument("--peers", help=f"default {PEERS}; with --quick {PEERS_QUICK}")
    parser.add_argument("--troubles", help=f"default {','.join(TITLES)}; with --quick {TROUBLES_QUICK}")
    parser.add_argument("--dry", action="store_true", help="print only, leave results and README.md alone")
    options = parser.parse_args()
    machine.pin(machine.load_core())
    scale = QUICK if options.quick else FULL
    names = options.peers or (PEERS_QUICK if options.quick else PEERS)
    peers = [
        adjusted(peer, patience_seconds=scale.patience_seconds, python_index=True) for peer in chosen(names)
    ]
    kinds = (options.troubles or (TROUBLES_QUICK if options.quick else ",".join(TITLES))).split(",")
    if unknown := [kind for kind in kinds if kind not in TITLES]:
        raise SystemExit(f"unknown trouble {unknown[0]!r}; there are {', '.join(TITLES)}")
    result = Result("broken_origin", QUESTION, _method(scale, peers))
    with scratch() as directory:
        report(result, _run(peers, directory, kinds, scale, result))
    result.finish(options.dry or options.quick)


if __name__ == "__main__":
    main()
