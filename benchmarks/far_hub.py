"""The trace that a far, unreliable hub and a near node are asked for at the same time, and how it went."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import ranged
from benchmarks.hub import Hub
from benchmarks.hub_client import Taken, Wanted, take_on_time, wanted
from benchmarks.hub_models import Models
from benchmarks.hub_trouble import Rates
from benchmarks.link import Distance, LinkProcess
from benchmarks.peers import Edgeproxy

EXPONENT = 1.0
MIX = {"info": 3, "config.json": 3, "tokenizer.json": 2, "weights": 4}  # of twelve requests
WEIGHTS_BYTES = 384 << 10
WAYS = ("direct", "edgeproxy")
_SITE = """
[[site]]
name = "hub"
kind = "huggingface"
mount = "/hf"
endpoint = "{url}"
"""


@dataclass(frozen=True, slots=True)
class Scale:
    """`requests_per_second` come for `seconds`, by each way. A hub `nearer` so many times is nearer in all
    that takes time."""

    models: int
    requests_per_second: float
    seconds: float
    rounds: int
    nearer: int = 1

    @property
    def distance(self) -> Distance:
        rate = 25e6 * self.nearer
        return Distance(
            rtt=0.25 / self.nearer,
            rate_down=rate,
            rate_up=rate,
            jitter=0.02 / self.nearer,
            window=4 << 20,
            loss=1e-3,
        )

    def rates(self, seed: int) -> Rates:
        think, cdn_think = 0.35 / self.nearer, 0.05 / self.nearer
        return Rates(0.06, 0.025, 0.02, 0.003, think=think, cdn_think=cdn_think, seed=seed)

    @property
    def timeout(self) -> float:
        return 10.0 / self.nearer


@dataclass(frozen=True, slots=True)
class Seen:
    """What a number of requests came to: means are of those that succeeded, in milliseconds."""

    requests: int
    failed: int
    mean_ms: float
    first_byte_ms: float
    p95_ms: float
    hits: int

    @property
    def success(self) -> float:
        return 1 - self.failed / self.requests if self.requests else 0.0


def seen(taken: Sequence[Taken]) -> Seen:
    right = [one for one in taken if not one.problem]
    latencies = sorted(one.seconds for one in right) or [0.0]
    first = [one.first_byte_seconds for one in right] or [0.0]
    return Seen(
        len(taken),
        len(taken) - len(right),
        1000 * sum(latencies) / len(latencies),
        1000 * sum(first) / len(first),
        1000 * latencies[min(len(latencies) - 1, int(0.95 * len(latencies)))],
        sum(one.is_hit for one in right),
    )


def trace(
    models: Models, requests_per_second: float, seconds: float, seed: int
) -> list[tuple[float, Wanted]]:
    """Independent requests, each with its time: a model by Zipf's law, and of it one of the kinds in their
    shares."""
    dice = random.Random(f"mirror/{seed}")
    times = [0.0]
    while times[-1] < seconds:
        times.append(times[-1] + dice.expovariate(requests_per_second))
    weights = [1 / rank**EXPONENT for rank in range(1, models.count + 1)]
    names = dice.choices(models.names, weights, k=len(times) - 1)
    kinds = dice.choices(list(MIX), list(MIX.values()), k=len(times) - 1)
    return [(when, wanted(models, name, kind)) for when, name, kind in zip(times, names, kinds, strict=False)]


def reduction(direct: float, node: float) -> float:
    """By which share the second figure is less than the first."""
    return 1 - node / direct if direct else 0.0


@contextlib.contextmanager
def far_hub(models: Models, distance: Distance) -> Iterator[tuple[Hub, str]]:
    """A hub, and its URL from here. Its content delivery network is as far away."""
    with (
        Hub(models) as hub,
        LinkProcess(hub.address, distance) as link,
        LinkProcess(hub.cdn_address, distance, listen="127.0.0.2:0") as to_cdn,
    ):
        hub.send_to(to_cdn.url)
        yield hub, link.url


Round = dict[str, list[Taken]]


def measure_round(directory: Path, scale: Scale, number: int) -> Round:
    """The same requests by both ways at the same time, from a node that has nothing; in the order in which
    they were due."""
    models = Models(scale.models, 1, WEIGHTS_BYTES)
    requests = trace(models, scale.requests_per_second, scale.seconds, number)
    with far_hub(models, scale.distance) as (hub, url):
        server = Edgeproxy(more=_SITE.format(url=url)).start(directory / str(number), url)
        hub.fail(scale.rates(number))
        bases = {"direct": url, "edgeproxy": f"{server.url}/hf"}
        try:
            return ranged.run(_both(bases, requests, scale.timeout))
        finally:
            server.stop()


async def _both(bases: dict[str, str], requests: list[tuple[float, Wanted]], timeout: float) -> Round:
    ways = [
        take_on_time(base, requests, agent=f"bench-{way}", timeout_seconds=timeout)
        for way, base in bases.items()
    ]
    return dict(zip(bases, await asyncio.gather(*ways), strict=True))
