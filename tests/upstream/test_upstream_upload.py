"""The content of a request on its way up."""

import asyncio
from collections.abc import AsyncIterator

import pycurl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.errors import BodyAborted
from edgeproxy.upstream.upload import Upload


class Pieces:
    """A request body of given pieces; counts those that were taken."""

    def __init__(self, *pieces: bytes, error: Exception | None = None) -> None:
        self.length = sum(map(len, pieces))
        self.taken = 0
        self._pieces = pieces
        self._error = error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            self.taken += 1
            yield piece
        if self._error is not None:
            raise self._error


@given(st.lists(st.binary(max_size=40), max_size=8), st.integers(1, 50))
def test_what_goes_in_comes_out_in_pieces_no_larger_than_asked_for(pieces: list[bytes], size: int) -> None:
    upload = Upload(Pieces(*pieces))
    asyncio.run(upload.pump())
    out = []
    while read := upload.read(size):
        assert isinstance(read, bytes)
        assert len(read) <= size
        out.append(read)
    assert b"".join(out) == b"".join(pieces)


async def test_a_reader_that_finds_nothing_pauses_and_is_resumed_once() -> None:
    upload = Upload(Pieces(b"a", b"b"))
    resumed = []
    upload.resume = lambda: resumed.append(upload.paused)
    assert upload.read(10) == pycurl.READFUNC_PAUSE
    assert upload.paused
    await upload.pump()
    assert resumed == [False]
    assert [upload.read(10) for _ in range(3)] == [b"a", b"b", b""]


async def test_nobody_is_called_any_more_once_it_is_closed() -> None:
    upload = Upload(Pieces(b"a"))
    resumed = []
    upload.resume = lambda: resumed.append(True)
    upload.read(1)
    upload.close()
    await upload.pump()
    assert resumed == []


async def test_a_paused_reader_is_resumed_to_learn_of_the_end() -> None:
    upload = Upload(Pieces())
    resumed = []
    upload.resume = lambda: resumed.append(True)
    upload.read(1)
    await upload.pump()
    assert resumed == [True]
    assert upload.read(1) == b""


async def test_the_client_is_not_read_further_than_the_queue_allows() -> None:
    body = Pieces(*[bytes(64 << 10)] * 20)
    upload = Upload(body)
    pump = asyncio.create_task(upload.pump())
    await asyncio.wait([pump], timeout=0.01)
    taken = body.taken
    assert taken < 8
    assert not pump.done()
    count = 0
    async with asyncio.timeout(5):
        while (read := upload.read(1 << 20)) != b"":
            if isinstance(read, bytes):
                count += len(read)
            else:
                await asyncio.wait([pump], timeout=0.001)
    await pump
    assert count == body.length


async def test_an_aborted_body_never_looks_like_a_whole_one() -> None:
    upload = Upload(Pieces(b"half", error=BodyAborted("gone")))
    with pytest.raises(BodyAborted):
        await upload.pump()
    assert upload.read(10) == b"half"
    assert upload.read(10) == pycurl.READFUNC_PAUSE
