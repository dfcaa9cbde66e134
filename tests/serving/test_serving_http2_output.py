from __future__ import annotations

import asyncio
from typing import Any

import pytest

from edgeproxy.config import Limits
from edgeproxy.serving.http2_order import Priority
from edgeproxy.serving.http2_output import FRAMES_WAITING_MAX, SHARE_BYTES, Output
from edgeproxy.serving.http2_stream import Stream


class Wire:
    """A transport that takes `room` bytes and then is full."""

    def __init__(self, room: int = 1 << 30) -> None:
        self.room = room
        self.writes: list[bytes] = []
        self.output: Output = None  # type: ignore[assignment]

    def write(self, data: Any) -> None:
        self.writelines([data])

    def writelines(self, pieces: Any) -> None:
        assert not self.output.full
        self.writes.append(b"".join(pieces))
        self.room -= len(self.writes[-1])
        if self.room <= 0:
            self.output.pause()

    def get_extra_info(self, name: str) -> None:
        return None

    def get_write_buffer_size(self) -> int:
        return max(0, -self.room)

    @property
    def order(self) -> list[tuple[int, int]]:
        """Stream and size of each DATA frame."""
        data, seen = b"".join(self.writes), []
        while data:
            size = int.from_bytes(data[:3], "big")
            if data[3] == 0:
                seen.append((int.from_bytes(data[5:9], "big"), size))
            data = data[9 + size :]
        return seen


class Stand:
    def __init__(self, room: int = 1 << 30, piece: int = 256 << 10) -> None:
        self.wire = Wire(room)
        self.finished: list[int] = []
        self.errors: list[Exception] = []
        self.output = Output(
            self.wire,
            asyncio.get_running_loop(),
            piece,
            lambda stream: self.finished.append(stream.id),
            self.errors.append,
        )
        self.output.window = 1 << 30
        self.wire.output = self.output

    def stream(
        self, number: int, size: int, *, window: int = 1 << 30, priority: Priority | None = None
    ) -> Stream:
        stream = Stream(number, None, window, Limits(), lambda stream, phase: None)
        if priority is not None:
            stream.priority = priority
        stream.hold(bytes(size), size, end=True)
        self.output.add(stream)
        return stream


async def settled() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_what_is_put_together_leaves_together() -> None:
    stand = Stand()
    for _ in range(10):
        stand.output.put(b"x")
    assert stand.wire.writes == []
    await settled()
    assert stand.wire.writes == [b"x" * 10]


async def test_streams_take_turns_and_a_short_one_does_not_wait_for_long_ones() -> None:
    stand = Stand()
    stand.stream(1, 10 * SHARE_BYTES)
    stand.stream(3, 10 * SHARE_BYTES)
    stand.stream(5, 100)
    await settled()
    streams = [number for number, _ in stand.wire.order]
    assert streams.index(5) <= 2 * SHARE_BYTES // 16384
    assert stand.finished == [5, 1, 3]
    assert sum(size for _, size in stand.wire.order) == 20 * SHARE_BYTES + 100


async def test_the_urgent_one_goes_first_and_what_is_in_line_is_not_interleaved() -> None:
    stand = Stand()
    stand.stream(1, 3 * SHARE_BYTES, priority=Priority(3, False))
    stand.stream(3, 3 * SHARE_BYTES, priority=Priority(3, False))
    stand.stream(5, 3 * SHARE_BYTES, priority=Priority(0, False))
    await settled()
    assert stand.finished == [5, 1, 3]


async def test_a_stream_without_window_stalls_nobody_else() -> None:
    stand = Stand()
    stuck = stand.stream(1, 1000, window=10)
    stand.stream(3, 1000)
    await settled()
    assert stand.finished == [3]
    assert stuck.sent == 10
    stuck.window = 2000
    stand.output.add(stuck)
    await settled()
    assert stand.finished == [3, 1]


async def test_the_window_of_the_connection_holds_for_all() -> None:
    stand = Stand()
    stand.output.window = 1500
    stand.stream(1, 1000)
    stand.stream(3, 1000)
    await settled()
    assert sum(size for _, size in stand.wire.order) == 1500
    assert stand.output.is_waiting
    stand.output.window += 500
    stand.output.wake()
    await settled()
    assert stand.finished == [1, 3]


@pytest.mark.parametrize("room", [1, 100_000])
async def test_a_full_transport_is_not_written_to_and_holds_little(room: int) -> None:
    stand = Stand(room, piece=128 << 10)
    stand.stream(1, 10 << 20)
    await settled()
    assert sum(map(len, stand.wire.writes)) <= room + (130 << 10)
    while not stand.finished:
        stand.wire.room = room
        stand.output.resume()
        await settled()
    assert sum(size for _, size in stand.wire.order) == 10 << 20


async def test_frames_that_pile_up_unread_are_seen() -> None:
    stand = Stand(room=1)
    stand.output.put(b"xx")
    await settled()
    for _ in range(FRAMES_WAITING_MAX):
        stand.output.put(b"x")
    assert not stand.output.is_stuck
    stand.output.put(b"x")
    assert stand.output.is_stuck


async def test_frames_are_as_large_as_the_client_takes() -> None:
    stand = Stand(piece=4 << 20)
    stand.output.frame_max = 1 << 24
    stand.stream(1, 3 << 20)
    await settled()
    assert [size for _, size in stand.wire.order] == [1 << 20] * 3


async def test_an_error_of_our_own_is_told_and_not_lost() -> None:
    stand = Stand()
    stand.stream(1, 10)._part = object()  # type: ignore[assignment]
    await settled()
    assert [type(error) for error in stand.errors] == [TypeError]
