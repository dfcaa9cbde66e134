"""GrowingBody: bytes of one fill, read by many while they arrive."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.errors import BodyAborted
from edgeproxy.message import FileSlice
from edgeproxy.pipeline.growing_body import GrowingBody, Reader

if TYPE_CHECKING:
    from edgeproxy.message import Part


class Taken:
    """A store that has taken some bytes and gives them back."""

    def __init__(self) -> None:
        self.data = bytearray()

    def slice(self, start: int, end: int) -> Part:
        return bytes(self.data[start:end])


def growing(size: int | None, *, hold: int = 0, window: int = 1 << 20) -> tuple[GrowingBody, Taken]:
    body, store = GrowingBody(size, hold=hold, window_bytes_max=window), Taken()
    body.store_in(store)
    return body, store


async def read_all(reader: Reader) -> bytes:
    taken = bytearray()
    async for part in reader.parts():
        assert not isinstance(part, FileSlice)
        taken += part
    await reader.aclose()
    return bytes(taken)


def store_up_to(body: GrowingBody, store: Taken, data: bytes) -> None:
    store.data[:] = data
    body.stored(len(data))


async def test_a_late_reader_gets_every_byte_from_the_first() -> None:
    body, store = growing(10)
    body.append(b"hello")
    store_up_to(body, store, b"hello")
    late = asyncio.create_task(read_all(body.reader(0, None)))
    await asyncio.sleep(0)
    body.append(b"world")
    store_up_to(body, store, b"helloworld")
    body.complete()
    assert await late == b"helloworld"


async def test_the_piece_that_completes_a_body_is_held_until_it_is_proven() -> None:
    body, _ = growing(10)
    body.append(b"hello")
    reader = body.reader(0, None)
    parts = reader.parts()
    assert await anext(parts) == b"hello"
    body.append(b"world")
    rest = asyncio.ensure_future(anext(parts))
    await asyncio.sleep(0)
    assert not rest.done()
    body.complete()
    assert await rest == b"world"


async def test_held_back_bytes_never_reach_a_reader_of_a_failed_body() -> None:
    body, _ = growing(None, hold=4)
    body.append(b"0123456789")
    reader = body.reader(0, None)
    parts = reader.parts()
    assert await anext(parts) == b"012345"
    body.fail(RuntimeError("wrong digest"))
    with pytest.raises(BodyAborted):
        await anext(parts)


async def test_a_body_of_unknown_length_ends_only_when_it_is_complete() -> None:
    body, _ = growing(None)
    body.append(b"abc")
    reading = asyncio.create_task(read_all(body.reader(0, None)))
    await asyncio.sleep(0)
    assert not reading.done()
    body.complete()
    assert await reading == b"abc"


async def test_a_failed_store_keeps_what_the_slowest_reader_has_not_had() -> None:
    body, store = growing(None, window=8)
    slow = body.reader(0, None)
    body.append(b"stored..")
    store_up_to(body, store, b"stored..")
    body.storing_failed()
    body.append(b"window..")
    room = asyncio.ensure_future(body.room())
    await asyncio.sleep(0)
    assert not room.done(), "the fill must pause: eight bytes are owed to the slow reader"
    parts = slow.parts()
    assert await anext(parts) == b"stored.."
    assert await anext(parts) == b"window.."
    nothing_yet = asyncio.ensure_future(anext(parts))
    await asyncio.wait_for(room, 30)
    body.complete()
    with pytest.raises(StopAsyncIteration):
        await nothing_yet


async def test_nobody_joins_a_body_whose_first_bytes_are_gone() -> None:
    body, _ = growing(None, window=4)
    body.storing_failed()
    body.append(b"0123")
    await body.room()
    body.append(b"4567")
    assert not body.is_joinable


async def test_a_range_ends_at_its_end() -> None:
    body, _ = growing(10)
    body.append(b"01234567")
    assert await read_all(body.reader(2, 6)) == b"2345"


async def test_the_last_reader_to_leave_is_told() -> None:
    body, _ = growing(10)
    left: list[bool] = []
    body.on_left = lambda: left.append(True)
    first, second = body.reader(0, None), body.reader(0, None)
    await first.aclose()
    assert not left
    await second.aclose()
    assert left


@settings(max_examples=150, deadline=None)
@given(
    pieces=st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=12),
    stored_after=st.lists(st.booleans(), min_size=12, max_size=12),
    cut=st.tuples(st.integers(0, 500), st.integers(0, 500)),
    known=st.booleans(),
    hold=st.integers(0, 30),
)
def test_every_reader_gets_exactly_its_range(
    pieces: list[bytes], stored_after: list[bool], cut: tuple[int, int], known: bool, hold: int
) -> None:
    whole = b"".join(pieces)
    start, end = sorted(min(at, len(whole)) for at in cut)

    async def scenario() -> None:
        body, store = growing(len(whole) if known else None, hold=hold)
        readers = [asyncio.ensure_future(read_all(body.reader(start, end)))]
        arrived = b""
        for piece, is_stored in zip(pieces, stored_after, strict=False):
            body.append(piece)
            arrived += piece
            if is_stored:
                store_up_to(body, store, arrived)
            await asyncio.sleep(0)
            readers.append(asyncio.ensure_future(read_all(body.reader(0, None))))
        body.complete()
        got = await asyncio.gather(*readers)
        assert got[0] == whole[start:end]
        assert all(one == whole for one in got[1:])

    asyncio.run(scenario())
