"""Which share of a Zipf trace does each eviction find in a cache of one hundredth of the objects?"""

from __future__ import annotations

import argparse
import itertools
import random
import time
from collections.abc import Callable

from benchmarks.report import Limit, Result, Table
from edgeproxy.storage.eviction import Eviction, Lru, S3Fifo
from edgeproxy.storage.tiny_lfu import TinyLfu

LIMIT = 0.52


def trace(objects: int, requests: int, exponent: float, seed: int) -> list[str]:
    """Keys, independently drawn: the k-th most wanted with weight 1 / k ** exponent."""
    weights = list(itertools.accumulate(1 / k**exponent for k in range(1, objects + 1)))
    drawn = random.Random(seed).choices(range(objects), cum_weights=weights, k=requests)
    return [str(number) for number in drawn]


def best_possible(objects: int, kept: int, exponent: float) -> float:
    """The share of requests for the `kept` most wanted: no eviction can do better on such a trace."""
    weights = [1 / k**exponent for k in range(1, objects + 1)]
    return float(sum(weights[:kept]) / sum(weights))


def share_of_hits(eviction: Eviction, keys: list[str], kept: int) -> float:
    """Hits by requests over the whole trace, from an empty cache of `kept` objects of one size."""
    stored: set[str] = set()
    hits = 0
    for key in keys:
        if key in stored:
            hits += 1
            eviction.touch(key)
            continue
        stored.add(key)
        eviction.admit(key, 1)
        if len(stored) > kept:
            for victim in eviction.victims(len(stored) - kept):
                eviction.remove(victim)
                stored.remove(victim)
    return hits / len(keys)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", default="10000,100000", help="numbers of objects, comma separated")
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--exponent", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dry", action="store_true", help="print only, leave results and README.md alone")
    options = parser.parse_args()
    evictions: dict[str, Callable[[], Eviction]] = {"lru": Lru, "s3-fifo": S3Fifo, "w-tinylfu": TinyLfu}
    result = Result(
        "hit_ratio",
        "Which share of a Zipf trace does each eviction find in a cache of one hundredth of the objects?",
        [
            f"{options.requests} requests drawn independently from Zipf({options.exponent:g}), seed "
            f"{options.seed}, "
            "objects of one size, from an empty cache: the first request for each object is a miss too.",
            "Best possible is the share of the most wanted objects that fit, for a cache that knew them "
            "before.",
        ],
    )
    rows = []
    for objects in [int(text) for text in options.objects.split(",")]:
        kept = max(1, objects // 100)
        keys = trace(objects, options.requests, options.exponent, options.seed)
        best = best_possible(objects, kept, options.exponent)
        for name, build in evictions.items():
            begun = time.perf_counter()
            share = share_of_hits(build(), keys, kept)
            microseconds = (time.perf_counter() - begun) * 1e6 / len(keys)
            rows.append([f"{objects:,}", name, f"{share:.3f}", f"{best:.3f}", f"{microseconds:.2f}"])
            result.data[f"{objects} {name}"] = share
            if name == "w-tinylfu":
                what = f"object hit ratio, {objects:,} objects, 1 % kept"
                result.limits.append(Limit(what, f">= {LIMIT}", f"{share:.3f}", share >= LIMIT))
    columns = ["objects", "eviction", "hit ratio", "best possible", "us a request"]
    result.tables.append(Table(columns, rows))
    result.finish(options.dry)


if __name__ == "__main__":
    main()
