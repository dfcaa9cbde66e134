from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.config import Limits
from edgeproxy.errors import BodyAborted
from edgeproxy.message import FileSlice
from edgeproxy.serving.http2_files import Buffers
from edgeproxy.serving.http2_stream import Stream


def stream_of(window: int = 1 << 20) -> Stream:
    return Stream(5, None, window, Limits(), lambda stream, phase: None)


def contents(frames: list[Any]) -> tuple[bytes, list[int], bool]:
    """What is in frames, the sizes, and whether the last one ends the stream."""
    data, content, sizes, ended = b"".join(frames), b"", [], False
    while data:
        size = int.from_bytes(data[:3], "big")
        assert not ended
        assert data[3] == 0
        assert data[5:9] == b"\0\0\0\x05"
        ended = bool(data[4] & 1)
        content += data[9 : 9 + size]
        sizes.append(size)
        data = data[9 + size :]
    return content, sizes, ended


@settings(deadline=None)
@given(
    size=st.integers(1, 100_000),
    mosts=st.lists(st.integers(1000, 50_000), min_size=1),
    frame_max=st.sampled_from([16384, 20000, 1 << 20]),
    end=st.booleans(),
    in_file=st.booleans(),
)
def test_parts_become_frames_whatever_the_windows(
    size: int, mosts: list[int], frame_max: int, end: bool, in_file: bool
) -> None:
    data = bytes(range(251)) * (size // 251 + 1)
    stream, buffers = stream_of(), Buffers()
    out: list[Any] = []
    with tempfile.TemporaryFile() as file:
        if in_file:
            file.write(b"x" * 7 + data)
            file.flush()
        stream.hold(FileSlice(file, 7, size) if in_file else data[:size], size, end=end)
        given_, turn = 0, 0
        while stream.holds:
            frames: list[Any] = []
            most = mosts[turn % len(mosts)]
            count = stream.give(frames, most, frame_max, buffers)
            assert 0 < count <= most
            out += [bytes(piece) for piece in frames]
            buffers.settle(passed_on=turn % 3 != 0)
            given_, turn = given_ + count, turn + 1
    content, sizes, ended = contents(out)
    assert content == data[:size]
    assert max(sizes) <= frame_max
    assert ended is end is stream.is_ended
    assert stream.sent == given_ == size
    assert stream.window == (1 << 20) - size


CONTENT = os.urandom(100_007)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Any]:
    path = tmp_path / "body"
    path.write_bytes(CONTENT)
    with path.open("rb") as opened:
        yield opened


class Taker:
    """Takes all of a stream whenever it may."""

    def __init__(self) -> None:
        self.frames: list[Any] = []
        self.buffers = Buffers()

    def add(self, stream: Stream) -> None:
        if stream.holds:
            asyncio.get_running_loop().call_soon(self.take, stream)

    def take(self, stream: Stream) -> None:
        if stream.holds:
            stream.give(self.frames, 1 << 20, 16384, self.buffers)


async def test_sending_waits_until_all_is_taken() -> None:
    stream, taker = stream_of(), Taker()
    await stream.send(taker, b"abc", 3, end=True)
    assert contents(taker.frames) == (b"abc", [3], True)


async def test_what_is_not_in_memory_is_read_in_a_thread_first(
    monkeypatch: pytest.MonkeyPatch, file: Any
) -> None:
    real, absent = os.preadv, [True, True]

    def preadv(*arguments: Any) -> int:
        if len(arguments) > 3 and absent.pop():
            raise BlockingIOError
        absent.append(False)
        return real(*arguments)

    monkeypatch.setattr(os, "preadv", preadv)
    stream, taker = stream_of(), Taker()
    await stream.send(taker, FileSlice(file, 0, 1000), 1000, end=True)
    assert contents(taker.frames)[0] == CONTENT[:1000]


async def test_a_file_shorter_than_its_part_is_an_abort(file: Any) -> None:
    stream, taker = stream_of(), Taker()
    with pytest.raises(BodyAborted):
        await stream.send(taker, FileSlice(file, len(CONTENT), 10), 10, end=True)
    assert not stream.is_ended


async def test_a_file_that_cannot_be_read_is_an_abort(tmp_path: Path) -> None:
    stream, taker = stream_of(), Taker()
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        file: Any = type("Directory", (), {"fileno": lambda self: descriptor})()
        with pytest.raises(BodyAborted):
            await stream.send(taker, FileSlice(file, 0, 10), 10, end=True)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("window", "remote_ended", "phase"),
    [(0, True, "write"), (0, False, "write"), (9, True, "busy"), (9, False, "body")],
)
def test_it_tells_what_it_waits_for(window: int, remote_ended: bool, phase: str) -> None:
    stream = stream_of(window)
    stream.hold(b"abc", 3, end=True)
    stream.remote_ended = remote_ended
    assert stream.pulse()[0] == phase
