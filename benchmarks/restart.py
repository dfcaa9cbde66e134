"""How soon after kill -9 does a cache answer from its store, and are the bytes right?"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import bodies, load, machine
from benchmarks.client import Client, WrongBytes
from benchmarks.origin import Origin
from benchmarks.peers import Absent, Peer, Server, adjusted
from benchmarks.report import Result
from benchmarks.restart_figures import Restarted, report
from benchmarks.running import chosen, rounds, scratch

QUESTION = "How soon after kill -9 does a cache answer from its store, and are the bytes right?"
PEERS = "edgeproxy,nginx,haproxy,varnish,squid,trafficserver"
PEERS_QUICK = "edgeproxy,nginx,varnish"
RUNNING = 4  # fills of a large body that the kill interrupts


@dataclass(frozen=True, slots=True)
class Scale:
    """`written_seconds` is the time given to write down what is written behind, `hit_seconds_max` that to
    find a first hit; the origin gives a large body in `large_seconds`."""

    rounds: int
    objects: int
    object_size: int
    sample: int
    written_seconds: float
    large_size: int
    large_seconds: float
    kill_after_seconds: float
    hit_seconds_max: float


FULL = Scale(3, 5_000, 4 << 10, 200, 3.0, 16 << 20, 1.5, 0.5, 5.0)
QUICK = Scale(1, 300, 4 << 10, 50, 0.3, 4 << 20, 0.5, 0.2, 0.2)


def _ask(url: str, target: str) -> str:
    """Why the answer was not right, "" if it was."""
    try:
        with Client(url, timeout_seconds=30) as client:
            client.get(target)
    except (OSError, WrongBytes) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _fill_and_kill(
    peer: Peer, directory: Path, origin: Origin, targets: list[str], large: list[str], scale: Scale
) -> list[str]:
    """What clients were told wrongly; raises Absent and OSError."""
    server = peer.start(directory, origin.url)
    with ThreadPoolExecutor(RUNNING) as pool:
        try:
            load.fill(server.url, targets)
            time.sleep(scale.written_seconds)
            running = [pool.submit(_ask, server.url, target) for target in large]
            time.sleep(scale.kill_after_seconds)
        finally:
            server.kill()
        # A client that was told its body was whole when the server died had been lied to.
        lied = sum(not future.result() for future in running)
    return [f"{lied} interrupted fills ended as if they were whole"] if lied else []


def _first_hit(
    server: Server, origin: Origin, targets: Sequence[str], scale: Scale
) -> tuple[float, float | None, int, list[str]]:
    """Seconds to the first answer and to the first hit, how many the origin was asked for before it, and
    what was not right. Each object is asked for once."""
    first_answer, asked, wrong = 0.0, 0, []
    with Client(server.url) as client:
        for target in targets:
            try:
                client.get(target)
            except WrongBytes as error:
                wrong.append(str(error))
                continue
            now = time.perf_counter() - server.begun
            first_answer = first_answer or now
            before, asked = asked, origin.counts().requests
            if asked == before:
                return first_answer, now, asked, wrong
            if now > scale.hit_seconds_max:
                break
    return first_answer, None, asked, wrong


def _after(server: Server, origin: Origin, targets: list[str], large: list[str], scale: Scale) -> Restarted:
    opened = time.perf_counter() - server.begun
    origin.reset()
    first_answer, first_hit, asked_before, wrong = _first_hit(server, origin, targets[scale.sample :], scale)
    origin.reset()
    wrong += [said for target in targets[: scale.sample] if (said := _ask(server.url, target))]
    missed = origin.counts().requests
    with ThreadPoolExecutor(RUNNING) as pool:
        wrong += [said for said in pool.map(_ask, [server.url] * RUNNING, large) if said]
    return Restarted(opened, first_answer, first_hit, asked_before, scale.sample, missed, wrong)


def _round(peer: Peer, directory: Path, origin: Origin, scale: Scale, turn: int) -> Restarted:
    """Fill, kill in the middle of large fills, start again, ask. Raises Absent and OSError."""
    rate = round(scale.large_size / scale.large_seconds)
    large = [f"{bodies.path(scale.large_size, f'large-{turn}-{i}')}?rate={rate}" for i in range(RUNNING)]
    targets = [bodies.path(scale.object_size, f"restart-{i}") for i in range(scale.objects)]
    lies = _fill_and_kill(peer, directory, origin, targets, large, scale)
    drawn = random.Random(turn).sample(targets, len(targets))
    server = peer.start(directory, origin.url)
    try:
        restarted = _after(server, origin, drawn, large, scale)
    finally:
        server.stop()
    return replace(restarted, wrong=[*lies, *restarted.wrong])


def _run(peers: list[Peer], scale: Scale, result: Result) -> dict[str, list[Restarted]]:
    """Interleaved rounds, one server after the other. A peer that fails to come back is told."""
    found: dict[str, list[Restarted]] = {}
    with scratch() as directory, Origin() as origin:
        for turn in rounds(scale.rounds, result.skipped):
            for peer in peers:
                try:
                    restarted = _round(peer, directory / peer.name, origin, scale, turn)
                except (Absent, OSError, WrongBytes) as reason:
                    said = f"{peer.name}, round {turn + 1}: {type(reason).__name__}: {reason}"
                    said = said.replace(str(directory), "...")
                    is_ours = peer.name == "edgeproxy"
                    (result.failures if is_ours else result.skipped).append(said)
                    continue
                found.setdefault(peer.name, []).append(restarted)
                print(turn, peer.name, restarted, flush=True)
    return found


def _method(scale: Scale, peers: list[Peer]) -> list[str]:
    quick = ["A short run: fewer peers and objects, one round."] if scale.rounds == 1 else []
    return [
        *quick,
        f"{scale.objects} objects of {bodies.show_size(scale.object_size)} are filled; "
        f"{scale.written_seconds:g} s later, time to write down what is written behind, {RUNNING} fills of "
        f"{bodies.show_size(scale.large_size)} begin ({scale.large_seconds:g} s each at the origin); "
        f"{scale.kill_after_seconds:g} s into them all processes of the server are killed (SIGKILL) and it "
        "is started again at once on the same directory. Seconds are from the start of the new process, the "
        "interpreter of the node included.",
        "Objects in random order are asked for, each once, until the origin is not asked for one: the first "
        f"hit. Of {scale.sample} others asked for then it is told how many the origin was asked for again. "
        "They and all interrupted bodies are read and every byte is checked. The page cache survives: this "
        "is a killed process, not a lost machine.",
        f"{scale.rounds} round(s) of all servers, one after the other; medians (least-greatest).",
        "HAProxy and Varnish keep nothing: the cache of the one is in RAM, the file of the other is no "
        "store that survives (its persistent one is deprecated). They are here for the time to an answer.",
        "Traffic Server writes its directory every 60 s by default and would lose what is newer; here every "
        "second, so that all had been written.",
        *(peer.method for peer in peers),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, help=f"default {FULL.objects}; with --quick {QUICK.objects}")
    parser.add_argument("--rounds", type=int, help=f"default {FULL.rounds}; with --quick {QUICK.rounds}")
    parser.add_argument("--peers", help=f"default {PEERS}; with --quick {PEERS_QUICK}")
    parser.add_argument("--quick", action="store_true", help="small and short; results are not written")
    parser.add_argument("--dry", action="store_true", help="print only, leave results and README.md alone")
    options = parser.parse_args()
    machine.pin(machine.load_core())
    scale = QUICK if options.quick else FULL
    scale = replace(scale, rounds=options.rounds or scale.rounds, objects=options.objects or scale.objects)
    peers = chosen(options.peers or (PEERS_QUICK if options.quick else PEERS))
    peers = [adjusted(peer, sync_seconds=1) for peer in peers]
    result = Result("restart", QUESTION, _method(scale, peers))
    title = f"{scale.objects} objects of {bodies.show_size(scale.object_size)} stored"
    report(result, _run(peers, scale, result), title)
    result.finish(options.dry or options.quick)


if __name__ == "__main__":
    main()
