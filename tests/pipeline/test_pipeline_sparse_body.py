"""Bodies put together in any order: who is woken, what is held back, and that everybody gets the bytes."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_house import NOW, DictPartial, DictStore

from edgeproxy.errors import BodyAborted, StorageError
from edgeproxy.pipeline import sparse_body
from edgeproxy.pipeline.sparse_body import SparseBody, SparseContent, SparseReader
from edgeproxy.policy.stored import StoredResponse

SIZE = 400
BODY = bytes(n * 7 % 251 for n in range(SIZE))
FALLBACK_BYTES = 13


class Bench:
    """A SparseBody over a DictPartial, and what it asks of its fill."""

    def __init__(self, *, hold: bool = False, size: int = SIZE) -> None:
        stored = StoredResponse(
            key="k",
            site="one",
            status=200,
            fields=(),
            born=NOW,
            request_time=NOW,
            response_time=NOW,
            fresh_until=NOW + 60,
            body_bytes=size,
        )
        self.partial = DictPartial(DictStore(), stored, 0)
        self.needed: list[int] = []
        self.left = 0
        self.directly: list[tuple[int, int]] = []
        self.body = SparseBody(
            self.partial, hold=hold, needed=self.needed.append, left=self._left, fallback=self._fallback
        )

    def _left(self) -> None:
        self.left += 1

    async def _fallback(self, start: int, end: int) -> AsyncIterator[bytes]:
        self.directly.append((start, end))
        for offset in range(start, end, FALLBACK_BYTES):
            yield BODY[offset : min(end, offset + FALLBACK_BYTES)]

    async def arrive(self, start: int, end: int) -> None:
        """What of [start, end) is not there."""
        for hole in list(self.partial.spans.holes(start, end)):
            await self.partial.write(hole[0], [BODY[hole[0] : hole[1]]])
            self.body.arrived(*hole)


class Taker:
    """Reads in the background."""

    def __init__(self, body: SparseBody, pieces: tuple[bytes | tuple[int, int], ...] | None = None) -> None:
        self.reader = body.reader(pieces)
        self.data = bytearray()
        self.task = asyncio.ensure_future(self._take())

    async def _take(self) -> bytes:
        try:
            async for part in self.reader.parts():
                assert isinstance(part, bytes)
                self.data += part
        finally:
            await self.reader.aclose()
        return bytes(self.data)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


# -- waiting ---------------------------------------------------------------------------------------


async def test_a_reader_is_woken_by_the_bytes_it_waits_for_and_by_no_others() -> None:
    bench = Bench()
    low, high = Taker(bench.body, ((10, 20),)), Taker(bench.body, ((300, 310),))
    await settle()
    assert bench.needed == [10, 300]
    await bench.arrive(100, 200)
    await settle()
    assert bench.needed == [10, 300], "whoever is woken for nothing asks again"
    await bench.arrive(300, 310)
    assert await high.task == BODY[300:310]
    assert not low.task.done()
    await bench.arrive(0, 15)
    await settle()
    assert (bytes(low.data), bench.needed) == (BODY[10:15], [10, 300, 15])
    await bench.arrive(15, 20)
    assert await low.task == BODY[10:20]


async def test_what_is_there_is_read_without_asking_for_anything() -> None:
    bench = Bench()
    await bench.arrive(0, SIZE)
    assert await Taker(bench.body).task == BODY
    assert bench.needed == []


# -- the first bytes, before they have landed ------------------------------------------------------


async def test_who_has_had_nothing_yet_gets_first_bytes_on_their_way_to_the_file_but_never_the_last() -> None:
    bench = Bench()
    new, small, begun = (
        Taker(bench.body, ((10, 200),)),
        Taker(bench.body, ((30, 40),)),
        Taker(bench.body, ((0, 200),)),
    )
    await bench.arrive(0, 5)
    await settle()
    bench.body.coming(5, BODY[5:100])
    await settle()
    assert [bytes(taker.data) for taker in (new, small, begun)] == [BODY[10:100], BODY[30:39], BODY[:5]]
    late = Taker(bench.body, ((50, 200),))
    await settle()
    assert bytes(late.data) == BODY[50:100]
    await bench.arrive(5, 100)
    bench.body.landed(5)
    assert await small.task == BODY[30:40]
    bench.body.coming(100, BODY[100:200])
    await settle()
    assert [bytes(taker.data) for taker in (new, begun)] == [BODY[10:100], BODY[:100]], "they have begun"
    await bench.arrive(100, 200)
    assert [await taker.task for taker in (new, begun, late)] == [BODY[10:200], BODY[:200], BODY[50:200]]


async def test_a_crowd_waits_for_the_file_and_few_are_given_first_bytes() -> None:
    bench = Bench()
    crowd = [Taker(bench.body, ((0, 200),)) for _ in range(3 * sparse_body.EARLY_READERS)]
    await settle()
    bench.body.coming(0, BODY[:100])
    await settle()
    crowd.append(Taker(bench.body, ((50, 200),)))
    await settle()
    begun = [bytes(taker.data) for taker in crowd if taker.data]
    assert begun == [BODY[:100]] * sparse_body.EARLY_READERS
    await bench.arrive(0, 200)
    assert [await taker.task for taker in crowd[:-1]] == [BODY[:200]] * (len(crowd) - 1)
    assert await crowd[-1].task == BODY[50:200]


async def test_a_piece_that_never_lands_is_not_read_from_once_that_is_known() -> None:
    bench = Bench()
    bench.body.coming(0, BODY[:100])
    bench.body.landed(0)
    taker = Taker(bench.body)
    await settle()
    assert (bytes(taker.data), bench.needed) == (b"", [0])
    bench.body.fail(BodyAborted("gone"))
    with pytest.raises(BodyAborted):
        await taker.task


async def test_first_bytes_are_bounded_and_what_is_held_back_is_not_among_them(monkeypatch) -> None:
    monkeypatch.setattr(sparse_body, "EARLY_BYTES", 30)
    bench = Bench(hold=True)  # the second half
    first, edge, held = (
        Taker(bench.body),
        Taker(bench.body, ((190, 300),)),
        Taker(bench.body, ((250, 300),)),
    )
    await settle()
    bench.body.coming(0, BODY)
    await settle()
    assert [bytes(taker.data) for taker in (first, edge, held)] == [BODY[:30], BODY[190:200], b""]
    await bench.arrive(0, SIZE)
    bench.body.landed(0)
    bench.body.complete()
    assert [await taker.task for taker in (first, edge, held)] == [BODY, BODY[190:300], BODY[250:300]]


# -- literal bytes ---------------------------------------------------------------------------------


async def test_literal_bytes_stand_where_they_were_put() -> None:
    bench = Bench()
    await bench.arrive(0, SIZE)
    taker = Taker(bench.body, (b"<", (5, 7), b"|", (1, 3), b">"))
    assert taker.reader.length == 7
    assert await taker.task == b"<" + BODY[5:7] + b"|" + BODY[1:3] + b">"
    assert await Taker(bench.body, (b"only",)).task == b"only"
    assert await Taker(bench.body, ()).task == b""


async def test_a_body_without_bytes_is_read_at_once() -> None:
    assert await Taker(Bench(size=0).body).task == b""


async def test_a_cancelled_reader_is_forgotten_and_the_last_to_leave_is_told() -> None:
    bench = Bench()
    first, second = Taker(bench.body), Taker(bench.body)
    await settle()
    assert bench.body.has_readers
    first.task.cancel()
    await settle()
    assert (bench.left, bench.body.has_readers) == (0, True)
    await bench.arrive(0, SIZE)
    assert await second.task == BODY
    assert (bench.left, bench.body.has_readers) == (1, False)


async def test_wants_tell_how_far_each_reader_has_come() -> None:
    bench = Bench()
    await bench.arrive(0, 50)
    whole, piece = Taker(bench.body), Taker(bench.body, ((60, 70),))
    await settle()
    assert sorted(bench.body.wants()) == [(50, SIZE), (60, 70)]
    assert bench.body.is_read_whole
    await bench.arrive(60, 70)
    await piece.task
    assert bench.body.wants() == [(50, SIZE)]
    whole.task.cancel()
    await settle()
    assert not bench.body.is_read_whole


async def test_slices_that_follow_each_other_are_wanted_as_one_range() -> None:
    bench = Bench()
    taker = Taker(bench.body, (b"a", (10, 20), b"b", (20, 30), b"c", (50, 60)))
    await settle()
    assert bench.body.wants() == [(10, 30)]
    await bench.arrive(10, 30)
    await settle()
    assert bench.body.wants() == [(50, 60)]
    await bench.arrive(50, 60)
    assert await taker.task == b"a" + BODY[10:20] + b"b" + BODY[20:30] + b"c" + BODY[50:60]
    assert bench.body.wants() == []


async def test_parts_are_no_longer_than_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse_body, "RUN_BYTES", 150)
    bench = Bench()
    await bench.arrive(0, SIZE)
    parts = [part async for part in bench.body.reader(None).parts()]
    assert [len(part) for part in parts if isinstance(part, bytes)] == [150, 150, 100]


async def test_the_content_of_it_can_be_had_whole_and_in_pieces() -> None:
    bench = Bench()
    await bench.arrive(0, SIZE)
    content = SparseContent(bench.body)
    assert (content.size, content.is_seekable) == (SIZE, True)
    for pieces, length in ((None, SIZE), (((1, 3), (5, 6)), 3)):
        reader = content.body(pieces)
        assert isinstance(reader, SparseReader)
        assert reader.length == length
    content.close()
    assert bench.body.has_readers, "closing the content is not leaving"


# -- the held tail ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "hold_bytes", "held_from"), [(400, 64 << 10, 200), (400, 50, 350), (1, 50, 0), (0, 50, 0)]
)
async def test_the_tail_held_back_is_short_and_never_more_than_half(
    monkeypatch: pytest.MonkeyPatch, size: int, hold_bytes: int, held_from: int
) -> None:
    monkeypatch.setattr(sparse_body, "HOLD_BYTES", hold_bytes)
    bench = Bench(hold=True, size=size)
    await bench.arrive(0, size)
    taker = Taker(bench.body)
    await settle()
    assert bytes(taker.data) == BODY[:held_from]
    bench.body.complete()
    assert await taker.task == BODY[:size]


async def test_who_waits_for_the_held_tail_asks_for_nothing() -> None:
    bench = Bench(hold=True)
    await bench.arrive(0, SIZE)
    taker = Taker(bench.body)
    await settle()
    assert bench.needed == []
    taker.task.cancel()


async def test_a_wrong_body_is_completed_to_nobody_who_reads_it_whole() -> None:
    bench = Bench(hold=True)
    await bench.arrive(0, SIZE)
    taker = Taker(bench.body)
    await settle()
    bench.body.fail(RuntimeError("wrong digest"))
    with pytest.raises(BodyAborted, match="wrong digest"):
        await taker.task
    assert len(taker.data) == SIZE // 2


async def test_a_reader_of_a_part_grows_impatient_and_one_of_the_whole_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sparse_body, "TAIL_PATIENCE_SECONDS", 0.001)
    bench = Bench(hold=True)
    await bench.arrive(0, SIZE)
    whole, footer = Taker(bench.body), Taker(bench.body, ((SIZE - 9, SIZE),))
    assert await footer.task == BODY[-9:]
    again = Taker(bench.body, ((0, SIZE - 1), (0, SIZE)))
    await settle()
    assert not whole.task.done()
    assert not again.task.done(), "as many bytes as the whole"
    bench.body.complete()
    assert await whole.task == BODY
    assert await again.task == BODY[:-1] + BODY


async def test_patience_is_for_what_is_held_back_not_for_what_is_absent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sparse_body, "TAIL_PATIENCE_SECONDS", 0.0)
    bench = Bench(hold=True)
    footer = Taker(bench.body, ((SIZE - 9, SIZE),))
    await settle()
    assert not footer.task.done()
    assert not footer.reader.is_impatient
    await bench.arrive(SIZE - 9, SIZE)
    assert await footer.task == BODY[-9:]


# -- trouble ---------------------------------------------------------------------------------------


async def test_failing_ends_who_is_owed_bytes_and_nobody_else() -> None:
    bench = Bench()
    await bench.arrive(0, 100)
    owed, served = Taker(bench.body, ((90, 110),)), Taker(bench.body, ((0, 100),))
    assert await served.task == BODY[:100]
    bench.body.fail(RuntimeError("gone"))
    with pytest.raises(BodyAborted, match="gone"):
        await owed.task
    assert bytes(owed.data) == BODY[90:100]


async def test_a_failed_store_leaves_each_reader_to_fetch_the_rest_alone() -> None:
    bench = Bench(hold=True)
    await bench.arrive(0, 40)
    takers = [Taker(bench.body), Taker(bench.body, ((50, 60), (10, 20)))]
    await settle()
    bench.body.storing_failed()
    assert await takers[0].task == BODY
    assert await takers[1].task == BODY[50:60] + BODY[10:20]
    assert sorted(bench.directly) == [(40, SIZE), (50, 60)]


async def test_damaged_bytes_are_not_sent_but_asked_for_again() -> None:
    bench = Bench()
    await bench.arrive(0, SIZE)
    bench.partial.bad = {7}
    bench.partial.data[7] ^= 1
    taker = Taker(bench.body)
    await settle()
    assert bytes(taker.data) == BODY[:7]
    assert bench.needed == [7]
    await bench.arrive(7, 8)
    assert await taker.task == BODY


async def test_a_failure_found_while_bytes_were_proven_sends_none_of_them() -> None:
    bench = Bench()
    await bench.arrive(0, SIZE)
    proving = asyncio.Event()

    async def check(start: int, end: int) -> None:
        await proving.wait()

    bench.partial.check = check  # type: ignore[method-assign]
    taker = Taker(bench.body)
    await settle()
    bench.body.fail(RuntimeError("wrong digest"))
    proving.set()
    with pytest.raises(BodyAborted):
        await taker.task
    assert taker.data == b""


def test_its_state_can_be_read() -> None:
    bench = Bench()
    assert repr(bench.body) == "<SparseBody growing 0/400 readers=0>"
    bench.body.reader(None)
    bench.body.complete()
    assert repr(bench.body) == "<SparseBody complete 0/400 readers=1>"
    bench.body.fail(StorageError("x"))
    bench.body.is_complete = False
    assert "failed" in repr(bench.body)


# -- everything at once ----------------------------------------------------------------------------

spans = st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)).map(lambda pair: (min(pair), max(pair)))
pieces = st.lists(st.one_of(spans, st.binary(max_size=3)), min_size=1, max_size=5).map(tuple)


@settings(max_examples=150, deadline=None)
@given(
    cuts=st.sets(st.integers(1, SIZE - 1), max_size=12),
    order=st.randoms(use_true_random=False),
    readers=st.lists(
        st.tuples(st.integers(0, 14), st.one_of(st.none(), pieces), st.integers(0, 20)), max_size=7
    ),
    damages=st.dictionaries(st.integers(0, 14), st.integers(0, SIZE - 1), max_size=3),
    hold=st.booleans(),
    fails_at=st.one_of(st.none(), st.integers(0, 14)),
)
def test_everybody_gets_exactly_the_bytes_whatever_the_order(
    cuts: set[int],
    order: random.Random,
    readers: list[tuple[int, tuple[bytes | tuple[int, int], ...] | None, int]],
    damages: dict[int, int],
    hold: bool,
    fails_at: int | None,
) -> None:
    edges = [0, *sorted(cuts), SIZE]
    arrivals = list(itertools.pairwise(edges))
    order.shuffle(arrivals)

    async def scenario() -> None:
        bench = Bench(hold=hold)
        takers: list[tuple[Taker, bytes]] = []
        for step in range(15):
            for at, asked, moments in readers:
                if at == step:
                    there = ((0, SIZE),) if asked is None else asked
                    right = b"".join(p if isinstance(p, bytes) else BODY[p[0] : p[1]] for p in there)
                    takers.append((Taker(bench.body, asked), right))
                    for _ in range(moments):
                        await asyncio.sleep(0)
            if step == fails_at:
                bench.body.storing_failed()
            if arrivals and not bench.body.store_failed:
                await bench.arrive(*arrivals.pop())
            spot = damages.get(step)
            if spot is not None and bench.partial.spans.holds(spot, spot + 1):
                bench.partial.bad.add(spot)
                bench.partial.data[spot] ^= 1
            for taker, right in takers:
                assert right.startswith(taker.data)
                if (
                    hold
                    and taker.reader.takes_whole
                    and not bench.body.store_failed
                    and taker.reader.length == SIZE
                ):
                    assert len(taker.data) <= SIZE // 2
        while not all(taker.task.done() for taker, _ in takers):
            await settle()
            if not bench.body.store_failed:  # the fill would fetch again what is gone
                await bench.arrive(0, SIZE)
            if not bench.partial.bad or bench.body.store_failed:
                bench.body.complete()
            else:
                found = min(bench.partial.bad)
                try:
                    await bench.partial.check(found, found + 1)
                except StorageError:
                    await bench.arrive(0, SIZE)
        for taker, right in takers:
            assert taker.task.result() == right
        assert not bench.body.has_readers
        assert bench.body._waiting == []

    asyncio.run(asyncio.wait_for(scenario(), 20))


async def test_who_is_about_to_take_bytes_is_near_them() -> None:
    bench = Bench()
    taker = Taker(bench.body, ((100, 200),))
    await asyncio.sleep(0)
    assert bench.body.is_read_near(50, 101)
    assert not bench.body.is_read_near(0, 100)
    assert not bench.body.is_read_near(101, 400)
    await bench.arrive(100, 200)
    await taker.task
    assert not bench.body.is_read_near(0, 400), "there is nothing more to take"
