"""How busy server and load were in a measured run, and by what servers are compared because of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

from benchmarks.load import Run
from benchmarks.peers import Server
from benchmarks.report import median, ratio

FULLY_BUSY = 0.9

Runs = Sequence[Mapping[str, float]]
"""What `watched` gave in each round."""


def load_seconds() -> float:
    """Processor time of the load so far: tools are children that have ended, readers are ourselves."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def watched(server: Server, load: Callable[[], Run]) -> dict[str, float]:
    """The figures of a run of `load`, with the share of a core that server and load had for it: "busy" and
    "load_busy"."""
    used, loaded, begun = server.cpu_seconds(), load_seconds(), time.perf_counter()
    run = load()
    taken = time.perf_counter() - begun
    return asdict(run) | {
        "requests_per_second": run.requests_per_second,
        "bytes_per_second": run.bytes_per_second,
        "failures": run.failures,
        "busy": (server.cpu_seconds() - used) / taken,
        "load_busy": (load_seconds() - loaded) / taken,
    }


def is_by_core(sides: Sequence[Runs]) -> bool:
    """Whether servers are compared by processor time: something other than one of them was its limit."""
    return any(median([run["busy"] for run in runs]) < FULLY_BUSY for runs in sides if runs)


def judged(ours: Runs, theirs: Runs, key: str, by_core: bool | None = None) -> tuple[float, str]:
    """Our rate `key` by theirs, and how that was judged; `by_core` says how, None: as the runs are."""
    if by_core is None:
        by_core = is_by_core((ours, theirs))
    if by_core:
        sides = [[run[key] / run["busy"] for run in runs if run["busy"]] for runs in (ours, theirs)]
        if len(sides[0]) == len(sides[1]):
            return ratio(*sides), " by processor time"
    return ratio([run[key] for run in ours], [run[key] for run in theirs]), ""
