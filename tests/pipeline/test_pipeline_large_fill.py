"""Fills of large bodies: each of their ends, and what is left behind."""

from __future__ import annotations

import asyncio
import gc
import hashlib
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any

import pytest
from msgspec.structs import replace as changed
from pipeline_house import NOW, ORIGIN, DictPartial, House, Scripted
from pipeline_origin import CUT, PIECE, RangeOrigin, cut_after

from edgeproxy.errors import BodyAborted, StorageError, UpstreamError
from edgeproxy.message import Headers
from edgeproxy.pipeline import large_fill, pace, ranged_source
from edgeproxy.pipeline.asked import Source
from edgeproxy.pipeline.fill_end import FillEnd
from edgeproxy.pipeline.large_fill import LargeFill
from edgeproxy.pipeline.sparse_body import SparseReader
from edgeproxy.policy import claims, parallelism
from edgeproxy.policy.rules import Rules
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites.site import Expected, Plan

BODY = bytes(range(256)) * 2000  # eight pieces, the last one short
SIZE = len(BODY)
SHA256 = hashlib.sha256(BODY).hexdigest()
GIT = hashlib.sha1(b"blob %d\0" % SIZE + BODY, usedforsecurity=False).hexdigest()
PLAN = Plan(ORIGIN, "/big", Rules())
STORED = StoredResponse(
    key=PLAN.key,
    site="one",
    status=200,
    fields=(("ETag", '"v1"'),),
    born=NOW,
    request_time=NOW,
    response_time=NOW,
    fresh_until=NOW + 60,
    body_bytes=SIZE,
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is not read is given up at once, and trouble is not waited out."""
    monkeypatch.setattr(large_fill, "TICK_SECONDS", 0.01)
    monkeypatch.setattr(large_fill, "IDLE_SECONDS", 0.0)
    monkeypatch.setattr(ranged_source, "BACKOFF_SECONDS", 0.0)


@pytest.fixture
def origin(house: House) -> RangeOrigin:
    origin = RangeOrigin(BODY)
    house.upstream.answers("/big", origin)
    return origin


async def begin(house: House, plan: Plan = PLAN, digest: str = "", **source: Any) -> LargeFill:
    stored = changed(STORED, digest=digest)
    partial = await house.store.create_partial(stored, sequence=house.store.sequence)
    return house.large_fills.start(Source(plan, "one", Headers(), **source), partial, stored)


async def into(taken: bytearray, reader: SparseReader) -> None:
    try:
        async for part in reader.parts():
            assert isinstance(part, bytes)
            taken += part
    finally:
        await reader.aclose()


def read(fill: LargeFill, *pieces: tuple[int, int]) -> Coroutine[Any, Any, bytes]:
    """A reader from now on, and what it gets."""
    reader = fill.body.reader(pieces or None)

    async def all_of_it() -> bytes:
        taken = bytearray()
        await into(taken, reader)
        return bytes(taken)

    return all_of_it()


def ends(house: House) -> dict[FillEnd, int]:
    counts = {end: house.metrics.value("fills_total", "one", end.value) for end in FillEnd}
    return {end: count for end, count in counts.items() if count}


# -- complete --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("digest", "expected"),
    [
        ("", Expected()),
        (SHA256, Expected(SHA256, SIZE)),
        ("", Expected(size=SIZE, git_sha1=GIT)),
        (SHA256, Expected(SHA256, SIZE, GIT)),
    ],
)
async def test_a_body_that_is_right_is_kept(
    house: House, origin: RangeOrigin, digest: str, expected: Expected
) -> None:
    fill = await begin(house, replace(PLAN, expected=expected), digest)
    assert await read(fill) == BODY
    await house.fills_end()
    assert ends(house) == {FillEnd.COMPLETE: 1}
    assert house.store.kept[PLAN.key] == [fill.kept]
    assert fill.kept is not None
    assert fill.kept.digest == SHA256
    assert house.store.partials == []
    assert origin.sent == SIZE


async def test_readers_of_pieces_get_theirs_and_what_they_touch_is_fetched_once(
    house: House, origin: RangeOrigin
) -> None:
    fill = await begin(house)
    first, second = await asyncio.gather(read(fill, (100, 300), (7, 9)), read(fill, (250, 260)))
    assert (first, second) == (BODY[100:300] + BODY[7:9], BODY[250:260])
    await house.fills_end()
    assert ends(house) == {FillEnd.ABANDONED: 1}


async def test_a_piece_that_lands_after_the_next_one_is_not_fetched_again(
    house: House, origin: RangeOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    released, overtaken, write = asyncio.Event(), asyncio.Event(), DictPartial.write

    async def late(partial: DictPartial, offset: int, chunks: Sequence[bytes | memoryview]) -> None:
        if offset == PIECE:
            await released.wait()
        await write(partial, offset, chunks)
        if offset == 2 * PIECE:
            overtaken.set()

    monkeypatch.setattr(DictPartial, "write", late)
    monkeypatch.setattr(pace, "NEAR_SECONDS", 0.0)
    fill = await begin(house)
    reading = asyncio.gather(read(fill, (0, SIZE)), read(fill, (PIECE, PIECE + 100)))
    await overtaken.wait()
    for _ in range(3):  # it looks what to fetch with a hole that nobody waits for upstream
        fill._changed.set()
        await house.settle()
    released.set()
    assert await reading == [BODY, BODY[PIECE : PIECE + 100]]
    assert origin.asked == [(0, SIZE)]


async def test_the_end_is_shown_while_a_slow_disk_still_commits(
    house: House, origin: RangeOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_fill, "COMMIT_WAIT_SECONDS", 0.001)
    committing, commit = asyncio.Event(), DictPartial.commit

    async def slowly(partial: DictPartial, stored: StoredResponse, digest: str) -> StoredResponse | None:
        await committing.wait()
        return await commit(partial, stored, digest)

    monkeypatch.setattr(DictPartial, "commit", slowly)
    fill = await begin(house, replace(PLAN, expected=Expected(SHA256, SIZE)), SHA256)
    assert await read(fill) == BODY
    assert fill.end is FillEnd.RUNNING
    assert fill.is_joinable
    committing.set()
    await house.fills_end()
    assert ends(house) == {FillEnd.COMPLETE: 1}


async def test_other_names_for_the_same_bytes_are_kept_with_it(house: House, origin: RangeOrigin) -> None:
    fill = await begin(house, digest=SHA256)
    fill.aliases["http://origin.test/fork"] = changed(STORED, key="http://origin.test/fork", digest=SHA256)
    await read(fill)
    await house.fills_end()
    (alias,) = house.store.kept["http://origin.test/fork"]
    assert fill.kept is not None
    assert (alias.body, alias.body_bytes) == (fill.kept.body, SIZE)


async def test_readers_may_join_until_the_last_one_has_left(house: House, origin: RangeOrigin) -> None:
    fill = await begin(house)
    slow = fill.body.reader(None)
    assert await read(fill) == BODY
    await house.settle()
    late = fill.body.reader(((5, 10),))
    taken = bytearray()
    await into(taken, slow)
    assert fill.is_joinable
    assert taken == BODY
    taken.clear()
    await into(taken, late)
    assert taken == BODY[5:10]
    await house.fills_end()
    assert not fill.is_joinable


async def test_what_a_fill_was_is_freed_when_it_is_over_and_not_found_later(
    house: House, origin: RangeOrigin
) -> None:
    def alive() -> int:
        return sum(isinstance(one, LargeFill) for one in gc.get_objects())

    before = alive()
    gc.disable()
    try:
        fill: LargeFill | None = await begin(house)
        assert fill is not None
        assert await read(fill) == BODY
        assert alive() == before + 1
        fill = None
        await house.fills_end()
        assert alive() == before
    finally:
        gc.enable()


# -- superseded ------------------------------------------------------------------------------------


async def test_a_purge_meanwhile_costs_the_readers_nothing_and_nothing_is_kept(
    house: House, origin: RangeOrigin
) -> None:
    origin.gate = asyncio.Event()
    fill = await begin(house)
    reading = asyncio.ensure_future(read(fill))
    await house.settle()
    house.store.sequence += 1
    origin.gate.set()
    assert await reading == BODY
    await house.fills_end()
    assert ends(house) == {FillEnd.SUPERSEDED: 1}
    assert house.store.kept == {}
    assert fill.kept is None


async def test_a_commit_that_fails_costs_the_readers_nothing(
    house: House, origin: RangeOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(partial: DictPartial, stored: StoredResponse, digest: str) -> StoredResponse | None:
        raise StorageError("no space")

    monkeypatch.setattr(DictPartial, "commit", failing)
    fill = await begin(house)
    assert await read(fill) == BODY
    await house.fills_end()
    assert ends(house) == {FillEnd.SUPERSEDED: 1}
    assert house.store.kept == {}


# -- failed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("digest", "expected"),
    [
        ("0" * 64, Expected("0" * 64, SIZE)),
        ("", Expected(size=SIZE, git_sha1="0" * 40)),
        (SHA256, Expected(SHA256, SIZE, "0" * 40)),
    ],
)
async def test_wrong_bytes_are_set_aside_distrusted_and_completed_to_nobody(
    house: House, origin: RangeOrigin, digest: str, expected: Expected
) -> None:
    fill = await begin(house, replace(PLAN, expected=expected), digest)
    taken = bytearray()
    with pytest.raises(BodyAborted, match="is expected"):
        await into(taken, fill.body.reader(None))
    assert BODY.startswith(taken)
    assert len(taken) < SIZE
    await house.fills_end()
    assert ends(house) == {FillEnd.FAILED: 1}
    assert (len(house.store.quarantined), house.store.partials, house.store.kept) == (1, [], {})
    assert house.metrics.value("digest_mismatch_total", "one") == 1
    assert house.distrust.holds(PLAN.key)
    assert house.distrust.holds(digest) is bool(digest)
    assert "in quarantine" in house.reports[0]
    assert not fill.is_joinable


@pytest.fixture
def distant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every upstream is far away, and this body is a large one."""
    monkeypatch.setattr(large_fill, "segment_bytes", lambda size: PIECE)
    monkeypatch.setattr(claims, "WINDOW_BYTES", PIECE)
    monkeypatch.setattr(parallelism, "DISTANT_SECONDS", 0.0)
    monkeypatch.setattr(pace, "DISTANT_SECONDS", 0.0)
    monkeypatch.setattr(pace, "FIRST_BYTES", PIECE // 2)
    for name in ("BODY_BYTES_LARGE", "WINDOWED_BYTES_MIN"):
        monkeypatch.setattr(pace, name, SIZE)


@pytest.mark.usefixtures("distant")
async def test_from_far_away_a_known_body_comes_in_windows_side_by_side(
    house: House, origin: RangeOrigin
) -> None:
    fill = await begin(house, replace(PLAN, expected=Expected(SHA256, SIZE)), SHA256)
    assert await read(fill) == BODY
    await house.fills_end()
    assert ends(house) == {FillEnd.COMPLETE: 1}
    assert origin.sent == SIZE
    assert [end - start for start, end in origin.asked[:-1]] == [PIECE] * (SIZE // PIECE)


@pytest.mark.usefixtures("distant")
async def test_from_far_away_an_answer_that_goes_on_is_cut_while_little_is_on_its_way(
    house: House, origin: RangeOrigin
) -> None:
    answer = await house.parts.exchange.ask(PLAN, "one", "GET", Headers())
    partial = await house.store.create_partial(STORED, sequence=house.store.sequence)
    fill = house.large_fills.start(Source(PLAN, "one", Headers()), partial, STORED, answer, (0, SIZE))
    assert await read(fill) == BODY
    await house.fills_end()
    assert ends(house) == {FillEnd.COMPLETE: 1}
    assert origin.asked[0] == (0, SIZE)
    assert sum(end - start for start, end in origin.asked[1:]) == SIZE - PIECE // 2


async def test_what_has_changed_upstream_throws_the_parts_away(
    house: House, origin: RangeOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_fill, "IDLE_SECONDS", 60.0)
    monkeypatch.setattr(large_fill, "segment_bytes", lambda size: PIECE)
    fill = await begin(house)
    assert await read(fill, (0, 10)) == BODY[:10]
    origin.tag = '"v2"'
    with pytest.raises(BodyAborted, match="changed upstream"):
        await read(fill, (SIZE - 10, SIZE))
    await house.fills_end()
    assert ends(house) == {FillEnd.FAILED: 1}
    assert house.store.partials == []
    assert house.store.quarantined == []


async def test_an_upstream_that_breaks_down_leaves_what_it_has_given(
    house: House, origin: RangeOrigin
) -> None:
    origin.faults = {0: cut_after(3), **{n: cut_after(0) for n in range(1, 99)}}
    fill = await begin(house)
    taken = bytearray()
    with pytest.raises(BodyAborted, match="cut"):
        await into(taken, fill.body.reader(None))
    assert taken == BODY[: 3 * PIECE]
    await house.fills_end()
    assert ends(house) == {FillEnd.FAILED: 1}
    (partial,) = house.store.partials
    assert (list(partial.spans), partial.is_open) == ([(0, 3 * PIECE)], False)


async def test_who_waits_for_an_answer_is_told_that_nothing_comes(house: House) -> None:
    house.upstream.answers("/big", CUT)
    fill = await begin(house)
    reader = fill.body.reader(None)
    with pytest.raises(UpstreamError, match="cut"):
        await fill.begun()
    assert not fill.is_joinable
    await reader.aclose()
    await house.fills_end()
    assert not fill.partial.is_open  # type: ignore[attr-defined]


async def test_a_failure_after_something_came_is_for_the_readers_to_see(
    house: House, origin: RangeOrigin
) -> None:
    origin.faults = {0: cut_after(1), **{n: cut_after(0) for n in range(1, 99)}}
    fill = await begin(house)
    with pytest.raises(BodyAborted):
        await read(fill)
    await fill.begun()


async def test_a_node_that_stops_ends_its_fills_and_keeps_their_parts(
    house: House, origin: RangeOrigin
) -> None:
    origin.gate = asyncio.Event()
    fill = await begin(house)
    taken = bytearray()
    reading = asyncio.ensure_future(into(taken, fill.body.reader(None)))
    await house.settle()
    stopping = asyncio.ensure_future(house.tasks.aclose())
    with pytest.raises(BodyAborted, match="stopping"):
        await reading
    await stopping
    assert ends(house) == {FillEnd.FAILED: 1}
    assert taken == BODY[:PIECE]
    assert list(house.store.partials[0].spans) == [(0, PIECE)]
    assert not house.store.partials[0].is_open


# -- given up --------------------------------------------------------------------------------------


async def test_a_store_that_takes_no_more_is_gone_around(house: House, origin: RangeOrigin) -> None:
    house.store.fail_writes_after = 2 * PIECE
    fill = await begin(house, digest=SHA256)
    assert await asyncio.gather(read(fill), read(fill, (SIZE - 9, SIZE))) == [BODY, BODY[-9:]]
    assert not fill.is_joinable
    await house.fills_end()
    assert ends(house) == {FillEnd.GIVEN_UP: 1}
    assert list(house.store.partials[0].spans) == [(0, 2 * PIECE)]


async def test_an_upstream_that_breaks_down_beside_the_store_fails_that_reader(
    house: House, origin: RangeOrigin
) -> None:
    house.store.fail_writes_after = PIECE
    origin.faults = dict.fromkeys(range(1, 99), cut_after(0))
    fill = await begin(house)
    with pytest.raises(BodyAborted, match="cut"):
        await read(fill)
    await house.fills_end()
    assert ends(house) == {FillEnd.GIVEN_UP: 1}


# -- abandoned -------------------------------------------------------------------------------------


async def leave_early(house: House, fill: LargeFill, pieces: int = 1) -> None:
    """Read some pieces, then leave."""
    parts = (reader := fill.body.reader(None)).parts()
    for _ in range(pieces):
        await anext(parts)
    await parts.aclose()  # type: ignore[attr-defined]
    await reader.aclose()


async def test_what_nobody_reads_ends_and_goes_on_where_it_was_when_opened_again(
    house: House, origin: RangeOrigin
) -> None:
    origin.gate = asyncio.Event()
    await leave_early(house, await begin(house))
    await house.fills_end()
    assert ends(house) == {FillEnd.ABANDONED: 1}
    origin.gate = None
    (stored,) = await house.store.lookup_partial(PLAN.key)
    partial = await house.store.open_partial(stored)
    assert partial is not None
    again = house.large_fills.start(Source(PLAN, "one", Headers()), partial, stored)
    assert await read(again) == BODY
    await house.fills_end()
    assert ends(house) == {FillEnd.ABANDONED: 1, FillEnd.COMPLETE: 1}
    assert origin.asked[1][0] == PIECE


async def test_a_reader_who_comes_back_at_once_finds_it_running(
    house: House, origin: RangeOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_fill, "IDLE_SECONDS", 60.0)
    fill = await begin(house)
    await read(fill, (0, 10))
    await house.settle()
    assert fill.end is FillEnd.RUNNING
    assert await read(fill) == BODY


@pytest.mark.parametrize(
    "change",
    [{"finish_without_readers": True}, {"prefetch_bytes_max": SIZE}],
    ids=lambda change: next(iter(change)),
)
async def test_a_wanted_fill_needs_no_reader(
    house: House, origin: RangeOrigin, change: dict[str, Any]
) -> None:
    await begin(house, replace(PLAN, **change))
    await house.fills_end()
    assert ends(house) == {FillEnd.COMPLETE: 1}
    assert origin.asked == [(0, SIZE)]


async def test_one_too_large_to_be_wanted_is_not_fetched_at_all(house: House, origin: RangeOrigin) -> None:
    await begin(house, replace(PLAN, prefetch_bytes_max=SIZE - 1))
    await house.fills_end()
    assert ends(house) == {FillEnd.ABANDONED: 1}
    assert origin.asked == []


@pytest.mark.parametrize(("pieces", "end"), [(1, FillEnd.ABANDONED), (3, FillEnd.COMPLETE)])
async def test_a_whole_that_is_far_enough_is_finished(
    house: House, origin: RangeOrigin, pieces: int, end: FillEnd
) -> None:
    """A quarter of eight pieces is two."""
    gate = asyncio.Event()
    origin.faults = {
        0: lambda answer: replace(answer, pieces=(*answer.pieces[:pieces], gate, *answer.pieces[pieces:]))
    }
    fill = await begin(house)
    taken, reader = bytearray(), fill.body.reader(None)
    reading = asyncio.ensure_future(into(taken, reader))
    while len(taken) < pieces * PIECE:
        await house.settle()
    reading.cancel()
    await asyncio.wait({reading})
    if end is FillEnd.ABANDONED:
        await house.fills_end()
    gate.set()
    await house.fills_end()
    assert ends(house) == {end: 1}


# -- without upstream, without ranges --------------------------------------------------------------


async def test_offline_nothing_is_asked_and_what_is_complete_is_kept(
    house: House, origin: RangeOrigin
) -> None:
    offline = replace(PLAN, rules=Rules(offline=True), finish_without_readers=True)
    await begin(house, offline)
    await house.fills_end()
    assert ends(house) == {FillEnd.ABANDONED: 1}
    (partial,) = house.store.partials
    await partial_filled(partial)
    house.large_fills.start(Source(offline, "one", Headers()), partial, STORED)
    await house.fills_end()
    assert ends(house) == {FillEnd.ABANDONED: 1, FillEnd.COMPLETE: 1}
    assert origin.asked == []


async def partial_filled(partial: DictPartial) -> None:
    partial.is_open = True
    await partial.write(0, [BODY])


async def test_an_origin_without_ranges_brings_the_whole_in_one_exchange(
    house: House, origin: RangeOrigin
) -> None:
    origin.serves_ranges = False
    fill = await begin(house, refuses_ranges=True)
    assert await asyncio.gather(read(fill, (SIZE - 9, SIZE)), read(fill)) == [BODY[-9:], BODY]
    assert origin.asked == [(0, SIZE)]


async def test_an_origin_that_turns_out_to_have_no_ranges_is_read_in_order(
    house: House, origin: RangeOrigin
) -> None:
    origin.serves_ranges = False
    fill = await begin(house)
    readers = [read(fill, (start, start + 9)) for start in range(1000, SIZE - 9, 5 * PIECE)]
    assert await asyncio.gather(*readers, read(fill)) == [
        *(BODY[start : start + 9] for start in range(1000, SIZE - 9, 5 * PIECE)),
        BODY,
    ]
    await house.fills_end()
    assert ends(house) == {FillEnd.COMPLETE: 1}


async def test_damaged_parts_from_an_earlier_life_are_fetched_again(
    house: House, origin: RangeOrigin
) -> None:
    fill = await begin(house, replace(PLAN, finish_without_readers=True), SHA256)
    partial = house.store.partials[0]
    await partial.write(0, [BODY[: 2 * PIECE]])
    partial.bad = {70_000}
    partial.data[70_000] ^= 1
    await house.fills_end()
    assert ends(house) == {FillEnd.COMPLETE: 1}
    assert house.store.bodies[fill.partial.stored.body] == BODY
    assert (70_000, 70_001) in origin.asked


async def test_a_first_exchange_that_has_begun_is_read_to_its_end(house: House, origin: RangeOrigin) -> None:
    partial = await house.store.create_partial(STORED, sequence=0)
    headers = Headers((("Range", "bytes=1000-1999"),))
    answer = await house.parts.exchange.ask(PLAN, "one", "GET", headers)
    fill = house.large_fills.start(
        Source(PLAN, "one", Headers()), partial, STORED, first=answer, claim=(1000, 2000)
    )
    reading = read(fill, (1000, 2000))
    await fill.begun()
    assert await reading == BODY[1000:2000]
    assert origin.asked == [(1000, 2000)]
    assert isinstance(house.upstream.given[0], Scripted)
    assert house.upstream.given[0].closed


# -- giving way ------------------------------------------------------------------------------------


async def test_what_nobody_waits_for_gives_way_and_what_somebody_waits_for_does_not(
    house: House, origin: RangeOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr(large_fill.asyncio, "sleep", noted)
    fill = await begin(house)
    assert await read(fill) == BODY
    await house.fills_end()
    assert not any(pauses)
    await begin(house, replace(PLAN, finish_without_readers=True))
    await house.fills_end()
    assert sum(pauses) >= (SIZE - PIECE) / large_fill.AHEAD_RATE
    assert ends(house) == {FillEnd.COMPLETE: 2}
