from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from benchmarks import bodies
from benchmarks.cache_tiers import (
    FULL,
    MODES,
    QUICK,
    SMALL,
    _limits,
    best_ratio,
    files_of,
    hit_ratio,
    mean_ms,
    measured,
    order,
    running_mean,
    trace,
)
from benchmarks.loading import Load, is_right, load_all
from benchmarks.origin import Answering


def test_the_trace_is_by_its_seed_and_the_first_model_is_wanted_most() -> None:
    assert trace(8, 100, 1) == trace(8, 100, 1) != trace(8, 100, 2)
    counts = Counter(trace(8, 5000, 3))
    assert counts[0] / 5000 == pytest.approx(1 / 2.718, abs=0.03)
    assert sorted(counts) == list(range(8))


@pytest.mark.parametrize("scale", [FULL, QUICK])
def test_the_memory_tier_is_too_small_for_all_models_and_large_enough_for_some(scale) -> None:
    whole = scale.models * scale.shards * scale.shard_bytes
    assert scale.shards * scale.shard_bytes < scale.memory_bytes < whole


def test_files_of_two_models_are_other_bodies() -> None:
    assert not set(files_of(FULL, 0)) & set(files_of(FULL, 1))
    sizes = [bodies.size_of(target) for target in files_of(FULL, 0)]
    assert sizes == [*SMALL, *[FULL.shard_bytes] * FULL.shards]


def test_no_store_finds_more_than_all_but_first_loads() -> None:
    assert best_ratio([1, 1, 1, 2]) == 0.5


def test_hits_are_counted_by_files_and_means_are_of_what_came_right() -> None:
    loads = [Load(1.0, 4, 0), Load(0.5, 4, 4), Load(60.0, 4, 0, "cut")]
    assert hit_ratio(loads) == pytest.approx(1 / 3)
    assert mean_ms(loads) == 750
    assert (hit_ratio([]), mean_ms([])) == (0.0, 0.0)


def test_the_running_mean_has_a_point_for_each_load() -> None:
    assert running_mean([Load(1.0, 1, 0), Load(0.0, 1, 1)]) == [(1.0, 1000.0), (2.0, 500.0)]


def test_every_round_has_every_mode_and_begins_with_another() -> None:
    orders = [order(number) for number in range(len(MODES))]
    assert all(sorted(found) == sorted(MODES) for found in orders)
    assert len({found[0] for found in orders}) == len(MODES)


async def test_misses_are_what_the_origin_was_asked_for_where_a_server_does_not_tell() -> None:
    origin = Answering()
    server = await asyncio.start_server(origin.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    told = iter([0, 1, 1, 1])
    async with server:
        loads = await load_all(url, [[bodies.path(10, "a"), bodies.path(10, "b")]] * 2, lambda: next(told))
    assert [load.hits for load in loads] == [1, 2]


async def test_a_load_takes_all_its_shards_and_tells_what_is_wrong() -> None:
    origin = Answering()
    server = await asyncio.start_server(origin.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    targets = [bodies.path(1_500_000, f"m/{number}") for number in range(3)]
    async with server:
        right, wrong, cut = await load_all(url, [targets, ["/absent"], [f"{targets[0]}?x"]])
    assert (right.problem, right.files, right.hits) == ("", 3, 0)
    assert wrong.problem.startswith("ValueError: status 404")
    assert not cut.problem, "a query does not change the bytes"
    assert (await load_all(url, [targets]))[0].problem.startswith("ConnectionRefused")


def test_one_wrong_byte_anywhere_is_seen() -> None:
    target = bodies.path(1_200_000, "m")
    data = bytearray(
        b"".join(bytes(bodies.piece(target, at, 300_000)) for at in range(0, 1_200_000, 300_000))
    )
    assert is_right(target, data)
    data[-1] ^= 1
    assert not is_right(target, data)


def test_a_mode_counts_as_measured_when_every_round_has_it() -> None:
    load = [Load(1.0, 1, 0)]
    assert measured([{"memory": load, "nginx": load}, {"memory": load}]) == ["memory"]
    assert measured([]) == []


@pytest.mark.parametrize(("seconds", "hits", "met"), [(0.08, 93, True), (0.08, 90, False), (0.1, 93, False)])
def test_limits_are_those_of_the_reference(seconds: float, hits: int, met: bool) -> None:
    found = {"memory": [Load(0.2, 100, 70)], "memory + disk": [Load(seconds, 100, hits)]}
    limits = _limits([found], FULL, judged=True)
    assert all(limit.met for limit in limits) is met
    assert [limit.met for limit in _limits([found], FULL, judged=False)] == [None, None, None]
