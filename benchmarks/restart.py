"""How soon after kill -9 does the node answer from its store, and are the bytes right?"""

from __future__ import annotations

import argparse
import contextlib
import random
import signal
import threading
import time
from pathlib import Path

from benchmarks import bodies, load, machine
from benchmarks.client import Client, WrongBytes
from benchmarks.origin import Origin
from benchmarks.peers import Absent, Edgeproxy
from benchmarks.report import Limit, Result, Table, spread
from benchmarks.running import scratch

RUNNING = 4  # fills of a large body that the kill interrupts
LARGE = 64 << 20
SAMPLE = 200


def _interrupted(url: str, target: str) -> None:
    with contextlib.suppress(OSError, WrongBytes, Exception), Client(url, timeout_seconds=20) as client:
        client.get(target)


def _round(
    peer: Edgeproxy, directory: Path, origin: Origin, targets: list[str], turn: int
) -> dict[str, float]:
    """Fill, kill in the middle of large fills, start again, ask. Raises Absent and WrongBytes."""
    server = peer.start(directory, origin.url)
    large = [f"{bodies.path(LARGE, f'large-{turn}-{i}')}?rate={LARGE // 8}" for i in range(RUNNING)]
    try:
        fresh = [target for target in targets if turn == 0 or target.endswith(f"-{turn}")]
        filled = load.fill(server.url, fresh) if fresh else 0.0
        threads = [threading.Thread(target=_interrupted, args=(server.url, target)) for target in large]
        for thread in threads:
            thread.start()
        time.sleep(1.5)
    finally:
        server.stop(signal.SIGKILL)
    for thread in threads:
        thread.join()
    begun = time.perf_counter()
    server = peer.start(directory, origin.url)
    try:
        ready = time.perf_counter() - begun
        origin.reset()
        sample = random.Random(turn).sample(targets, min(SAMPLE, len(targets)))
        with Client(server.url) as client:
            client.get(sample[0])
            first = time.perf_counter() - begun
            first_was_hit = origin.counts().requests == 0
            for target in sample:
                client.get(target)
            missed = origin.counts().requests
            for target in large:
                client.get(target.partition("?")[0] + f"?rate={LARGE // 8 * 100}")
            for target in large[:1]:
                client.get(target)
        return {
            "fill_seconds": filled,
            "ready_seconds": ready,
            "first_answer_seconds": first,
            "first_was_hit": float(first_was_hit),
            "sample": len(sample),
            "missed": missed,
        }
    finally:
        server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=10_000, help="stored responses of 4 KiB (default 10000)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dry", action="store_true", help="print only, leave results and README.md alone")
    options = parser.parse_args()
    machine.pin(machine.load_core())
    peer = Edgeproxy()
    targets = [bodies.path(4 << 10, f"restart-{i}") for i in range(options.objects)]
    result = Result(
        "restart",
        "How soon after kill -9 does the node answer from its store, and are the bytes right?",
        [
            f"{options.objects} objects of 4 KiB are filled, {RUNNING} fills of {bodies.show_size(LARGE)} are running "
            "at an eighth of their size a second; kill -9 after 1.5 s of them; start again at once on the same "
            "directory, three times over. Seconds are from the start of the new process, interpreter included.",
            f"Of {min(SAMPLE, options.objects)} objects drawn at random it is told how many the origin was asked for "
            "again. All of them and one interrupted body are read again and every byte is checked; wrong bytes end "
            "the run. The page cache survives: this is a killed process, not a lost machine.",
        ],
    )
    rounds: list[dict[str, float]] = []
    with scratch() as directory, Origin() as origin:
        try:
            for turn in range(options.rounds):
                rounds.append(_round(peer, directory / "node", origin, targets, turn))
                print(rounds[-1], flush=True)
        except (Absent, WrongBytes, OSError) as reason:
            result.skipped.append(f"round {len(rounds) + 1}: {type(reason).__name__}: {reason}")
    if rounds:
        _report(result, rounds)
    result.data = {"rounds": rounds}
    result.finish(options.dry)


def _report(result: Result, rounds: list[dict[str, float]]) -> None:
    firsts = [turn["first_answer_seconds"] for turn in rounds]
    missed, asked = sum(turn["missed"] for turn in rounds), sum(turn["sample"] for turn in rounds)
    all_hits = all(turn["first_was_hit"] for turn in rounds)
    result.tables.append(
        Table(
            ["ready s", "first answer s", "first answer was a hit", "asked for again"],
            [
                [
                    spread([turn["ready_seconds"] for turn in rounds], ".3f"),
                    spread(firsts, ".3f"),
                    f"{sum(turn['first_was_hit'] for turn in rounds):.0f} of {len(rounds)}",
                    f"{missed:.0f} of {asked:.0f}",
                ]
            ],
        )
    )
    result.limits += [
        Limit("restart to first hit", "< 1 s", f"{max(firsts):.3f} s", max(firsts) < 1 and all_hits),
        Limit("wrong bytes", "none", "some" if result.skipped else "none", not result.skipped),
    ]


if __name__ == "__main__":
    main()
