"""Made-up traces that behave like what a node serves: requests of (object, bytes), the same for a seed.

None is a recording. Their shapes are those known of such places: few objects get most requests (Zipf), sizes
spread over orders of magnitude (log-normal bodies, a few giants), what is asked for together is asked for in
one go, and what is wanted changes."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator

Requests = Iterator[tuple[int, int]]

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
GIANT_ONE_IN = 200  # packages that carry libraries for accelerators
PAGE = 1 << 40  # numbers of index pages begin here
SCANNED = 1 << 50  # numbers of what only the mirror job reads


def zipf(objects: int, requests: int, exponent: float, seed: int) -> Requests:
    """One size, independently drawn: the k-th most wanted with weight 1 / k ** exponent."""
    weights = list(itertools.accumulate(1 / k**exponent for k in range(1, objects + 1)))
    drawn = random.Random(seed).choices(range(objects), cum_weights=weights, k=requests)
    return ((number, 1) for number in drawn)


def release_wave(requests: int, seed: int) -> Requests:
    """Downloads of models, file by file: small files, then shards of gigabytes. Interest is spread over 400
    models by Zipf; after each 60 downloads a new model comes out, takes a third of all downloads, and loses
    half of them with every 120 downloads that follow."""
    chosen = random.Random(seed)
    models = [_model(chosen) for _ in range(400)]
    weights = list(itertools.accumulate(1 / rank for rank in range(1, len(models) + 1)))
    first = itertools.count()
    numbered = [[(next(first), size) for size in sizes] for sizes in models]
    waves: list[tuple[int, list[tuple[int, int]]]] = []
    asked = 0
    for turn in itertools.count():
        if turn % 60 == 0:
            waves = [*waves[-8:], (turn, [(next(first), size) for size in _model(chosen)])]
        model = _in_a_wave(chosen, waves, turn) or chosen.choices(numbered, cum_weights=weights)[0]
        for request in model:
            if asked == requests:
                return
            asked += 1
            yield request


def _in_a_wave(
    chosen: random.Random, waves: list[tuple[int, list[tuple[int, int]]]], turn: int
) -> list[tuple[int, int]] | None:
    for born, model in reversed(waves):
        if chosen.random() < 0.5 ** ((turn - born) / 120) / 3:
            return model
    return None


def _model(chosen: random.Random) -> list[int]:
    """Sizes of its files: five to twelve of a few KiB to some MiB, then one to eight shards."""
    small = [_log_normal(chosen, 20 * KIB, 2.0, 10 * MIB) for _ in range(chosen.randint(5, 12))]
    shard = _log_normal(chosen, GIB, 1.0, 5 * GIB)
    return small + [shard] * chosen.choice((1, 1, 1, 2, 2, 4, 8))


def ci_fleet(requests: int, seed: int) -> Requests:
    """Jobs of 150 pipelines, some run far more often than others. A job asks for the index page and the file
    of each of its 10 to 80 packages; one job in five begins with a new version of one of them. Of 2000
    projects few are in most pipelines; one file in 200 is of hundreds of MiB."""
    chosen = random.Random(seed)
    popularity = list(itertools.accumulate(1 / rank for rank in range(1, 2001)))
    version = itertools.count()
    newest = [(next(version), _package(chosen)) for _ in range(2000)]
    pages = [_log_normal(chosen, 30 * KIB, 1.2, 5 * MIB) for _ in range(2000)]
    needed = [
        sorted(set(chosen.choices(range(2000), cum_weights=popularity, k=chosen.randint(10, 80))))
        for _ in range(150)
    ]
    locked = [{project: newest[project] for project in projects} for projects in needed]
    frequency = list(itertools.accumulate(1 / rank for rank in range(1, 151)))
    asked = 0
    while True:
        pipeline = chosen.choices(range(150), cum_weights=frequency)[0]
        if chosen.random() < 0.2:
            project = chosen.choice(needed[pipeline])
            if chosen.random() < 0.5:
                newest[project] = (next(version), newest[project][1])
            locked[pipeline][project] = newest[project]
        for project, file in locked[pipeline].items():
            for request in ((PAGE + project, pages[project]), file):
                if asked == requests:
                    return
                asked += 1
                yield request


def _package(chosen: random.Random) -> int:
    if chosen.randrange(GIANT_ONE_IN) == 0:
        return _log_normal(chosen, 400 * MIB, 0.6, 2 * GIB)
    return _log_normal(chosen, 120 * KIB, 1.8, 100 * MIB)


def mirror_scan(requests: int, seed: int) -> Requests:
    """The CI fleet, and beside it, in every second tenth of the trace, a job that copies a whole index: three
    requests in four are then for files nobody else asks for."""
    chosen = random.Random(seed + 1_000_000)
    fleet, scanned = ci_fleet(requests, seed), itertools.count(SCANNED)
    for place in range(requests):
        if (place * 10 // requests) % 2 and chosen.random() < 0.75:
            yield next(scanned), _package(chosen)
        else:
            yield next(fleet)


def _log_normal(chosen: random.Random, median: int, sigma: float, most: int) -> int:
    return max(200, min(most, int(median * chosen.lognormvariate(0, sigma))))


REALISTIC: dict[str, Callable[[int, int], Requests]] = {
    "release wave": release_wave,
    "CI fleet": ci_fleet,
    "mirror scan": mirror_scan,
}
