"""How soon after kill -9 does the node answer from its store, and are the bytes right?"""

from __future__ import annotations

import argparse
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import bodies, load, machine
from benchmarks.client import Client, WrongBytes
from benchmarks.origin import Origin
from benchmarks.peers import Absent, Edgeproxy
from benchmarks.report import Limit, Result, Table, spread
from benchmarks.running import scratch

RUNNING = 4  # fills of a large body that the kill interrupts
LARGE = 64 << 20  # given by the origin in three seconds
KILL_AFTER = 1.0  # seconds
SAMPLE = 200


def _ask(url: str, target: str) -> str:
    """Why the answer was not right, "" if it was."""
    try:
        with Client(url, timeout_seconds=30) as client:
            client.get(target)
    except (OSError, WrongBytes) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _fill_and_kill(
    peer: Edgeproxy, directory: Path, origin: Origin, targets: list[str], large: list[str]
) -> None:
    server = peer.start(directory, origin.url)
    with ThreadPoolExecutor(RUNNING) as pool:
        try:
            load.fill(server.url, targets)
            running = [pool.submit(_ask, server.url, target) for target in large]
            time.sleep(KILL_AFTER)
        finally:
            server.stop(signal.SIGKILL)
        # A client that was told its body was whole when the node died had been lied to.
        if not all(future.result() for future in running):
            raise WrongBytes("a fill that the kill interrupted ended as if it were whole")


def _round(
    peer: Edgeproxy, directory: Path, origin: Origin, targets: list[str], turn: int
) -> dict[str, float]:
    """Fill, kill in the middle of large fills, start again, ask. Raises Absent, OSError and WrongBytes."""
    large = [f"{bodies.path(LARGE, f'large-{turn}-{i}')}?rate={LARGE // 3}" for i in range(RUNNING)]
    _fill_and_kill(peer, directory, origin, targets, large)
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
        with ThreadPoolExecutor(RUNNING) as pool:
            for wrong in pool.map(_ask, [server.url] * RUNNING, large):
                if wrong:
                    raise WrongBytes(wrong)
        return {
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
    parser.add_argument(
        "--objects", type=int, default=10_000, help="stored responses of 4 KiB (default 10000)"
    )
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
            f"{options.objects} objects of 4 KiB are filled, {RUNNING} fills of {bodies.show_size(LARGE)} "
            "are running "
            f"(three seconds each at the origin); kill -9 {KILL_AFTER:g} s into them; start again at once "
            "on the same "
            "directory. Seconds are from the start of the new process, interpreter included.",
            f"Of {min(SAMPLE, options.objects)} objects drawn at random it is told how many the origin was "
            "asked for "
            "again. They and all interrupted bodies are read again and every byte is checked; a wrong byte "
            "ends the "
            "run. The page cache survives: this is a killed process, not a lost machine.",
        ],
    )
    rounds: list[dict[str, float]] = []
    with scratch() as directory, Origin() as origin:
        try:
            for turn in range(options.rounds):
                rounds.append(_round(peer, directory / "node", origin, targets, turn))
                print(rounds[-1], flush=True)
        except (Absent, WrongBytes, OSError) as reason:
            said = f"round {len(rounds) + 1}: {type(reason).__name__}: {reason}"
            result.skipped.append(said.replace(str(directory), "..."))
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
    whole = "no" if result.skipped else "yes"
    result.limits += [
        Limit("restart to first hit", "< 1 s", f"{max(firsts):.3f} s", max(firsts) < 1 and all_hits),
        Limit("all rounds to the end, every byte right", "yes", whole, not result.skipped),
    ]


if __name__ == "__main__":
    main()
